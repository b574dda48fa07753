//! The loop around `run_one`: claim while there are slots, sweep, beat, reap, and stop in order.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::Instrument;

use super::{Service, Watch, Worker};
use crate::parser::CancelReason;
use crate::queue::{self, Waker};
use crate::store;

/// How often the leases of all workers are looked over.
const REAP_INTERVAL: Duration = Duration::from_secs(1);

/// How often the spool is looked through for what dead processes left.
const RECOVERY_INTERVAL: Duration = Duration::from_secs(1);

/// How long stopped runs get to hand back, and finished logs to be archived, once the grace is over.
const LAST_GRACE: Duration = Duration::from_secs(10);

/// How long to wait before the database is asked again after it failed.
const CLAIM_PAUSE: Duration = Duration::from_secs(1);

impl Worker {
    /// Serves the queue until `stop` resolves, or until the queue is empty where `service` says so.
    ///
    /// Runs in flight get the grace to finish; then they are handed back. Logs that are not archived
    /// by the end stay in the spool for the next sweep.
    ///
    /// # Errors
    /// Only before anything was claimed: when the spool can't be read.
    pub async fn serve(&self, service: Service, stop: impl Future<Output = ()>) -> Result<()> {
        self.spool.list().context("failed to read the spool")?;
        let watch = Watch::default();
        let mut helpers = JoinSet::new();
        let (worker, beat) = (self.clone(), watch.clone());
        spawn_in(&mut helpers, async move { beat.beat(&worker, service.heartbeat).await });
        let (worker, shipping) = (self.clone(), watch.clone());
        spawn_in(&mut helpers, async move { shipping.ship(&worker).await });
        let worker = self.clone();
        spawn_in(&mut helpers, async move { worker.reap_for_ever().await });
        let worker = self.clone();
        spawn_in(&mut helpers, async move { worker.recover_for_ever().await });
        let worker = self.clone();
        spawn_in(&mut helpers, async move { worker.archive_for_ever(service.sweep).await });
        self.watch_for_notices().await;
        let worker = self.clone();
        spawn_in(&mut helpers, async move { worker.notify_for_ever(service.sweep).await });

        let mut runs = JoinSet::new();
        self.claim_until(service, &watch, &mut runs, stop).await;

        if service.drain {
            join_all(&mut runs).await;
            // The reaper's tick may come too late for the batches that ended here.
            if let Err(error) = store::batch::close_finished(&self.pool).await {
                tracing::warn!("finished batches are not marked yet: {error:#}");
            }
            let _no_more_mails = self.notify_at_last().await;
            helpers.abort_all();
            return Ok(());
        }
        tracing::info!(runs = runs.len(), grace_seconds = service.shutdown_grace.as_secs(), "stopping");
        if tokio::time::timeout(service.shutdown_grace, join_all(&mut runs)).await.is_err() {
            watch.cancel_all(CancelReason::Shutdown);
            if tokio::time::timeout(LAST_GRACE, join_all(&mut runs)).await.is_err() {
                tracing::warn!(
                    runs = runs.len(),
                    "stopped with runs unfinished: the next sweep recovers them"
                );
            }
        }
        let _no_more_mails = self.quiet().await;
        helpers.abort_all();
        Ok(())
    }

    async fn claim_until(
        &self,
        service: Service,
        watch: &Watch,
        runs: &mut JoinSet<()>,
        stop: impl Future<Output = ()>,
    ) {
        let slots = Arc::new(Semaphore::new(service.slots));
        let waker = Waker::new(self.pool.clone(), service.poll);
        tokio::pin!(stop);
        loop {
            let permit = tokio::select! {
                () = &mut stop => return,
                permit = Arc::clone(&slots).acquire_owned() => permit.expect("the semaphore is never closed"),
            };
            while runs.try_join_next().is_some() {}
            let idle = match queue::claim(&self.pool, &self.claimant).await {
                Ok(Some(claimed)) => {
                    let (worker, watch) = (self.clone(), watch.clone());
                    spawn_in(runs, async move {
                        worker.run_one(claimed, &watch, None, move || drop(permit)).await;
                    });
                    continue;
                }
                Ok(None) if service.drain && slots.available_permits() + 1 == service.slots => return,
                Ok(None) => service.poll,
                Err(error) => {
                    tracing::warn!("failed to claim: {error:#}");
                    CLAIM_PAUSE
                }
            };
            drop(permit);
            tokio::select! {
                () = &mut stop => return,
                () = waker.wait() => {}
                () = tokio::time::sleep(idle) => {}
            }
        }
    }

    async fn reap_for_ever(&self) {
        let mut ticks = tokio::time::interval(REAP_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match queue::reap(&self.pool, self.claimant.lease).await {
                Ok(reaped) => {
                    for run in reaped {
                        tracing::warn!(%run, "crashed: its lease is over");
                    }
                }
                Err(error) => tracing::debug!("failed to look over the leases: {error:#}"),
            }
        }
    }

    async fn recover_for_ever(&self) {
        let recovery = self.recovery();
        let mut ticks = tokio::time::interval(RECOVERY_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match recovery.recover().await {
                Ok(0) => {}
                Ok(logs) => tracing::info!(logs, "closed logs of dead processes"),
                Err(error) => tracing::error!("failed to recover what dead processes left: {error:#}"),
            }
        }
    }

    async fn archive_for_ever(&self, interval: Duration) {
        let recovery = self.recovery();
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match recovery.archive_left().await {
                Ok(swept) if swept != Default::default() => {
                    tracing::info!(archived = swept.archived, kept = swept.kept, "swept the spool");
                }
                Ok(_) => {}
                Err(error) => tracing::error!("failed to sweep the spool: {error:#}"),
            }
        }
    }
}

async fn join_all(runs: &mut JoinSet<()>) {
    while runs.join_next().await.is_some() {}
}

/// Spawns into a set, which `carry::spawn` can't, inside the current span as it does.
#[expect(clippy::disallowed_methods, reason = "the future carries its span")]
fn spawn_in(set: &mut JoinSet<()>, future: impl Future<Output = ()> + Send + 'static) {
    set.spawn(future.in_current_span());
}
