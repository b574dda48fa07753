//! Reparses: requests, progress, and each file's run before it.
//!
//! A reparse is a batch (`parse_meta`); a file's last attempt in it counts, and is compared with the previous
//! ended run of the same file version.

use std::collections::BTreeMap;

use anyhow::Result;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::types::Json;
use sqlx::{FromRow, PgExecutor};

use super::failure::DbContext as _;
use super::fit;
use super::run::Errors;
use crate::ids::{BatchId, DataFileId, RunId};

/// Selects files to parse again; a `None` or empty field does not restrict. At least one must be set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct FileSelection {
    /// Any of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<DataFileId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub section: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fiscal_year: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fiscal_quarter: Option<i16>,
    /// Run statuses and verdicts, any of which the latest ended run of the file has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub status: Vec<String>,
    /// Submitted at this moment or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<DateTime<Utc>>,
    /// Also versions of an object that a later submission replaced.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub every_version: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
}

/// The terms of a reparse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReparseRequest {
    /// Who asks.
    pub requested_by: String,
    pub reason: Option<String>,
    /// Lower numbers go first; submissions have 100.
    pub priority: i32,
    pub max_attempts: i32,
    /// Its deadline; after that it no longer blocks another reparse.
    pub deadline: DateTime<Utc>,
    /// Whether it goes ahead despite another unfinished one.
    pub force: bool,
}

/// Files of one kind that a selection names.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct Selected {
    pub program: String,
    pub section: String,
    pub fiscal_year: i32,
    pub fiscal_quarter: i16,
    pub files: i64,
    pub size_bytes: i64,
}

/// The progress of a reparse.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct Reparse {
    pub id: BatchId,
    pub requested_by: String,
    pub reason: Option<String>,
    pub selection: Json<serde_json::Value>,
    pub created_at: DateTime<Utc>,
    pub deadline: Option<DateTime<Utc>>,
    /// When its first run began.
    pub started_at: Option<DateTime<Utc>>,
    /// When its last run ended, once none is queued or running.
    pub finished_at: Option<DateTime<Utc>>,
    pub files: i64,
    pub queued: i64,
    pub running: i64,
    pub succeeded: i64,
    /// Ended in any other way.
    pub failed: i64,
}

/// The results of the ended files of a reparse, and their results before it.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct Totals {
    pub records_before: i64,
    pub records_after: i64,
    pub errors_before: Json<Errors>,
    pub errors_after: Json<Errors>,
    /// Files by verdict, or by status without a verdict.
    pub verdicts_before: Json<BTreeMap<String, u64>>,
    pub verdicts_after: Json<BTreeMap<String, u64>>,
}

/// A file's last run in a reparse, and the ended run before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct Pair {
    pub before: Option<RunId>,
    pub after: RunId,
}

impl Reparse {
    /// Files that are done for good.
    pub fn finished(&self) -> i64 {
        self.succeeded + self.failed
    }
}

/// The files that a selection names, by kind.
///
/// # Errors
/// The database fails, or the selection is empty.
pub async fn preview(db: impl PgExecutor<'_>, selection: &FileSelection) -> Result<Vec<Selected>> {
    sqlx::query_as(
        "select program, section, fiscal_year, fiscal_quarter, count(*) as files,
                coalesce(sum(size_bytes), 0)::bigint as size_bytes
         from data_file where id in (select reparse_files($1))
         group by 1, 2, 3, 4 order by 1, 2, 3, 4",
    )
    .bind(fit::json(selection))
    .fetch_all(db)
    .await
    .context("failed to select files")
}

/// Queues the runs of a reparse; returns its id and number of files.
///
/// # Errors
/// No file matches, or another reparse with one of them is unfinished; then nothing is queued.
pub async fn enqueue(
    db: impl PgExecutor<'_>,
    selection: &FileSelection,
    request: &ReparseRequest,
) -> Result<(BatchId, i64)> {
    sqlx::query_as(
        "select reparse_id, files from enqueue_reparse($1, requested_by => $2, reason => $3,
             priority => $4, max_attempts => $5, deadline => $6, force => $7)",
    )
    .bind(fit::json(selection))
    .bind(fit::label(&request.requested_by))
    .bind(request.reason.as_deref().map(fit::text))
    .bind(request.priority)
    .bind(request.max_attempts)
    .bind(request.deadline)
    .bind(request.force)
    .fetch_one(db)
    .await
    .context("failed to queue the reparse")
}

