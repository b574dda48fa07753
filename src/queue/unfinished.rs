//! Unfinished runs, for callers that wait for an empty queue.

use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, Utc};
use sqlx::FromRow;

use crate::ids::RunId;
use crate::store::DbContext as _;
use crate::store::PgPool;

/// A run that is queued or running.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Unfinished {
    pub id: RunId,
    pub attempt: i32,
    pub run_after: DateTime<Utc>,
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
        "select id, attempt, run_after, worker, lease_until, now() as asked_at from parse_file_meta
         where status in ('queued', 'running') order by id",
    )
    .fetch_all(pool)
    .await
    .context("failed to list what is left in the queue")
}
