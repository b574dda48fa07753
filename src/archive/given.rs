//! Archives logs whose beginning was given back, and that no process has in hand any more.
//!
//! The beginning is in the parts of an upload, which is completed as that of a machine that is gone, or in an archive that
//! another machine made of it meanwhile. From there it is fetched again, since the log of this machine is the fuller one.

use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use tokio_util::io::SyncIoBridge;

use super::{ArchiveFailure, Archiver, blocking, content_of};
use crate::ids::fuller_key;
use crate::objects::{Missing, ObjectError, ObjectReader, ObjectUri, Upload};
use crate::record::Head;
use crate::spool::{ComposedLog, Composer, SealedLog, Stretch, TailReader};
use crate::store::part;
use crate::store::piece::{self, LogPiece};
use crate::store::{self, LogState};
use crate::{carry, gzip};

/// Bytes of a stored log, at most, that are believed to be one.
const LARGEST: u64 = 1 << 40;

/// Bytes to fetch at once.
const BUFFER: usize = 1 << 18;

/// Pieces to fetch at once.
const PIECES: i64 = 8;

/// What became of a log whose beginning was given back.
pub(super) enum GivenLog {
    /// It is archived here; `None` if somebody let it go.
    Done(Option<String>),
    /// All of it is in the spool again.
    Whole,
}

impl Archiver {
    pub(super) async fn archive_given(&self, log: &Arc<SealedLog>) -> Result<GivenLog, ArchiveFailure> {
        let has_kept = blocking(log, SealedLog::has_kept).await;
        if has_kept.context("failed to read how a log begins")? {
            return Ok(GivenLog::Whole);
        }
        let raw_bytes = blocking(log, |log| Ok(log.file().metadata()?.len())).await;
        let raw_bytes = raw_bytes.context("failed to read a log in the spool")?;
        let content = content_of(log, raw_bytes, log.lines);
        let known = store::log::sealed(&self.system.pool, log.head.log, &content).await?;
        match (known.state, known.uri) {
            (LogState::Pruned, _) => return Ok(GivenLog::Done(None)),
            (LogState::Archived, Some(uri)) if !known.is_taken => return Ok(GivenLog::Done(Some(uri))),
            (LogState::Archived, Some(uri)) => {
                self.fill_in(log, uri.parse().map_err(ArchiveFailure::of_store)?).await?;
                return Ok(GivenLog::Whole);
            }
            // Another machine that is on it completes the same upload, and the first that does so wins.
            _ => {}
        }
        let own = self.system.objects.uri(&log.head.bucket, &log.head.log_key, None);
        let own = own.map_err(ArchiveFailure::of_store)?;
        let is_stored = self.is_stored(&own).await?;
        let archived = match self.left_upload(&log.head, is_stored).await? {
            Some(left) => self.complete_left(log, left).await?,
            None => None,
        };
        if let Some(archived) = archived {
            if (archived.content.raw_bytes, archived.content.lines) != (raw_bytes, log.lines) {
                return Err(anyhow!("the log is not what it was when its beginning was given back").into());
            }
            return self.put_on_own_row(&log.head, archived).await.map(|uri| GivenLog::Done(Some(uri)));
        }
        if is_stored {
            // Another machine completed the upload, and the row has not heard of it yet.
            self.fill_in(log, own).await?;
            return Ok(GivenLog::Whole);
        }
        // Whoever completes an upload makes an object of it at once: where there is neither now, nobody did.
        if self.upload_is_gone(&log.head).await? && !self.is_stored(&own).await? {
            return Box::pin(self.archive_without(log)).await.map(|uri| GivenLog::Done(Some(uri)));
        }
        Err(anyhow!("its beginning was given back, and the object store lacks parts of it").into())
    }

    async fn is_stored(&self, uri: &ObjectUri) -> Result<bool, ArchiveFailure> {
        match self.system.objects.head(uri).await {
            Ok(_) => Ok(true),
            Err(ObjectError::NotFound { .. }) => Ok(false),
            Err(error) => Err(ArchiveFailure::of_store(error)),
        }
    }

    /// Whether the store has no upload any more of which parts were noted.
    async fn upload_is_gone(&self, head: &Head) -> Result<bool, ArchiveFailure> {
        let Some((noted, _)) = part::noted(&self.system.pool, head.log).await? else { return Ok(false) };
        let upload = Upload { bucket: head.bucket.clone(), key: head.log_key.clone(), id: noted.upload };
        match self.system.objects.parts(&upload).await {
            Ok(_) => Ok(false),
            Err(ObjectError::NotFound { missing: Missing::Upload, .. }) => Ok(true),
            Err(error) => Err(ArchiveFailure::of_store(error)),
        }
    }

