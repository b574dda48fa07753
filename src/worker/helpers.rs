//! The helpers of a worker: its recurring tasks beside the runs.
//!
//! None may die in silence. Without a vital one the runs are not safe, so its death ends the worker. The
//! others work off the spool and the database, which wait: after a panic such a helper starts again.
//! This file does not know what a helper does; `service` decides what happens to the worker.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::task::JoinSet;

use super::{RunsInFlight, Worker};
use crate::carry::spawn_in;
use crate::faults;
use crate::spool::SYNC_INTERVAL;

/// How long a helper pauses after a panic.
const PAUSE: Duration = Duration::from_secs(1);

/// A vital helper died.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the helper '{0}' died, without which no run is safe: the worker stopped; start it again")]
pub struct HelperDied(pub &'static str);

/// The helpers of one worker; dropping this ends them.
#[derive(Debug, Default)]
pub struct Helpers(JoinSet<HelperDied>);

impl Helpers {
    /// Does `work` every `interval`, for ever; after a panic it pauses and goes on.
    pub(super) fn every<F>(
        &mut self,
        name: &'static str,
        interval: Duration,
        mut work: impl FnMut() -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        spawn_in(&mut self.0, async move {
            loop {
                let _ = AssertUnwindSafe(repeat(name, interval, &mut work)).catch_unwind().await;
                tracing::error!(helper = name, "the helper '{name}' died; it starts again in {PAUSE:?}");
                tokio::time::sleep(PAUSE).await;
            }
        });
    }

    /// Watches a task that must never end, neither by a panic nor otherwise.
    fn vital(&mut self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        spawn_in(&mut self.0, async move {
            let _ = AssertUnwindSafe(work).catch_unwind().await;
            HelperDied(name)
        });
    }

    /// Ends them, and returns once none of them does anything more.
    pub async fn end(mut self) {
        self.0.shutdown().await;
    }

    /// Waits until a vital helper dies, and returns which one.
    pub async fn died(&mut self) -> HelperDied {
        let ended = self.0.join_next().await;
        let died = ended.and_then(Result::ok).unwrap_or(HelperDied("supervisor"));
        tracing::error!(helper = died.0, "{died}");
        died
    }
}

impl Worker {
    /// The helpers that every process with runs needs: heartbeats, the sync of open logs, and their remote tail.
    pub fn helpers(&self, in_flight: &RunsInFlight) -> Helpers {
        let mut helpers = Helpers::default();
        let (worker, beating) = (self.clone(), in_flight.clone());
        let beat = move || {
            let (worker, in_flight) = (worker.clone(), beating.clone());
            async move { in_flight.beat(&worker).await }
        };
        helpers.vital("beat", repeat("beat", self.heartbeat, beat));
        let syncer = self.syncer.clone();
        helpers.vital("sync", async move {
            while syncer.is_alive() {
                tokio::time::sleep(SYNC_INTERVAL).await;
            }
        });
        let tail = self.archiver.tail().clone();
        helpers.every("ship", tail.tick(), move || {
            let tail = tail.clone();
            async move { tail.ship().await }
        });
        helpers
    }
}

async fn repeat<F>(name: &'static str, interval: Duration, mut work: impl FnMut() -> F)
where
    F: Future<Output = ()>,
{
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        faults::helper(name);
        work().await;
    }
}
