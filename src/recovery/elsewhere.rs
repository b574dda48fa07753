//! The third step: the logs of machines that are gone, composed from what had left them: the parts of the archive that
//! are up, and behind them, or without them, the pieces of the remote tail.
//!
//! A log is taken over when its run has ended (the reaper ends it when its lease is over), its spool is another one,
//! and no worker on that spool is alive. Nobody can be sure that the machine does not come back: then it ships no
//! more, its own log is the fuller one, and replaces the composed one.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};

use super::Recovery;
use crate::archive::{Archived, BegunUpload, KeptTail};
use crate::carry;
use crate::gzip;
use crate::ids::{LogId, composed_key, fuller_key};
use crate::objects::{ObjectError, ObjectUri};
use crate::parse::LocalCopy;
use crate::reader::LogSource;
use crate::record::Head;
use crate::spool::{ComposedLog, Composer, Stretch};
use crate::store::piece::{LogPiece, after};
use crate::store::takeover::{LeftLog, left, take};
use crate::store::{self, Run};

/// Bytes of a stored log, at most, that are believed to be one.
const LARGEST: u64 = 1 << 40;

/// Pieces to have in memory at once.
const AT_ONCE: i64 = 8;

impl Recovery {
    /// The third step: takes over the logs of machines that are gone. `patience` is how long the database must have
    /// answered, so that living workers could say that they are; and how long a run that did not crash must be over.
    /// Returns how many logs it archived.
    ///
    /// # Errors
    /// The database fails. A failure of one log is logged, and the next log is tried.
    pub async fn take_over(&self, patience: Duration) -> Result<u64> {
        let Some(kept) = self.archiver.tail().kept() else { return Ok(0) };
        if self.system.pool.steady_for() < patience {
            // Its first answer begins the time.
            return store::health::ping(&self.system.pool).await.map(|()| 0);
        }
        let _turn = self.turns[2].lock().await;
        let mut archived = 0;
        for gone in left(&self.system.pool, kept.spool, patience).await? {
            let log = LogId::from(gone.id);
            if self.system.spool.find(log).is_some() || !self.waiting.is_due(log) {
                continue;
            }
            // Rare and large: it takes no room in the future of a worker.
            match Box::pin(self.take_over_one(gone, kept)).await {
                Ok(Some(Archived::Yes { .. })) => archived += 1,
                Ok(Some(Archived::LetGo) | None) => {}
                Ok(Some(Archived::Kept { store_is_down, .. })) => {
                    self.waiting.failed(log);
                    if store_is_down {
                        break;
                    }
                }
                Err(error) => {
                    self.waiting.failed(log);
                    tracing::error!(%log, "the log of a machine that is gone could not be composed: {error:#}");
                }
            }
        }
        Ok(archived)
    }

    /// `None` if its own machine, or another one, has it.
    async fn take_over_one(&self, gone: LeftLog, kept: KeptTail) -> Result<Option<Archived>> {
        let log = LogId::from(gone.id);
        if !take(&self.system.pool, log, kept.spool).await? {
            return Ok(None);
        }
        let run = store::run::get(&self.system.pool, gone.id).await?;
        let Some(run) = run.filter(|run| run.finished_at.is_some()) else { return Ok(None) };
        // Two workers on one machine may have the same log in hand.
        let kind = format!("remote-{}", std::process::id());
        let copy = LocalCopy::create(&self.system.scratch, gone.id, &kind, "log")
            .context("failed to make room for a log")?;
        let folder = copy.path.with_file_name("spool");
        let head = head_of(&run, gone);
        let [own, fuller] = [head.log_key.clone(), fuller_key(&head.log_key)];
        let (stored, left) = match self.look_for(&head, [&own, &fuller]).await {
            Ok(found) => found,
            Err(error) => {
                let reason = format!("nobody knows what its machine stored of the log: {error:#}");
                tracing::warn!(run = %gone.id, "the log of a machine that is gone is not archived yet: {reason}");
                return Ok(Some(Archived::Kept { reason, store_is_down: true }));
            }
        };
        let at = run.finished_at.context("the run has not ended")?;
        let taken = TakenOver { gone, head, at, folder, kept };
        let mut archived = match left {
            Some(left) => self.go_on(&taken, left).await?,
            None => None,
        };
        if archived.is_none() {
            archived = Some(self.compose_all(&taken, stored).await?);
        }
        carry::spawn_blocking(move || drop(copy)).await.context("removing a log panicked")?;
        Ok(archived)
    }

