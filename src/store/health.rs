//! Queries over several tables for a check of the whole system.

use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, PgExecutor};

use super::failure::DbContext as _;
use super::{LogState, RunStatus};
use crate::ids::{BatchId, RunId};

/// A folder that may hold logs: that of a submitted file; empty for a key without a folder.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct LogFolder {
    pub bucket: String,
    pub folder: String,
}

/// A summary of a run's row about its log.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct LogFacts {
    pub id: RunId,
    pub status: RunStatus,
    pub finished_at: Option<DateTime<Utc>>,
    pub log_state: LogState,
    /// When somebody let a pruned log go.
    pub let_go_at: Option<DateTime<Utc>>,
    /// Of its file.
    pub legal_hold: bool,
}

/// A running run that should have ended.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct Stuck {
    pub id: RunId,
    pub worker: String,
    pub deadline: Option<DateTime<Utc>>,
    /// Its lease expired and no worker ended it; otherwise it is past its deadline.
    pub lease_is_over: bool,
    /// Its lease expired `grace` ago, so no outage explains it.
    pub lease_is_long_over: bool,
}

/// A batch with unfinished runs.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Overdue {
    pub id: BatchId,
    pub deadline: DateTime<Utc>,
    pub unfinished: i64,
}

/// Asks whether the database answers.
///
/// # Errors
/// It does not.
pub async fn ping(db: impl PgExecutor<'_>) -> Result<()> {
    sqlx::query("select 1").execute(db).await.context("the database does not answer")?;
    Ok(())
}

/// The folders of all submitted files, without a last slash.
///
/// # Errors
/// The database fails.
pub async fn log_folders(db: impl PgExecutor<'_>) -> Result<Vec<LogFolder>> {
    sqlx::query_as(
        "select distinct bucket, regexp_replace(key, '/?[^/]*$', '') as folder from data_file order by 1, 2",
    )
    .fetch_all(db)
    .await
    .context("failed to list the folders of submitted files")
}

/// The buckets of all submitted files.
///
/// # Errors
/// The database fails.
pub async fn buckets(db: impl PgExecutor<'_>) -> Result<Vec<String>> {
    sqlx::query_scalar("select distinct bucket from data_file order by 1")
        .fetch_all(db)
        .await
        .context("failed to list the buckets of submitted files")
}

/// The facts of those runs that are in the database.
///
/// # Errors
/// The database fails.
pub async fn log_facts(db: impl PgExecutor<'_>, runs: &[RunId]) -> Result<Vec<LogFacts>> {
    sqlx::query_as(
        "select id, status, finished_at, log_state, legal_hold,
                case log_state when 'pruned' then
                    (select max(e.at) from log_entry e where e.run_id = run.id and e.entry = 'deleting')
                end as let_go_at
         from run where id = any($1)",
    )
    .bind(runs.iter().map(|run| run.0).collect::<Vec<_>>())
    .fetch_all(db)
    .await
    .context("failed to read what the rows say of logs")
}

/// The running runs whose lease expired `reaped` ago, so that any worker would have ended them by now, or whose
/// deadline passed `grace` ago.
///
/// # Errors
/// The database fails.
pub async fn stuck(db: impl PgExecutor<'_>, reaped: Duration, grace: Duration) -> Result<Vec<Stuck>> {
    sqlx::query_as(
        "select id, worker, deadline, lease_until < now() - $1 as lease_is_over,
                lease_until < now() - $2 as lease_is_long_over
         from parse_file_meta
         where status = 'running' and (lease_until < now() - $1 or deadline < now() - $2)
         order by id",
    )
    .bind(reaped)
    .bind(grace)
    .fetch_all(db)
    .await
    .context("failed to look for stuck runs")
}

/// The batches that are past their deadline and not finished.
///
/// # Errors
/// The database fails.
pub async fn overdue(db: impl PgExecutor<'_>) -> Result<Vec<Overdue>> {
    sqlx::query_as(
        "select b.id, b.deadline, count(r.id) as unfinished
         from parse_meta b
         join parse_file_meta r on r.batch_id = b.id and r.finished_at is null
         where b.finished_at is null and b.deadline < now()
         group by b.id order by b.id",
    )
    .fetch_all(db)
    .await
    .context("failed to look for overdue batches")
}
