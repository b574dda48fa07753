//! `log_follow` and `log_piece`: shipping the log of a running run to readers on other machines.

use std::time::Duration;

use anyhow::Result;
use sqlx::PgExecutor;
use uuid::Uuid;

use super::failure::DbContext as _;
use super::fit;
use crate::ids::RunId;

/// Says that somebody follows the run's log, for so long.
///
/// # Errors
/// The database fails, or does not know the run.
pub async fn want(db: impl PgExecutor<'_>, run: RunId, how_long: Duration) -> Result<()> {
    sqlx::query(
        "insert into log_follow (run_id, wanted_until) values ($1, now() + $2)
         on conflict (run_id) do update set wanted_until = greatest(log_follow.wanted_until, excluded.wanted_until)",
    )
    .bind(run)
    .bind(how_long)
    .execute(db)
    .await
    .with_context(|| format!("failed to ask for the log of run {run}"))?;
    Ok(())
}

/// The followed ones of these runs, and up to which byte their logs were shipped.
///
/// # Errors
/// The database fails.
pub async fn wanted(db: impl PgExecutor<'_>, runs: &[RunId]) -> Result<Vec<(RunId, Option<i64>)>> {
    let ids: Vec<Uuid> = runs.iter().map(|run| run.0).collect();
    sqlx::query_as(
        "select run_id, shipped_to from log_follow where run_id = any($1) and wanted_until > now()",
    )
    .bind(ids)
    .fetch_all(db)
    .await
    .context("failed to look for readers of running logs")
}

/// Ships the bytes that begin at byte `at`, unless others already did, and drops pieces more than `kept` bytes
/// behind them: a slower reader misses some.
///
/// # Errors
/// The database fails.
pub async fn ship(
    db: impl PgExecutor<'_>,
    run: RunId,
    shipped_to: Option<i64>,
    at: u64,
    bytes: &[u8],
    kept: u64,
) -> Result<()> {
    sqlx::query(
        "with now_at as (
             update log_follow set shipped_to = $3 + octet_length($4)
             where run_id = $1 and shipped_to is not distinct from $2 returning shipped_to
         ), dropped as (
             delete from log_piece p using now_at where p.run_id = $1 and p.at < now_at.shipped_to - $5
         )
         insert into log_piece (run_id, at, bytes) select $1, $3, $4 from now_at",
    )
    .bind(run)
    .bind(shipped_to)
    .bind(fit::count(at))
    .bind(bytes)
    .bind(fit::count(kept))
    .execute(db)
    .await
    .with_context(|| format!("failed to ship the log of run {run}"))?;
    Ok(())
}

/// The pieces from this byte on, in order.
///
/// # Errors
/// The database fails.
pub async fn pieces(db: impl PgExecutor<'_>, run: RunId, from: u64) -> Result<Vec<(i64, Vec<u8>)>> {
    sqlx::query_as("select at, bytes from log_piece where run_id = $1 and at >= $2 order by at")
        .bind(run)
        .bind(fit::count(from))
        .fetch_all(db)
        .await
        .with_context(|| format!("failed to fetch the log of run {run}"))
}

/// Drops pieces that nobody wants any more.
///
/// # Errors
/// The database fails.
pub async fn clean(db: impl PgExecutor<'_>) -> Result<()> {
    sqlx::query("delete from log_follow where wanted_until < now()")
        .execute(db)
        .await
        .context("failed to drop logs that nobody follows")?;
    Ok(())
}
