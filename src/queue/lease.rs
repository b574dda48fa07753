//! Leases: keeping them by heartbeats, and ending the runs whose worker let them go.

use std::time::Duration;

use anyhow::Result;
use sqlx::FromRow;
use uuid::Uuid;

use super::finish::{Ending, Finished, Guard, end};
use crate::faults;
use crate::ids::RunId;
use crate::store::Context as _;
use crate::store::{self, PgPool};

/// Within this after the end of a lease a worker that lives ends the run.
pub const REAPED_WITHIN: Duration = Duration::from_secs(5);

/// What a heartbeat tells about one run that is still ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct Beat {
    #[sqlx(rename = "id")]
    pub run: RunId,
    /// Somebody asked for the run to stop.
    pub cancel_requested: bool,
}

/// Prolongs the leases of all runs that a worker has, from now. A run that is missing in the answer
/// is not the worker's any more, and nothing that the worker says of it counts.
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

/// The runs that are running, in whatever worker. There are no more of them than slots.
///
/// # Errors
/// The database fails.
pub async fn running(pool: &PgPool) -> Result<Vec<RunId>> {
    sqlx::query_scalar("select id from parse_file_meta where status = 'running'")
        .fetch_all(pool)
        .await
        .context("failed to list the running runs")
}

/// Ends the runs whose lease is over as crashed, and queues their next attempts;
/// returns the crashed runs.
///
/// It ends nothing before the database has answered for `grace`, which is one lease. After the database,
/// or the way to it, was gone for longer than a lease, all leases are over although their workers live:
/// they get that long for a heartbeat.
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

/// As [`reap`], for leases that were over `long` ago, however long the database has answered: for a person who
/// looks after the system where no worker does.
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
        // The worker may have come back in between, so the lease is looked at once more.
        match end(pool, run, Some(token), &ending, Guard::LeaseIsOver).await {
            Ok(Finished::Yes) => {
                faults::point("reap-ended");
                reaped.push(run);
            }
            Ok(_) => {}
            // One row that refuses holds up no other.
            Err(error) if store::refusal(&error).is_some() => {
                tracing::error!(%run, "a run whose lease is over can't be ended: {error:#}");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(reaped)
}
