//! `log_follow`: who reads a running log from another machine; its pieces come sooner then.

use std::time::Duration;

use anyhow::Result;
use sqlx::PgExecutor;
use uuid::Uuid;

use super::failure::DbContext as _;
use crate::ids::{LogId, RunId};

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

/// Those of these logs, each of a run, that somebody follows.
///
/// # Errors
/// The database fails.
pub async fn wanted(db: impl PgExecutor<'_>, logs: &[LogId]) -> Result<Vec<LogId>> {
    let ids: Vec<Uuid> = logs.iter().map(|log| log.0).collect();
    sqlx::query_scalar("select run_id from log_follow where run_id = any($1) and wanted_until > now()")
        .bind(ids)
        .fetch_all(db)
        .await
        .context("failed to look for readers of running logs")
}
