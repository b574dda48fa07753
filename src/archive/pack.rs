//! The archive of a log while it is in the spool: made once, reused by later attempts; and what is stored with it.
//!
//! An archive counts only with its summary beside it, which is written when the upload of a whole archive
//! fails. Without a summary, or if either is damaged, the archive is made anew. All of this blocks.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::carry;
use crate::gzip::{self, ArchiveSummary, Compressor, LineFacts};
use crate::objects::{Put, sha256_of};
use crate::record::{Head, level_of, timestamp_of};
use crate::spool::SealedLog;
use crate::store::part::NotedUpload;

/// An archive, ready to store.
#[derive(Debug, Clone)]
pub(super) struct Packed {
    pub(super) summary: ArchiveSummary,
    pub(super) path: PathBuf,
    /// An attempt before this one left a part of it, and perhaps an upload; or it went up while it grew.
    pub(super) may_have_upload: bool,
    /// Whether all of it is in the file: what is up may have been given back.
    pub(super) is_here: bool,
}

/// Names and values that are stored with an archive.
pub(super) type Metadata = Vec<(&'static str, String)>;

/// Makes the archive of a log beside it, or reuses the one of an earlier attempt.
pub(super) fn pack(log: &SealedLog) -> Result<Packed> {
    carry::may_block();
    ensure!(log.given_back()?.is_none(), "its beginning was given back");
    let (path, growing) = (log.archive_path(), log.growing_path());
    let was_there = path.exists();
    let has_grown = growing.exists();
    let summary = match kept(log).filter(|_| was_there) {
        Some(summary) => summary,
        None => {
            // What grew before its process died, or failed to grow, only takes room.
            let _ = File::options().write(true).open(&growing).and_then(|file| file.set_len(0));
            compress(log).context("failed to compress the log")?
        }
    };
    Ok(Packed { summary, path, may_have_upload: was_there || has_grown, is_here: true })
}

/// Keeps the archive for later attempts. Neither file is synced: a checksum detects what a power loss
/// damages.
pub(super) fn keep(log: &SealedLog, packed: &Packed) -> io::Result<()> {
    carry::may_block();
    if !packed.is_here {
        return Ok(());
    }
    let (path, summary) = (log.archive_path(), &packed.summary);
    if packed.path != path {
        fs::rename(&packed.path, path)?;
    }
    if kept_summary(log).as_ref() == Some(summary) {
        return Ok(());
    }
    create(log.summary_path().as_path())?.write_all(&serde_json::to_vec(summary)?)
}

/// The summary of an archive, if it is whole and belongs to this log.
fn kept(log: &SealedLog) -> Option<ArchiveSummary> {
    let summary = kept_summary(log)?;
    let raw_bytes = log.file().metadata().ok()?.len();
    let is_its = (summary.raw_bytes, summary.lines) == (raw_bytes, log.lines);
    (is_its && sha256_of(&log.archive_path()).ok()? == summary.gzip_sha256).then_some(summary)
}

fn kept_summary(log: &SealedLog) -> Option<ArchiveSummary> {
    serde_json::from_slice(&fs::read(log.summary_path()).ok()?).ok()
}

/// What the index of an archive keeps of a line of a log.
pub fn line_facts(line: &[u8]) -> LineFacts {
    LineFacts { time: timestamp_of(line), level: level_of(line).map(|level| level as u8) }
}

fn compress(log: &SealedLog) -> Result<ArchiveSummary> {
    let raw = BufReader::with_capacity(1 << 20, File::open(log.path())?);
    let archive = create(&log.archive_path())?;
    Ok(gzip::compress(raw, BufWriter::with_capacity(1 << 18, archive), line_facts)?)
}

/// Makes the rest of an archive beside its log, which is the rest of the log: what is behind its last part.
pub(super) fn pack_rest(log: &SealedLog, noted: &NotedUpload, entries: Vec<u8>) -> Result<ArchiveSummary> {
    carry::may_block();
    let compressor = Compressor::resume(line_facts, &noted.mark, entries)?;
    let mut raw = File::open(log.path())?;
    if let Some(given) = log.given_back()? {
        // All of the log is here but for its beginning, and not only the rest behind the parts.
        let between = noted.mark.raw_bytes.checked_sub(given.raw_bytes);
        let between = between.context("more of the log was given back than is noted to be up")?;
        raw.seek(SeekFrom::Start(given.raw_bytes))?;
        let is_it = gzip::leads_to(&given.raw_sha256, (&mut raw).take(between), &noted.mark.raw_sha256)?;
        ensure!(is_it, "another log than this one is noted to be up");
    }
    let raw = BufReader::with_capacity(1 << 20, raw);
    let mut archive = BufWriter::with_capacity(1 << 18, create(&log.archive_path())?);
    archive.write_all(&noted.rest)?;
    Ok(gzip::compress_rest(compressor, raw, archive)?)
}

/// Makes the file of an archive, or empties it.
pub(super) fn create(path: &Path) -> io::Result<File> {
    File::options().write(true).create(true).truncate(true).mode(0o640).open(path)
}

/// How an archive is put.
pub(super) fn put(metadata: Metadata, sha256: [u8; 32]) -> Put {
    Put { content_type: "application/gzip", metadata, sha256, if_none_match: true }
}

/// What is known of an archive before it is whole.
pub(super) fn metadata(head: &Head) -> Metadata {
    let mut metadata = vec![("log-id", head.log.to_string())];
    // A segment's service is in its key; metadata takes ASCII alone.
    if let Some(run) = head.subject.run() {
        metadata.push(("run-id", run.run.to_string()));
        metadata.push(("data-file-id", run.data_file.to_string()));
        metadata.extend(run.reparse.map(|id| ("reparse-id", id.to_string())));
    }
    metadata
}
