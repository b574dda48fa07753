//! The loop around `run_one`: claim while there are slots, and stop in order.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::drain::Drain;
use super::{Helpers, RecordsTo, RunsInFlight, Worker};
use crate::carry::spawn_in;
use crate::config::{AgeLimit, PROBLEM_FILES};
use crate::dataset::ProblemFiles;
use crate::ids::BatchId;
use crate::parser::CancelReason;
use crate::queue::{self, Waker};
use crate::recovery::Recovery;
use crate::{carry, faults, store};

/// How often to check the leases of all workers, and the spool for logs of dead processes.
const RECOVERY_INTERVAL: Duration = Duration::from_secs(1);

/// Time after the grace for stopped runs to hand back, and for finished logs to be archived.
const LAST_GRACE: Duration = Duration::from_secs(10);

/// Open batches to look at, and ended runs to count, in one sweep.
const BATCHES: i64 = 1000;
const ENDED: i64 = 50_000;

/// Pause before asking a failed database again.
const CLAIM_PAUSE: Duration = Duration::from_secs(1);

/// Why the worker claims no more runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    /// Somebody asked it to stop, or it can't go on.
    Stopped,
    /// Nothing is left to do or to wait for.
    Drained,
}

impl Worker {
    /// Serves the queue until `stop` resolves, or until there is nothing left to do if the worker drains.
    ///
    /// Runs in flight get the grace to finish; then the worker hands them back. Logs that are not archived by
    /// then stay in the spool for the next worker.
    ///
    /// # Errors
    /// The spool can't be read; nothing was claimed. Or [`super::HelperDied`], after the worker handed back its
    /// runs in flight.
    pub async fn serve(&self, stop: impl Future<Output = ()>) -> Result<()> {
        self.serve_until(stop, std::future::pending()).await
    }

    /// As [`Self::serve`]; `at_once`, after `stop`, ends the grace: the worker hands back all that it has.
    ///
    /// # Errors
    /// As [`Self::serve`].
    pub async fn serve_until(
        &self,
        stop: impl Future<Output = ()>,
        at_once: impl Future<Output = ()>,
    ) -> Result<()> {
        let spool = self.system.spool.clone();
        carry::spawn_blocking(move || spool.list()).await?.context("failed to read the spool")?;
        let in_flight = RunsInFlight::default();
        let recovery = self.recovery();
        let mut helpers = self.helpers(&in_flight);
        self.look_after_others(&mut helpers, &recovery);
        self.begin_notices().await;
        self.notify_every(&mut helpers, self.config.sweep);
        let presence = self.is_present(&mut helpers, &in_flight);

        let mut runs = JoinSet::new();
        let mut died = None;
        let stopped = async {
            tokio::select! {
                () = stop => {}
                helper = helpers.died() => died = Some(helper),
            }
        };
        let over = self.claim_until(&recovery, &in_flight, &mut runs, stopped).await;
        self.leaves(presence).await;
        if over == Over::Drained {
            join_all(&mut runs).await;
            self.leave_drained(&recovery).await;
            let no_more_mails = self.notify_at_last().await;
            // Only then the mails may go on: one that a helper began now would be cut off.
            helpers.end().await;
            drop(no_more_mails);
            return Ok(());
        }

        let grace = self.config.shutdown_grace;
        tracing::info!(runs = runs.len(), grace_seconds = grace.as_secs(), "stopping");
        faults::point("stop-begun");
        if died.is_none() {
            tokio::select! {
                _ = tokio::time::timeout(grace, join_all(&mut runs)) => {}
                () = at_once => tracing::info!(runs = runs.len(), "stopping at once"),
                helper = helpers.died() => died = Some(helper),
            }
        }
        in_flight.cancel_all(CancelReason::Shutdown);
        faults::point("stop-told");
        if tokio::time::timeout(LAST_GRACE, join_all(&mut runs)).await.is_err() {
            tracing::warn!(runs = runs.len(), "stopped with runs unfinished: the next worker recovers them");
            runs.shutdown().await;
        }
        let no_more_mails = self.quiet().await;
        // As above.
        helpers.end().await;
        drop(no_more_mails);
        died.map_or(Ok(()), |helper| Err(helper.into()))
    }

    async fn claim_until(
        &self,
        recovery: &Recovery,
        in_flight: &RunsInFlight,
        runs: &mut JoinSet<()>,
        stop: impl Future<Output = ()>,
    ) -> Over {
        let slots = Arc::new(Semaphore::new(self.config.slots));
        let waker = Waker::new(self.system.pool.clone(), self.config.poll);
        let mut drain = self.drain.map(Drain::new);
        tokio::pin!(stop);
        loop {
            let permit = tokio::select! {
                () = &mut stop => return Over::Stopped,
                permit = Arc::clone(&slots).acquire_owned() => permit.expect("the semaphore is never closed"),
            };
            while let Some(ended) = runs.try_join_next() {
                notice(ended);
            }
            let mut idle = match queue::claim(&self.system.pool, &self.claimant).await {
                Ok(Some(claimed)) => {
                    if let Some(drain) = &mut drain {
                        drain.has_work();
                    }
                    let (worker, in_flight) = (self.clone(), in_flight.clone());
                    spawn_in(runs, async move {
                        worker.run_one(claimed, &in_flight, RecordsTo::Nobody, move || drop(permit)).await;
                    });
                    continue;
                }
                Ok(None) => self.config.poll,
                Err(error) => {
                    tracing::warn!("failed to claim: {error:#}");
                    CLAIM_PAUSE
                }
            };
            if let Some(drain) = &mut drain {
                if slots.available_permits() + 1 == self.config.slots {
                    match self.is_drained(drain, recovery).await {
                        Ok(true) => return Over::Drained,
                        Ok(false) => {}
                        Err(error) => tracing::warn!("failed to look what is left to do: {error:#}"),
                    }
                }
                idle = idle.min(RECOVERY_INTERVAL);
            }
            drop(permit);
            tokio::select! {
                () = &mut stop => return Over::Stopped,
                () = waker.wait() => {}
                () = tokio::time::sleep(idle) => {}
            }
        }
    }

