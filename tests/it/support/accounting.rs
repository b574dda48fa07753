//! Emitted = stored + declared dropped: looked at when a test's database goes, for every run whose
//! archive is what its row says. What a test took away, damaged or only pretended is passed over.

use std::io::{BufRead as _, BufReader};

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
    let mut log = BufReader::new(MultiGzDecoder::new(archive));
    let (mut lines, mut stored, mut emitted, mut tail) = (0_i64, 0, 0, None);
    let mut line = Vec::new();
    // Line by line: there are logs of gigabytes.
    while log.read_until(b'\n', &mut line).map_err(|error| error.to_string())? > 0 {
        lines += 1;
        if let Some(record) = Record::decode(&line) {
            if record.is_event() {
                stored += 1;
                emitted = record.seq;
            }
            tail = record.tail;
        }
        line.clear();
    }
    let tail = tail.ok_or("its log has no tail")?;
    let said: u64 = run.log_events.as_ref().map_or(0, |events| events.values().sum());
    // The last events may be among the dropped, which nothing but the tail tells.
    let counted = if tail.dropped == 0 { emitted == stored } else { emitted <= stored + tail.dropped };
    let agree = tail.events.total() == stored && said == stored;
    let row = (run.log_lines, run.log_dropped);
    if !counted || !agree || row != (Some(lines), Some(tail.dropped.cast_signed())) {
        return Err(format!(
            "{emitted} emitted, {stored} of {lines} lines stored; its tail says {tail:?}, its row {said} events, {row:?}"
        ));
    }
    Ok(())
}