    /// Archives a log of which somebody aborted the upload that alone had its beginning: what is here, behind what the
    /// remote tail has of it. Log, row and audit say what is missing.
    async fn archive_without(&self, log: &Arc<SealedLog>) -> Result<String, ArchiveFailure> {
        let folder = self.system.scratch.join(format!("given-{}-{}", log.head.log, std::process::id()));
        let archived = self.compose_without(log, &folder).await;
        let removed = carry::spawn_blocking(move || std::fs::remove_dir_all(folder)).await;
        if let Err(error) = removed.map_err(io::Error::other).flatten() {
            tracing::debug!(log = %log.head.log, "a composed log is left in the scratch folder: {error}");
        }
        archived
    }

    async fn compose_without(&self, log: &Arc<SealedLog>, folder: &Path) -> Result<String, ArchiveFailure> {
        let mut pieces: Vec<LogPiece> = Vec::new();
        loop {
            let last = pieces.last().map(|piece| piece.place);
            let next = piece::after(&self.system.pool, log.head.log, last, PIECES).await?;
            if next.is_empty() {
                break;
            }
            pieces.extend(next);
        }
        let folder = folder.to_owned();
        let composed = blocking(log, move |log| compose(log, &folder, &pieces)).await;
        let composed = Arc::new(composed.context("failed to compose a log")?.log);
        let lost = composed.tail.dropped.saturating_sub(log.tail.dropped);
        let packed = self.packed(&composed).await?;
        let archived = self.put(&composed, &fuller_key(&log.head.log_key), &packed, None).await?;
        let uri = self.put_on_own_row(&log.head, archived).await?;
        if lost > 0 {
            let run = log.head.run();
            let what = format!(
                "{lost} events are lost: they were given back, and somebody ended the upload that had them"
            );
            tracing::error!(run = run.map(display), "{what}");
            if let Some(run) = run {
                store::entry::about_run(&self.system.pool, run, None, "lost-upload", Some(&what)).await?;
            }
        }
        Ok(uri)
    }

    /// Fetches the beginning from the archive that another machine made.
    async fn fill_in(&self, log: &Arc<SealedLog>, uri: ObjectUri) -> Result<(), ArchiveFailure> {
        let doing = "failed to fetch the beginning of a log that was given back";
        let stored = self.stored(&uri).await?;
        // What is here is not touched before it is known to be the same log.
        if !blocking(log, |log| log.is_its_beginning(lines_in(stored))).await.context(doing)? {
            return Err(anyhow!("its beginning was given back, and what is stored begins otherwise").into());
        }
        let stored = self.stored(&uri).await?;
        Ok(blocking(log, |log| log.fill_in(lines_in(stored))).await.context(doing)?)
    }

    async fn stored(&self, uri: &ObjectUri) -> Result<SyncIoBridge<ObjectReader>, ArchiveFailure> {
        let (_, stream) = self.system.objects.open(uri).await.map_err(ArchiveFailure::of_store)?;
        Ok(SyncIoBridge::new(stream))
    }
}

/// The log in an archive.
fn lines_in(stored: SyncIoBridge<ObjectReader>) -> impl Read {
    gzip::BoundedReader::new(BufReader::with_capacity(BUFFER, stored), LARGEST)
}

/// The log as far as it is here or in these pieces, with its own end.
fn compose(log: &SealedLog, folder: &Path, pieces: &[LogPiece]) -> io::Result<ComposedLog> {
    let begin = log.first_here()?;
    let mut composer = Composer::begin(folder, log.head.clone(), log.closed_at)?;
    for piece in pieces.iter().filter(|piece| !piece.place.behind && piece.place.at < begin) {
        let lines = gzip::decode_member(&piece.bytes, piece.raw_bytes).map_err(io::Error::other)?;
        composer.push(&Stretch { behind: false, at: piece.place.at, lines })?;
    }
    let mut rest = TailReader::new(Arc::clone(log.file()), begin);
    loop {
        let (at, lines) = (rest.position(), rest.lines(1 << 20)?);
        if lines.is_empty() {
            break;
        }
        composer.push(&Stretch { behind: false, at, lines })?;
    }
    composer.finish(|_| "the end of the log is lost".to_owned())
}