    /// Recovers the runs of dead processes first: they may be work to do.
    async fn is_drained(&self, drain: &mut Drain, recovery: &Recovery) -> Result<bool> {
        recovery.recover().await?;
        take_over(recovery.clone(), self.claimant.lease).await;
        drain.is_over(&self.system.pool, &self.claimant.takes).await
    }

    async fn leave_drained(&self, recovery: &Recovery) {
        match recovery.archive_left().await {
            Ok(swept) if swept.kept > 0 => {
                tracing::warn!(logs = swept.kept, "logs stay in the spool: the next worker archives them");
            }
            Ok(_) => {}
            Err(error) => tracing::error!("failed to archive what is left in the spool: {error:#}"),
        }
        let (files, writes) = self.problem_files();
        if writes && let Err(error) = files.write_due(true, |_| {}).await {
            tracing::warn!("the next worker writes the Parquet files of problems: {error:#}");
        }
        let mut after = None;
        loop {
            match store::batch::close_finished(&self.system.pool, after, BATCHES).await {
                Ok(Some(last)) => after = Some(last),
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!("finished batches are not marked yet: {error:#}");
                    break;
                }
            }
        }
    }

    /// The files of all runs' problems, and whether this worker writes them.
    fn problem_files(&self) -> (ProblemFiles, bool) {
        let (age, writes) = match self.config.problem_files {
            AgeLimit::AtMost(age) => (age, true),
            AgeLimit::Off => (PROBLEM_FILES, false),
        };
        (ProblemFiles::new(&self.system, age), writes)
    }

    /// Starts the helpers that look after runs and logs of dead workers.
    fn look_after_others(&self, helpers: &mut Helpers, recovery: &Recovery) {
        let sweep = self.config.sweep;
        let (pool, lease) = (self.system.pool.clone(), self.claimant.lease);
        helpers.every("reap", RECOVERY_INTERVAL, move || reap(pool.clone(), lease));
        let dead = recovery.clone();
        helpers.every("recover", RECOVERY_INTERVAL, move || recover(dead.clone()));
        if self.archiver.tail().kept().is_some() {
            let gone = recovery.clone();
            helpers.every("take-over", RECOVERY_INTERVAL, move || take_over(gone.clone(), lease));
        }
        let left = recovery.clone();
        helpers.every("sweep", sweep, move || archive_due(left.clone()));
        let (files, writes) = self.problem_files();
        helpers.every("problems", sweep, move || write_problems(files.clone(), writes));
        let pool = self.system.pool.clone();
        let turn = Arc::default();
        helpers.every("batches", sweep, move || close_batches(pool.clone(), Arc::clone(&turn)));
    }
}

async fn reap(pool: store::PgPool, lease: Duration) {
    match queue::reap(&pool, lease).await {
        Ok(reaped) => {
            for run in reaped {
                tracing::warn!(%run, "crashed: its lease is over");
            }
        }
        Err(error) => tracing::debug!("failed to look over the leases: {error:#}"),
    }
}

async fn recover(recovery: Recovery) {
    match recovery.recover().await {
        Ok(0) => {}
        Ok(logs) => tracing::info!(logs, "closed logs of dead processes"),
        Err(error) => tracing::error!("failed to recover what dead processes left: {error:#}"),
    }
}

async fn take_over(recovery: Recovery, patience: Duration) {
    if let Err(error) = recovery.take_over(patience).await {
        tracing::debug!("failed to look for the logs of machines that are gone: {error:#}");
    }
}

async fn archive_due(recovery: Recovery) {
    match recovery.archive_due().await {
        Ok(swept) if swept != Default::default() => {
            tracing::info!(archived = swept.archived, kept = swept.kept, "swept the spool");
        }
        Ok(_) => {}
        Err(error) => tracing::error!("failed to sweep the spool: {error:#}"),
    }
}

/// A worker that writes none still takes note of what changed, so that it does not pile up.
async fn write_problems(files: ProblemFiles, writes: bool) {
    let done = if writes { files.write_due(false, |_| {}).await } else { files.collect().await.map(|()| 0) };
    match done {
        Ok(0) => {}
        Ok(files) => tracing::debug!(files, "wrote Parquet files of problems"),
        Err(error) => tracing::warn!("a Parquet file of problems waits: {error:#}"),
    }
}

/// Whoever ends the last run of a batch marks the batch; this helper covers processes that died before. Each time it
/// goes on behind the last batch of the time before, and it counts what ended.
async fn close_batches(pool: store::PgPool, turn: Arc<Mutex<Option<BatchId>>>) {
    let after = *turn.lock().unwrap_or_else(PoisonError::into_inner);
    match store::batch::close_finished(&pool, after, BATCHES).await {
        Ok(last) => *turn.lock().unwrap_or_else(PoisonError::into_inner) = last,
        Err(error) => tracing::debug!("finished batches are not marked yet: {error:#}"),
    }
    if let Err(error) = store::tally::advance(&pool, ENDED).await {
        tracing::debug!("ended runs are not counted yet: {error:#}");
    }
}

async fn join_all(runs: &mut JoinSet<()>) {
    while let Some(ended) = runs.join_next().await {
        notice(ended);
    }
}

fn notice(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!("the task of a run died, and its run ends as a crash: {error}");
    }
}
