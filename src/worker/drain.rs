//! What a worker that drains waits for when nothing can be claimed: retries that are not due, and runs of
//! workers that may be dead.
//!
//! A run of another worker is waited for until its lease is prolonged, which only a living worker does,
//! or is over, and the run is ended. So a lease, and the time for which the reaper trusts no new
//! connection, is the longest that the dead hold up a drain.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, Utc};
use tokio::time::Instant;

use crate::ids::RunId;
use crate::queue::{self, Unfinished};
use crate::store::PgPool;

/// Runs that are named when they are left; of more only the number.
const NAMED: usize = 20;

/// The patience of one drain.
pub(super) struct Drain {
    wait: Duration,
    /// Since when there has been nothing to do.
    idle_since: Instant,
    /// The leases of other workers' runs, as they were first seen.
    leases: HashMap<RunId, DateTime<Utc>>,
}

impl Drain {
    pub(super) fn new(wait: Duration) -> Self {
        Self { wait, idle_since: Instant::now(), leases: HashMap::new() }
    }

    /// A run was claimed: the wait begins anew after it.
    pub(super) fn has_work(&mut self) {
        self.idle_since = Instant::now();
    }

    /// Whether the drain is over, asked when nothing can be claimed and nothing runs here. Names what it
    /// leaves.
    ///
    /// # Errors
    /// The database fails.
    pub(super) async fn is_over(&mut self, pool: &PgPool) -> Result<bool> {
        let unfinished = queue::unfinished(pool).await?;
        let left: Vec<Unfinished> = unfinished.into_iter().filter(|run| self.waits_for(run)).collect();
        let rest = self.wait.saturating_sub(self.idle_since.elapsed());
        if left.iter().any(|run| run.due_in() < rest) {
            return Ok(false);
        }
        for run in left.iter().take(NAMED) {
            tracing::warn!(run = %run.id, "left to other workers after {:?}: {}", self.wait, words(run));
        }
        if left.len() > NAMED {
            tracing::warn!(runs = left.len() - NAMED, "more runs are left: `parselog runs` lists them");
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
        (Some(worker), Some(until)) => format!("it runs in {worker}, whose lease lasts until {until}"),
        _ => format!("attempt {} waits until {}, or for another run of its file", run.attempt, run.run_after),
    }
}
