//! The third step: the logs of machines that are gone, composed from what had left them.
//!
//! A log is taken over when its run has ended (the reaper ends it when its lease is over), its spool is another one,
//! and no worker on that spool is alive. Nobody can be sure that the machine does not come back: then it ships no
//! more, its own log is the fuller one, and replaces the composed one.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Recovery;
use crate::archive::{Archived, KeptTail};
use crate::carry;
use crate::gzip;
use crate::ids::{LogId, LogKey, composed_key};
use crate::objects::{ObjectError, ObjectUri};
use crate::parse::LocalCopy;
use crate::reader::LogSource;
use crate::record::{Head, RunSubject, SCHEMA_VERSION, Subject};
use crate::spool::{Composer, Stretch};
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
            match self.take_over_one(gone, kept).await {
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
        let own = self.system.objects.uri(&head.bucket, &head.log_key, None)?;
        let is_stored = match self.system.objects.head(&own).await {
            Ok(_) => true,
            Err(ObjectError::NotFound { .. }) => false,
            Err(error) => {
                let reason = format!("nobody knows whether its machine stored the log: {error}");
                tracing::warn!(run = %gone.id, "the log of a machine that is gone is not archived yet: {reason}");
                return Ok(Some(Archived::Kept { reason, store_is_down: true }));
            }
        };
        let key = if is_stored { head.log_key.clone() } else { composed_key(&head.log_key) };
        let composer = self.begin(&run, head, &folder).await?;
        let composer = if is_stored {
            self.push_stored(composer, own).await?
        } else {
            self.push_pieces(composer, gone).await?
        };
        let composed = carry::spawn_blocking(move || composer.finish(lost_behind)).await?;
        let composed = composed.context("failed to complete a log")?;
        let what = match composed.lost_after {
            None => "all of it had left its machine".to_owned(),
            Some(last) => lost_behind(last),
        };
        let archived = self.archiver.archive_composed(composed, &key, kept.spool, &what).await;
        carry::spawn_blocking(move || drop(copy)).await.context("removing a log panicked")?;
        Ok(Some(archived))
    }

    async fn begin(&self, run: &Run, head: Head, folder: &Path) -> Result<Composer> {
        let (folder, at) = (folder.to_owned(), run.finished_at.context("the run has not ended")?);
        let begin = carry::spawn_blocking(move || Composer::begin(&folder, head, at));
        begin.await?.context("failed to make a file for a log")
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

    async fn push_pieces(&self, mut composer: Composer, gone: LeftLog) -> Result<Composer> {
        let mut place = None;
        loop {
            let pieces = after(&self.system.pool, LogId::from(gone.id), place, AT_ONCE).await?;
            let Some(last) = pieces.last() else { break };
            place = Some(last.place);
            let push = carry::spawn_blocking(move || -> Result<Composer> {
                for piece in pieces {
                    composer.push(&unpacked(&piece)?)?;
                }
                Ok(composer)
            });
            composer = push.await??;
        }
        Ok(composer)
    }
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
    let log_key = LogKey::new(&run.key, run.data_file_id, started, run.reparse_id, run.id);
    Head {
        version: SCHEMA_VERSION,
        log: run.id.into(),
        bucket: run.bucket.clone(),
        log_key: log_key.as_str().to_owned(),
        worker: run.worker.clone().unwrap_or_default(),
        started,
        subject: Subject::Run(RunSubject {
            run: run.id,
            lease_token: gone.lease_token,
            attempt: run.attempt,
            data_file: run.data_file_id,
            batch: run.batch_id,
            reparse: run.reparse_id,
            key: run.key.clone(),
            object_version: run.version_id.clone(),
        }),
    }
}