/// The progress of a reparse; `None` for an unknown id.
///
/// # Errors
/// The database fails.
pub async fn get(db: impl PgExecutor<'_>, id: BatchId) -> Result<Option<Reparse>> {
    Ok(read(db, Some(id), 1).await?.pop())
}

/// The latest reparses, the newest first.
///
/// # Errors
/// The database fails.
pub async fn list(db: impl PgExecutor<'_>, limit: i64) -> Result<Vec<Reparse>> {
    read(db, None, limit).await
}

async fn read(db: impl PgExecutor<'_>, id: Option<BatchId>, limit: i64) -> Result<Vec<Reparse>> {
    sqlx::query_as(
        "select b.id, b.requested_by, b.reason, b.selection, b.created_at, b.deadline, t.*
         from parse_meta b cross join lateral (
             select min(started_at) as started_at,
                    case when count(*) filter (where status in ('queued', 'running')) = 0
                         then max(finished_at) end as finished_at,
                    count(*) as files,
                    count(*) filter (where status = 'queued') as queued,
                    count(*) filter (where status = 'running') as running,
                    count(*) filter (where status = 'success') as succeeded,
                    count(*) filter (where status not in ('queued', 'running', 'success')) as failed
             from (select distinct on (data_file_id) status, finished_at,
                          min(started_at) over (partition by data_file_id) as started_at
                   from parse_file_meta where batch_id = b.id
                   order by data_file_id, attempt desc) as last
         ) as t
         where b.kind = 'reparse' and ($1::bigint is null or b.id = $1)
         order by b.id desc limit $2",
    )
    .bind(id)
    .bind(limit)
    .fetch_all(db)
    .await
    .context("failed to read how far reparses are")
}

/// The results of the ended files of a reparse, and their results before it.
///
/// # Errors
/// The database fails.
pub async fn totals(db: impl PgExecutor<'_>, id: BatchId) -> Result<Totals> {
    sqlx::query_as(
        "with pair as (
             select coalesce(p.summary_status, p.status) as verdict_before, p.error_counts as errors_before,
                    p.records_created as records_before, a.error_counts as errors_after,
                    coalesce(a.summary_status, a.status) as verdict_after,
                    a.records_created as records_after
             from (select distinct on (data_file_id) * from parse_file_meta where batch_id = $1
                   order by data_file_id, attempt desc) as a
             left join lateral (
                 select * from parse_file_meta
                 where data_file_id = a.data_file_id and id < a.id and batch_id <> $1
                   and finished_at is not null
                 order by id desc limit 1) as p on true
             where a.finished_at is not null
         ), count_of as (
             select 'before' as side, e.key, sum(e.value::bigint) as count
             from pair, jsonb_each_text(errors_before) as e group by e.key
             union all
             select 'after', e.key, sum(e.value::bigint)
             from pair, jsonb_each_text(errors_after) as e group by e.key
         ), verdict as (
             select 'before' as side, verdict_before as key, count(*) as count from pair
             where verdict_before is not null group by verdict_before
             union all
             select 'after', verdict_after, count(*) from pair group by verdict_after
         )
         select coalesce(sum(records_before), 0)::bigint as records_before,
                coalesce(sum(records_after), 0)::bigint as records_after,
                (select coalesce(jsonb_object_agg(key, count), '{}') from count_of where side = 'before')
                    as errors_before,
                (select coalesce(jsonb_object_agg(key, count), '{}') from count_of where side = 'after')
                    as errors_after,
                (select coalesce(jsonb_object_agg(key, count), '{}') from verdict where side = 'before')
                    as verdicts_before,
                (select coalesce(jsonb_object_agg(key, count), '{}') from verdict where side = 'after')
                    as verdicts_after
         from pair",
    )
    .bind(id)
    .fetch_one(db)
    .await
    .with_context(|| format!("failed to add up reparse {id}"))
}

/// The ended runs of a reparse, each with the run before it, in the order of the files.
///
/// # Errors
/// The database fails.
pub async fn pairs(db: impl PgExecutor<'_>, id: BatchId) -> Result<Vec<Pair>> {
    sqlx::query_as(
        "select p.id as before, a.id as after
         from (select distinct on (data_file_id) * from parse_file_meta where batch_id = $1
               order by data_file_id, attempt desc) as a
         left join lateral (
             select * from parse_file_meta
             where data_file_id = a.data_file_id and id < a.id and batch_id <> $1
               and finished_at is not null
             order by id desc limit 1) as p on true
         where a.finished_at is not null
         order by a.data_file_id",
    )
    .bind(id)
    .fetch_all(db)
    .await
    .with_context(|| format!("failed to list the runs of reparse {id}"))
}
