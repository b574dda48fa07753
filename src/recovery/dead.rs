//! The first step: orphaned parsers, open logs and running runs of processes that died here.

use std::fs::File;

use anyhow::{Context, Result};

use super::Recovery;
use crate::ids::{LogId, RunId};
use crate::queue::{self, Finished};
use crate::record::LogEnding;
use crate::scope::LogScope;
use crate::spool::{AbandonedLog, MissingEvents, PROCESS_DIED, SealedLog, Spool, SpooledLog};
use crate::{carry, faults, parser, store};

impl Recovery {
    /// The first step: kills what is left of dead processes' external parsers, closes their logs with a
    /// `crash` tail, and ends their runs. Returns how many logs it closed.
    ///
    /// Orphans come first, since closing a long log takes a while; the database comes last, since it may not
    /// answer. The next call finds what this one could not do.
    ///
    /// # Errors
    /// The spool can't be listed. A failure of one log is logged, and the next log is tried.
    pub async fn recover(&self) -> Result<u64> {
        self.recover_for(false).await
    }

    /// The same for the collector of the spool, which alone may close segments of streams while connections are
    /// to be decoded.
    ///
    /// # Errors
    /// As [`Self::recover`].
    pub async fn recover_as_collector(&self) -> Result<u64> {
        self.recover_for(true).await
    }

    async fn recover_for(&self, is_collector: bool) -> Result<u64> {
        let _turn = self.turns[0].lock().await;
        let entries = self.list().await?;
        if entries.is_empty() {
            return Ok(0);
        }
        let dead = self.abandoned(entries.into_iter().filter(|entry| !entry.sealed).collect()).await?;
        let dead = if is_collector { dead } else { self.without_collected(dead).await? };
        clear_after(&dead).await;
        let mut closed = 0;
        for entry in dead {
            let log = entry.log;
            match self.close(entry).await {
                Ok(true) => closed += 1,
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(%log, "the log of a dead process could not be closed: {error:#}");
                }
            }
        }
        if let Err(error) = self.end_runs().await {
            // Their leases run out, and a worker that reaches the database ends them then.
            tracing::warn!("the runs of dead processes are not ended yet: {error:#}");
        }
        Ok(closed)
    }

    /// Leaves out the segments that are a collector's to close.
    async fn without_collected(&self, dead: Vec<SpooledLog>) -> Result<Vec<SpooledLog>> {
        let spool = self.system.spool.clone();
        let left = carry::spawn_blocking(move || -> Result<_> {
            let is_segment = |entry| spool.head_of(entry).is_some_and(|head| head.run().is_none());
            let mut segments: Vec<bool> = dead.iter().map(is_segment).collect();
            if segments.contains(&true) && !spool.has_collector()? {
                segments.fill(false);
            }
            Ok(dead
                .into_iter()
                .zip(segments)
                .filter(|(_, is_left)| !is_left)
                .map(|(entry, _)| entry)
                .collect())
        });
        left.await.context("looking for segments panicked")?
    }

    async fn close(&self, entry: SpooledLog) -> Result<bool> {
        let spool = self.system.spool.clone();
        let closed = carry::spawn_blocking(move || match spool.take_abandoned(&entry, None)? {
            Some(log) => close(&spool, log, LogEnding::Crash, PROCESS_DIED).map(Some),
            None => Ok(None),
        });
        let closed = closed.await??.is_some();
        if closed {
            faults::point("recovered");
        }
        Ok(closed)
    }

    /// Ends the runs that the database takes for running although no process holds the lock of their log here: a
    /// process holds it until the run's end is on the row, or it gave up writing it.
    async fn end_runs(&self) -> Result<()> {
        let running = queue::running(&self.system.pool).await?;
        let spool = self.system.spool.clone();
        let here =
            carry::spawn_blocking(move || running.into_iter().filter_map(|run| spool.find(run)).collect());
        let dead = self.abandoned(here.await?).await?;
        clear_after(&dead).await;
        for entry in dead {
            let run = entry.log.as_run();
            match queue::crashed(&self.system.pool, run).await {
                Ok(Finished::Yes) => tracing::warn!(%run, "crashed: its worker is gone"),
                Ok(_) => {}
                // A refusing row must not stop the others.
                Err(error) if store::refusal(&error).is_some() => {
                    tracing::error!(%run, "the run can't be ended: {error:#}");
                }
                Err(error) => return Err(error),
            }
            faults::point("crash-on-row");
        }
        Ok(())
    }

    async fn abandoned(&self, entries: Vec<SpooledLog>) -> Result<Vec<SpooledLog>> {
        let spool = self.system.spool.clone();
        carry::spawn_blocking(move || entries.into_iter().filter(|entry| spool.is_abandoned(entry)).collect())
            .await
            .context("looking for abandoned logs panicked")
    }
}

/// Completes the log of a process that this one saw die, and that may have shared the lock of the log with it as
/// `hold`. `None` if the log is not here, or others have it; one that the process completed stays as it is.
///
/// # Errors
/// The log can't be read, or neither the spool nor a refuge takes it.
pub fn close_dead(
    spool: &Spool,
    log: LogId,
    hold: Option<File>,
    ending: LogEnding,
    reason: &str,
) -> Result<Option<SealedLog>> {
    let Some(entry) = spool.find(log) else { return Ok(None) };
    if entry.sealed {
        return spool.take_sealed(&entry, hold);
    }
    let abandoned = spool.take_abandoned(&entry, hold)?;
    abandoned.map(|abandoned| close(spool, abandoned, ending, reason)).transpose()
}

fn close(spool: &Spool, abandoned: AbandonedLog, ending: LogEnding, reason: &str) -> Result<SealedLog> {
    let missing = complete(spool, &abandoned);
    spool.close_abandoned(abandoned, missing, ending, reason)
}

/// Logs what a dead run's program wrote and nobody read, as the run would have. Lines that its log can't take go
/// to the global log, and count as missing.
fn complete(spool: &Spool, abandoned: &AbandonedLog) -> MissingEvents {
    let log = abandoned.log();
    if !spool.has_output(log) {
        return MissingEvents::default();
    }
    match spool.reopen_abandoned(abandoned) {
        Ok(None) => MissingEvents::default(),
        Ok(Some((open, logged))) => {
            let scope = LogScope::of_abandoned(log, open);
            faults::point("output-reopened");
            if let Err(error) = scope.span().in_scope(|| parser::log_unread(&spool.stem(log), logged)) {
                tracing::error!(%log, "the output of a dead process's parser can't be read: {error}");
            }
            faults::point("output-added");
            MissingEvents { emitted: scope.emitted(), more: 0 }
        }
        Err(error) => {
            // The disk refuses, so the log is completed elsewhere, if anywhere, without those lines.
            let lines = parser::count_unread(&spool.stem(log)).unwrap_or(0);
            tracing::error!(%log, lines, "the output of a dead process's parser can't be logged: {error:#}");
            MissingEvents { emitted: 0, more: lines }
        }
    }
}

/// A failure here only delays: each attempt clears the file's earlier ones before it parses.
async fn clear_after(dead: &[SpooledLog]) {
    if dead.is_empty() {
        return;
    }
    let runs: Vec<RunId> = dead.iter().map(|entry| entry.log.as_run()).collect();
    let cleared = carry::spawn_blocking(move || parser::clear_after(&runs)).await;
    if let Err(error) = cleared.map_err(anyhow::Error::from).flatten() {
        tracing::error!("what a dead process's parser left is not cleared yet: {error:#}");
    }
}
