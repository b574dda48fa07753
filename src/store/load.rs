//! The load of the whole system, in numbers: what waits, what runs, and what ended lately.

use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, PgExecutor};

use super::failure::DbContext as _;
use super::worker::MISSED;
use super::{LogState, RunStatus};
use crate::ids::RunId;
use crate::parser::LAST_WORDS;

/// Queued runs of files of one kind.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct Backlog {
    pub program: String,
    pub section: String,
    pub queued: i64,
    /// Those of them that could start now.
    pub due: i64,
    /// Since when the oldest of these could.
    pub oldest_due_at: Option<DateTime<Utc>>,
}

/// A run that a worker has.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct RunningRun {
    pub id: RunId,
    pub name: String,
    pub attempt: i32,
    pub worker: String,
    pub started_at: DateTime<Utc>,
    pub heartbeat_at: DateTime<Utc>,
}

/// Runs that ended alike.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct EndedRuns {
    /// The verdict, or the status of a run without one.
    pub outcome: String,
    pub runs: i64,
}

/// Runs that did not succeed, for one reason.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct Failing {
    pub status: RunStatus,
    /// Without the last words of a program, which differ from run to run.
    pub failure: String,
    pub runs: i64,
    /// The newest of them.
    pub latest: RunId,
}

/// Logs that are not where they belong.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct KeptBack {
    pub state: LogState,
    pub logs: i64,
}

/// The system in a few numbers, for whoever watches it.
#[derive(Debug, Clone, Default, PartialEq, Eq, FromRow)]
pub struct SystemCounts {
    pub due: i64,
    /// Seconds since the oldest run that is due could have started.
    pub oldest_due_seconds: i64,
    /// Complete logs that are not in the object store.
    pub unarchived: i64,
    pub workers: i64,
    pub slots: i64,
    pub busy: i64,
}

/// So many of a kind, which the code of a row names.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct CodeCount {
    pub code: String,
    pub rows: i64,
}

/// The system in a few numbers.
///
/// # Errors
/// The database fails.
pub async fn counts(db: impl PgExecutor<'_>) -> Result<SystemCounts> {
    sqlx::query_as(
        "with due as (
             select count(*) as due, coalesce(extract(epoch from now() - min(run_after)), 0)::bigint as oldest_due_seconds
             from parse_file_meta where status = 'queued' and run_after <= now()
         ), live as (
             select count(*) as workers, coalesce(sum(slots), 0) as slots, coalesce(sum(busy), 0) as busy
             from worker where stopped_at is null and seen_at > now() - beat * $1
         )
         select due.*, live.*,
                (select count(*) from log where state in ('sealed', 'fallback')) as unarchived
         from due, live",
    )
    .bind(f64::from(MISSED))
    .fetch_one(db)
    .await
    .context("failed to count what there is to do")
}

/// The mails that did not arrive, by their state.
///
/// # Errors
/// The database fails.
pub async fn undelivered(db: impl PgExecutor<'_>) -> Result<Vec<CodeCount>> {
    sqlx::query_as(
        "select state as code, count(*) as rows from notice where state in ('queued', 'sending', 'failed') group by 1",
    )
    .fetch_all(db)
    .await
    .context("failed to count the mails that did not arrive")
}

/// What is queued, by the kind of file.
///
/// # Errors
/// The database fails.
pub async fn backlog(db: impl PgExecutor<'_>) -> Result<Vec<Backlog>> {
    sqlx::query_as(
        "with kind as (
             select file_kind, count(*) as queued, count(*) filter (where run_after <= now()) as due,
                    min(run_after) filter (where run_after <= now()) as oldest_due_at
             from parse_file_meta where status = 'queued' and file_kind is not null group by 1
             union all
             select f.program || '/' || f.section, count(*), count(*) filter (where r.run_after <= now()),
                    min(r.run_after) filter (where r.run_after <= now())
             from parse_file_meta r join data_file f on f.id = r.data_file_id
             where r.status = 'queued' and r.file_kind is null group by 1
         )
         select split_part(file_kind, '/', 1) as program, split_part(file_kind, '/', 2) as section,
                sum(queued)::bigint as queued, sum(due)::bigint as due, min(oldest_due_at) as oldest_due_at
         from kind group by 1, 2 order by 1, 2",
    )
    .fetch_all(db)
    .await
    .context("failed to measure the queue")
}

/// What runs, the oldest first.
///
/// # Errors
/// The database fails.
pub async fn running(db: impl PgExecutor<'_>) -> Result<Vec<RunningRun>> {
    sqlx::query_as(
        "select id, name, attempt, worker, started_at, heartbeat_at from run
         where status = 'running' order by started_at, id",
    )
    .fetch_all(db)
    .await
    .context("failed to list what runs")
}

/// What ended within this time, the most frequent first.
///
/// # Errors
/// The database fails.
pub async fn ended(db: impl PgExecutor<'_>, within: Duration) -> Result<Vec<EndedRuns>> {
    sqlx::query_as(
        "select coalesce(summary_status, status) as outcome, count(*) as runs from parse_file_meta
         where finished_at >= now() - $1 group by 1 order by 2 desc, 1",
    )
    .bind(within)
    .fetch_all(db)
    .await
    .context("failed to count what ended")
}

/// The most frequent reasons for which runs failed within this time, at most so many.
///
/// # Errors
/// The database fails.
pub async fn failing(db: impl PgExecutor<'_>, within: Duration, most: i64) -> Result<Vec<Failing>> {
    sqlx::query_as(
        "select status, split_part(failure, $3, 1) as failure, count(*) as runs, (array_agg(id order by id desc))[1] as latest
         from parse_file_meta
         where finished_at >= now() - $1 and status in ('fail', 'crash', 'terminate')
         group by 1, 2 order by 3 desc, 4 desc limit $2",
    )
    .bind(within)
    .bind(most)
    .bind(LAST_WORDS)
    .fetch_all(db)
    .await
    .context("failed to count what failed")
}

/// The logs that wait for the object store, and those that are lost.
///
/// # Errors
/// The database fails.
pub async fn kept_back(db: impl PgExecutor<'_>) -> Result<Vec<KeptBack>> {
    sqlx::query_as(
        "select state, count(*) as logs from log where state in ('fallback', 'lost') group by 1 order by 1",
    )
    .fetch_all(db)
    .await
    .context("failed to count the logs that are kept back")
}
