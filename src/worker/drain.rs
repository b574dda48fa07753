//! A draining worker with nothing to claim: it waits for retries that are not due, and for runs of workers
//! that may be dead.
//!
//! It waits for another worker's run until the run's lease is prolonged, which only a living worker does, or
//! expires, and the reaper ends the run. So the dead delay a drain by at most a lease and the time for which
//! the reaper trusts no new connection.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, Utc};
use tokio::time::Instant;

use crate::clock;
use crate::ids::RunId;
use crate::queue::{self, Takes, Unfinished};
use crate::store::PgPool;

/// Most left runs to name; for more, only the number.
const NAMED: usize = 20;

/// The patience of one drain.
pub(super) struct Drain {
    wait: Duration,
    /// The time since which there was nothing to do.
    idle_since: Instant,
    /// The leases of other workers' runs, as first seen.
    leases: HashMap<RunId, DateTime<Utc>>,
}

impl Drain {
    pub(super) fn new(wait: Duration) -> Self {
        Self { wait, idle_since: Instant::now(), leases: HashMap::new() }
    }

    /// A run was claimed: the wait starts again after it.
    pub(super) fn has_work(&mut self) {
        self.idle_since = Instant::now();
    }

    /// Whether the drain is over. Ask when nothing can be claimed and nothing runs here. Names the runs that
    /// it leaves.
    ///
    /// # Errors
    /// The database fails.
    pub(super) async fn is_over(&mut self, pool: &PgPool, takes: &Takes) -> Result<bool> {
        let unfinished = queue::unfinished(pool).await?;
        let is_foreign = |run: &Unfinished| run.worker.is_none() && !takes.has(&run.program, &run.section);
        let (foreign, ours): (Vec<_>, Vec<_>) = unfinished.into_iter().partition(is_foreign);
        let left: Vec<Unfinished> = ours.into_iter().filter(|run| self.waits_for(run)).collect();
        let rest = self.wait.saturating_sub(self.idle_since.elapsed());
        if left.iter().any(|run| run.due_in() < rest) {
            return Ok(false);
        }
        for run in left.iter().take(NAMED) {
            tracing::warn!(run = %run.id, "left to other workers after {:?}: {}", self.wait, words(run));
        }
        for run in foreign.iter().take(NAMED) {
            let (program, section) = (&run.program, &run.section);
            tracing::warn!(run = %run.id, "left to other workers: there is no parser for {program}/{section} here");
        }
        let named = left.len().min(NAMED) + foreign.len().min(NAMED);
        if left.len() + foreign.len() > named {
            let runs = left.len() + foreign.len() - named;
            tracing::warn!(runs, "more runs are left: `parselog runs` lists them");
        }
        Ok(true)
    }

    fn waits_for(&mut self, run: &Unfinished) -> bool {
        let Some(lease) = run.lease_until else { return true };
        *self.leases.entry(run.id).or_insert(lease) == lease
    }
}

fn words(run: &Unfinished) -> String {
    match (&run.worker, run.lease_until) {
        (Some(worker), Some(until)) => {
            format!("it runs in {worker}, whose lease lasts until {}", clock::exact_moment(until))
        }
        _ => format!(
            "attempt {} waits until {}, or for another run of its file",
            run.attempt,
            clock::exact_moment(run.run_after)
        ),
    }
}
