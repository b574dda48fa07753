//! Leases: prolongs them by heartbeats, ends the runs whose lease expired, and lists what is not ended.

use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, Utc};
use sqlx::FromRow;
use uuid::Uuid;

use super::finish::{Ending, Finished, Guard, end};
use crate::faults;
use crate::ids::RunId;
use crate::store::DbContext as _;
use crate::store::{self, PgPool};

/// A living worker ends a run within this time after its lease expires.
pub const REAPED_WITHIN: Duration = Duration::from_secs(5);

/// The answer of a heartbeat about one run that is still ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct Beat {
    #[sqlx(rename = "id")]
    pub run: RunId,
    /// Somebody asked for the run to stop.
    pub cancel_requested: bool,
}

/// Prolongs the leases of all runs of a worker, from now. If a run is missing in the answer, it is no longer
/// the worker's, and nothing that the worker says about it counts.
///
/// # Errors
/// The database fails; the leases run on.
pub async fn heartbeat(pool: &PgPool, runs: &[(RunId, Uuid)], lease: Duration) -> Result<Vec<Beat>> {
    let (ids, tokens): (Vec<Uuid>, Vec<Uuid>) = runs.iter().map(|(run, token)| (run.0, *token)).unzip();
    sqlx::query_as(
        "update parse_file_meta r set heartbeat_at = now(), lease_until = now() + $3
         from unnest($1::uuid[], $2::uuid[]) as mine (id, token)
         where r.id = mine.id and r.lease_token = mine.token and r.status = 'running'
         returning r.id, r.cancel_requested_at is not null as cancel_requested",
    )
    .bind(ids)
    .bind(tokens)
    .bind(lease)
    .fetch_all(pool)
    .await
    .context("failed to prolong leases")
}

/// All running runs, in any worker: at most one per slot.
///
/// # Errors
/// The database fails.
pub async fn running(pool: &PgPool) -> Result<Vec<RunId>> {
    sqlx::query_scalar("select id from parse_file_meta where status = 'running'")
        .fetch_all(pool)
        .await
        .context("failed to list the running runs")
}

/// Ends runs with an expired lease as crashed, and queues their next attempts, which are due at once;
/// returns the crashed runs.
///
/// It does nothing until the database has answered for `grace`, which is one lease: after an outage of the
/// database or the network that is longer than a lease, every lease looks expired although its worker lives.
/// This gives the workers time for a heartbeat.
///
/// # Errors
/// The database fails; what was reaped before stays so.
pub async fn reap(pool: &PgPool, grace: Duration) -> Result<Vec<RunId>> {
    let expired: Vec<(RunId, Uuid)> = sqlx::query_as(
        "select id, lease_token from parse_file_meta where status = 'running' and lease_until < now()",
    )
    .fetch_all(pool)
    .await
    .context("failed to look for runs whose lease is over")?;
    if pool.steady_for() < grace {
        return Ok(Vec::new());
    }
    end_expired(pool, expired).await
}

/// Like [`reap`], for leases that expired `long` ago, without a grace: for a person who looks after a system
/// without a running worker.
///
/// # Errors
/// The database fails; what was reaped before stays so.
pub async fn reap_long_expired(pool: &PgPool, long: Duration) -> Result<Vec<RunId>> {
    let expired: Vec<(RunId, Uuid)> = sqlx::query_as(
        "select id, lease_token from parse_file_meta where status = 'running' and lease_until < now() - $1",
    )
    .bind(long)
    .fetch_all(pool)
    .await
    .context("failed to look for runs whose lease is over")?;
    end_expired(pool, expired).await
}

async fn end_expired(pool: &PgPool, expired: Vec<(RunId, Uuid)>) -> Result<Vec<RunId>> {
    let mut reaped = Vec::new();
    if !expired.is_empty() {
        faults::point("reap-found");
    }
    for (run, token) in expired {
        let ending = Ending::Crash { reason: "the lease is over: the worker stopped answering".to_owned() };
        // The worker may have come back in between, so check the lease again.
        match end(pool, run, Some(token), &ending, Guard::LeaseIsOver).await {
            Ok(Finished::Yes) => {
                faults::point("reap-ended");
                reaped.push(run);
            }
            Ok(_) => {}
            // One refused row must not block the others.
            Err(error) if store::refusal(&error).is_some() => {
                tracing::error!(%run, "a run whose lease is over can't be ended: {error:#}");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(reaped)
}

/// A run that is queued or running.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Unfinished {
    pub id: RunId,
    pub attempt: i32,
    pub run_after: DateTime<Utc>,
    /// Of its file.
    pub program: String,
    pub section: String,
    /// The worker, while it runs.
    pub worker: Option<String>,
    /// The end of its lease, while it runs.
    pub lease_until: Option<DateTime<Utc>>,
    /// The database's current time.
    pub asked_at: DateTime<Utc>,
}

impl Unfinished {
    /// How long the run must wait: until it is due, or its lease expires.
    pub fn due_in(&self) -> Duration {
        (self.lease_until.unwrap_or(self.run_after) - self.asked_at).to_std().unwrap_or_default()
    }
}

/// All runs that are queued or running, in any worker.
///
/// # Errors
/// The database fails.
pub async fn unfinished(pool: &PgPool) -> Result<Vec<Unfinished>> {
    sqlx::query_as(
        "select r.id, r.attempt, r.run_after, f.program, f.section, r.worker, r.lease_until, now() as asked_at
         from parse_file_meta r join data_file f on f.id = r.data_file_id
         where r.finished_at is null order by r.id",
    )
    .fetch_all(pool)
    .await
    .context("failed to list what is left in the queue")
}
