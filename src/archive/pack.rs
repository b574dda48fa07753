//! The archive of a log while it is in the spool: made once, reused by later attempts.
//!
//! An archive counts only with its summary beside it, which is written when the upload of a whole archive
//! fails. Without a summary, or if either is damaged, the archive is made anew. All of this blocks.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;

use anyhow::{Context, Result};

use crate::carry;
use crate::gzip::{self, ArchiveSummary, LineFacts};
use crate::objects::sha256_of;
use crate::record::{level_of, timestamp_of};
use crate::spool::SealedLog;

/// An archive, ready to store.
#[derive(Debug, Clone)]
pub(super) struct Packed {
    pub(super) summary: ArchiveSummary,
    /// An earlier attempt left it, or a part of it.
    pub(super) was_there: bool,
}

/// Makes the archive of a log beside it, or reuses the one of an earlier attempt.
pub(super) fn pack(log: &SealedLog) -> Result<Packed> {
    carry::may_block();
    let was_there = log.archive_path().exists();
    let summary = match kept(log).filter(|_| was_there) {
        Some(summary) => summary,
        None => compress(log).context("failed to compress the log")?,
    };
    Ok(Packed { summary, was_there })
}

/// Keeps the archive for later attempts. Neither file is synced: a checksum detects what a power loss
/// damages.
pub(super) fn keep(log: &SealedLog, summary: &ArchiveSummary) -> io::Result<()> {
    carry::may_block();
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

fn create(path: &std::path::Path) -> io::Result<File> {
    File::options().write(true).create(true).truncate(true).mode(0o640).open(path)
}