    /// The key under which the log's own machine stored it as a whole, if it did, and the upload that is left of it.
    async fn look_for(&self, head: &Head, keys: [&str; 2]) -> Result<(Option<String>, Option<BegunUpload>)> {
        let mut stored = None;
        for key in keys {
            match self.system.objects.head(&self.system.objects.uri(&head.bucket, key, None)?).await {
                Ok(_) => stored = Some(key.to_owned()),
                Err(ObjectError::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let left = match &stored {
            Some(key) if *key != head.log_key => None,
            stored => self.archiver.left_upload(head, stored.is_some()).await?,
        };
        Ok((stored, left))
    }

    /// Goes on behind the parts that are up. `None` if the upload became another object.
    async fn go_on(&self, taken: &TakenOver, left: BegunUpload) -> Result<Option<Archived>> {
        let (raw_bytes, count) = (left.raw_bytes(), left.count());
        let (folder, head, at) = (taken.folder.clone(), taken.head.clone(), taken.at);
        let begin =
            carry::spawn_blocking(move || Composer::begin_behind(&folder, head, at, raw_bytes, count));
        let composer = begin.await?.context("failed to make a file for a log")?;
        let composer = self.push_pieces(composer, taken.gone, raw_bytes).await?;
        let (composed, what) = complete(composer).await?;
        Ok(self.archiver.archive_behind(composed, left, taken.kept.spool, &what).await)
    }

    /// Composes the whole log: from what its machine stored under this key, or from its pieces.
    async fn compose_all(&self, taken: &TakenOver, stored: Option<String>) -> Result<Archived> {
        let (folder, head, at) = (taken.folder.clone(), taken.head.clone(), taken.at);
        let begin = carry::spawn_blocking(move || Composer::begin(&folder, head, at));
        let composer = begin.await?.context("failed to make a file for a log")?;
        let (bucket, log_key) = (&taken.head.bucket, &taken.head.log_key);
        let (composer, key) = match stored {
            Some(key) => {
                let stored = self.system.objects.uri(bucket, &key, None)?;
                (self.push_stored(composer, stored).await?, key)
            }
            None => (self.push_pieces(composer, taken.gone, 0).await?, composed_key(log_key)),
        };
        let (composed, what) = complete(composer).await?;
        Ok(self.archiver.archive_composed(composed, &key, taken.kept.spool, &what).await)
    }

    /// Its machine had stored the whole log, and was lost before the row heard of it.
    async fn push_stored(&self, mut composer: Composer, stored: ObjectUri) -> Result<Composer> {
        let source = LogSource::Archive { uri: stored, raw_bytes: LARGEST };
        let mut lines = source.open(&self.system.objects).await?;
        let push = move || -> Result<Composer> {
            let (mut at, mut line) = (0, Vec::new());
            while lines.next(&mut line).context("failed to read a stored log")? {
                let stretch = Stretch { behind: false, at, lines: std::mem::take(&mut line) };
                at += stretch.lines.len() as u64;
                composer.push(&stretch)?;
            }
            Ok(composer)
        };
        carry::spawn_blocking(push).await?
    }

    /// Adds the pieces that reach beyond the first `raw_bytes`.
    async fn push_pieces(&self, mut composer: Composer, gone: LeftLog, raw_bytes: u64) -> Result<Composer> {
        let mut place = None;
        loop {
            let pieces = after(&self.system.pool, LogId::from(gone.id), place, AT_ONCE).await?;
            let Some(last) = pieces.last() else { break };
            place = Some(last.place);
            let push = carry::spawn_blocking(move || -> Result<Composer> {
                let is_wanted =
                    |piece: &&LogPiece| piece.place.behind || piece.place.at + piece.raw_bytes > raw_bytes;
                for piece in pieces.iter().filter(is_wanted) {
                    composer.push(&unpacked(piece)?)?;
                }
                Ok(composer)
            });
            composer = push.await??;
        }
        Ok(composer)
    }
}

/// A log that this worker took over.
struct TakenOver {
    gone: LeftLog,
    head: Head,
    /// When its run ended.
    at: DateTime<Utc>,
    /// Where it is composed.
    folder: PathBuf,
    kept: KeptTail,
}

/// Completes what was composed, and says how it ends.
async fn complete(composer: Composer) -> Result<(ComposedLog, String)> {
    let composed = carry::spawn_blocking(move || composer.finish(lost_behind)).await?;
    let composed = composed.context("failed to complete a log")?;
    let what = match composed.lost_after {
        None => "all of it had left its machine".to_owned(),
        Some(last) => lost_behind(last),
    };
    Ok((composed, what))
}

fn unpacked(piece: &LogPiece) -> Result<Stretch> {
    let lines = gzip::decode_member(&piece.bytes, piece.raw_bytes)?;
    Ok(Stretch { behind: piece.place.behind, at: piece.place.at, lines })
}

/// How a log ends whose rest was lost behind this event.
fn lost_behind(last: u64) -> String {
    match last {
        0 => "the log was lost with the machine of the run: none of it had left the machine".to_owned(),
        last => format!("after event {last} the rest of the log was lost with the machine of the run"),
    }
}

/// The head as the worker of the run wrote it, for a log that lacks it.
fn head_of(run: &Run, gone: LeftLog) -> Head {
    let started = run.started_at.unwrap_or(run.queued_at);
    run.head(gone.lease_token, run.worker.as_deref().unwrap_or_default(), started)
}
