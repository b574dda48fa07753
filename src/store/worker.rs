//! `worker`: the workers, as each says of itself at every heartbeat. It proves nothing: leases decide whose a run
//! is.

use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use sqlx::postgres::types::PgInterval;
use sqlx::{FromRow, PgExecutor};
use uuid::Uuid;

use super::failure::DbContext as _;
use super::fit;

/// How long the row of a worker stays that says nothing.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// A worker with as many silent heartbeats is not alive.
pub(super) const MISSED: i32 = 3;

/// What a worker says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    pub id: Uuid,
    pub name: String,
    /// How often it says so.
    pub beat: Duration,
    pub slots: usize,
    /// Of its slots.
    pub busy: usize,
    /// What it has a parser for: `program/section`, with `*` for any.
    pub takes: Vec<String>,
    /// Its spool, if its logs are to outlive its machine.
    pub spool: Option<Uuid>,
}

/// A worker that is alive, as far as its last heartbeat tells.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct LiveWorker {
    pub name: String,
    pub started_at: DateTime<Utc>,
    pub seen_at: DateTime<Utc>,
    pub slots: i32,
    pub busy: i32,
    pub takes: Vec<String>,
}

/// Says that a worker is alive. One statement over one row, however many workers there are.
///
/// # Errors
/// The database fails.
pub async fn beat(db: impl PgExecutor<'_>, presence: &Presence) -> Result<()> {
    sqlx::query(
        "insert into worker (id, name, beat, slots, busy, takes, spool) values ($1, $2, $3, $4, $5, $6, $7)
         on conflict (id) do update set seen_at = now(), busy = excluded.busy",
    )
    .bind(presence.id)
    .bind(fit::label(&presence.name))
    .bind(presence.beat)
    .bind(i32::try_from(presence.slots).unwrap_or(i32::MAX))
    .bind(i32::try_from(presence.busy).unwrap_or(i32::MAX))
    .bind(&presence.takes)
    .bind(presence.spool)
    .execute(db)
    .await
    .context("failed to say that the worker is alive")?;
    Ok(())
}

/// Removes the rows of workers that have said nothing for a day.
///
/// # Errors
/// The database fails.
pub async fn forget_silent(db: impl PgExecutor<'_>) -> Result<()> {
    sqlx::query("delete from worker where seen_at < now() - $1")
        .bind(KEPT)
        .execute(db)
        .await
        .context("failed to forget silent workers")?;
    Ok(())
}

/// Says that a worker takes no more runs.
///
/// # Errors
/// The database fails.
pub async fn stop(db: impl PgExecutor<'_>, id: Uuid) -> Result<()> {
    sqlx::query("update worker set seen_at = now(), stopped_at = now() where id = $1")
        .bind(id)
        .execute(db)
        .await
        .context("failed to say that the worker stops")?;
    Ok(())
}

/// The workers that are alive, by name. Busy are as many slots as a worker said last, or as its runs take by now.
///
/// # Errors
/// The database fails.
pub async fn live(db: impl PgExecutor<'_>) -> Result<Vec<LiveWorker>> {
    sqlx::query_as(
        "select name, started_at, seen_at, slots,
                greatest(busy, least(slots, (select count(*) from parse_file_meta r
                                             where r.status = 'running' and r.worker = worker.name)))::int as busy,
                takes
         from worker where stopped_at is null and seen_at > now() - beat * $1 order by name, started_at",
    )
    .bind(f64::from(MISSED))
    .fetch_all(db)
    .await
    .context("failed to list the workers")
}

/// How long ago any worker looked for runs; `None` if none did within a day.
///
/// # Errors
/// The database fails.
pub async fn last_looked(db: impl PgExecutor<'_>) -> Result<Option<TimeDelta>> {
    let ago: Option<PgInterval> = sqlx::query_scalar("select now() - max(seen_at) from worker")
        .fetch_one(db)
        .await
        .context("failed to ask when a worker looked last")?;
    Ok(ago.map(|ago| TimeDelta::days(ago.days.into()) + TimeDelta::microseconds(ago.microseconds)))
}
