//! Emitted = stored + declared dropped: looked at when a test's database goes, for every run whose
//! archive is what its row says. What a test took away, damaged or only pretended is passed over.

use std::io::Read;

use flate2::read::MultiGzDecoder;
use parselog::objects::{ObjectUri, Objects, S3, S3Options};
use parselog::record::Record;
use parselog::store::{self, LogState, PgPool, Run, RunFilter};
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt as _;

/// What does not add up; nothing where the database has no tables.
pub(crate) async fn complaints(pool: &PgPool) -> Vec<String> {
    let runs = store::find(pool, &RunFilter::default()).await.unwrap_or_default();
    let mut complaints = Vec::new();
    for run in &runs {
        if run.log_state == LogState::Archived
            && let Some(archive) = archive_of(run).await
            && let Err(complaint) = adds_up(run, &archive)
        {
            complaints.push(format!("run {}: {complaint}", run.id));
        }
    }
    complaints
}

/// The bytes behind the row's URI, where they are those that were archived.
async fn archive_of(run: &Run) -> Option<Vec<u8>> {
    let bytes = match run.logs_uri.as_ref()?.parse().ok()? {
        ObjectUri::File { path, .. } => std::fs::read(path).ok()?,
        uri @ ObjectUri::S3 { .. } => {
            let endpoint = Some(std::env::var("PARSELOG_TEST_S3").ok()?);
            let objects = Objects::S3(S3::connect(S3Options { endpoint, ..Default::default() }).await);
            let mut bytes = Vec::new();
            objects.open(&uri).await.ok()?.1.read_to_end(&mut bytes).await.ok()?;
            bytes
        }
    };
    (run.log_gzip_sha256 == Some(Sha256::digest(&bytes).into())).then_some(bytes)
}

fn adds_up(run: &Run, archive: &[u8]) -> Result<(), String> {
    let mut raw = Vec::new();
    MultiGzDecoder::new(archive).read_to_end(&mut raw).map_err(|error| error.to_string())?;
    let lines: Vec<&[u8]> = raw.split_inclusive(|byte| *byte == b'\n').collect();
    let records: Vec<Record> = lines.iter().filter_map(|line| Record::decode(line)).collect();
    let tail = records.last().and_then(|record| record.tail.as_ref()).ok_or("its log has no tail")?;
    let seqs: Vec<u64> = records.iter().filter(|record| record.is_event()).map(|event| event.seq).collect();
    let stored = seqs.len() as u64;
    let emitted = seqs.last().copied().unwrap_or_default();
    let said: u64 = run.log_events.as_ref().map_or(0, |events| events.values().sum());
    // The last events may be among the dropped, which nothing but the tail tells.
    let counted = if tail.dropped == 0 { emitted == stored } else { emitted <= stored + tail.dropped };
    let agree = tail.events.total() == stored && said == stored;
    let row = (run.log_lines, run.log_dropped);
    if !counted || !agree || row != (Some(lines.len() as i64), Some(tail.dropped.cast_signed())) {
        return Err(format!(
            "{emitted} emitted, {stored} of {} lines stored; its tail says {tail:?}, its row {said} events, {row:?}",
            lines.len()
        ));
    }
    Ok(())
}
