//! `problem_file_run`: which runs are in which Parquet file, and what the file says of each.

use anyhow::Result;
use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgExecutor};

use super::failure::DbContext as _;
use super::pool::{PgPool, Transaction};
use super::problem_file::ProblemFileId;
use crate::ids::{BatchId, DataFileId, RunId};

/// A run in a file.
#[derive(Debug, Clone, FromRow)]
pub struct FiledRun {
    pub run_id: RunId,
    pub data_file_id: DataFileId,
    pub reparse_id: Option<BatchId>,
    pub attempt: i32,
    pub section: String,
    /// Empty where nobody names one.
    pub state: String,
    /// By which the run has its month.
    pub started: DateTime<Utc>,
    pub archived: Option<DateTime<Utc>>,
    /// The kinds of its problems, and as many counts; the kind 0 is all of them together.
    pub kinds: Vec<i32>,
    pub problems: Vec<i64>,
}

/// A kind of problems, by its id; its names are empty where there is none.
#[derive(Debug, Clone, FromRow)]
pub struct FiledKind {
    pub id: i32,
    pub category: i16,
    pub record_type: String,
    pub item: String,
    pub field: String,
    pub deprecated: bool,
}

/// Begins to read a file's runs: all pages show what there was at the first.
///
/// # Errors
/// The database fails.
pub async fn snapshot(pool: &PgPool) -> Result<Transaction> {
    let begun = async {
        let mut transaction = pool.begin_along_indexes().await?;
        sqlx::query("set transaction isolation level repeatable read, read only")
            .execute(&mut *transaction)
            .await?;
        Ok::<_, sqlx::Error>(transaction)
    };
    begun.await.context("failed to begin to read a file of problems")
}

/// The runs of a file behind `after`, in order.
///
/// # Errors
/// The database fails.
pub async fn page(
    db: impl PgExecutor<'_>,
    file: ProblemFileId,
    after: Option<RunId>,
    limit: i64,
) -> Result<Vec<FiledRun>> {
    sqlx::query_as(
        "select t.run_id, r.data_file_id, nullif(s.reparse_id, 0) as reparse_id, r.attempt, s.section, s.state,
                coalesce(r.started_at, r.queued_at) as started, l.archived_at as archived, t.kinds, t.problems
         from problem_file_run f
         join problem_tally t on t.run_id = f.run_id join problem_scope s on s.id = t.scope_id
         join parse_file_meta r on r.id = f.run_id join log l on l.run_id = f.run_id
         where f.file_id = $1 and ($2::uuid is null or f.run_id > $2)
         order by f.run_id limit $3",
    )
    .bind(file)
    .bind(after)
    .bind(limit)
    .fetch_all(db)
    .await
    .context("failed to read the runs of a file of problems")
}

/// The kinds with these ids.
///
/// # Errors
/// The database fails.
pub async fn kinds(db: impl PgExecutor<'_>, ids: &[i32]) -> Result<Vec<FiledKind>> {
    sqlx::query_as(
        "select id, category, record_type, item, field, deprecated from problem_kind where id = any ($1)",
    )
    .bind(ids)
    .fetch_all(db)
    .await
    .context("failed to read the kinds of problems")
}

/// The files that have a run, or had it before its log was let go.
///
/// # Errors
/// The database fails.
pub async fn files_of(db: impl PgExecutor<'_>, run: RunId) -> Result<Vec<ProblemFileId>> {
    sqlx::query_scalar(
        "with of_run as (
             select s.program, s.fiscal_year, s.fiscal_quarter, t.day
             from problem_tally t join problem_scope s on s.id = t.scope_id where t.run_id = $1
             union
             select f.program, f.fiscal_year, f.fiscal_quarter,
                    (coalesce(r.started_at, r.queued_at) at time zone 'utc')::date
             from parse_file_meta r join data_file f on f.id = r.data_file_id where r.id = $1
         )
         select p.id from problem_file p join of_run o using (program, fiscal_year, fiscal_quarter)
         where p.month = date_trunc('month', o.day)::date order by 1",
    )
    .bind(run)
    .fetch_all(db)
    .await
    .with_context(|| format!("failed to look for the files with the problems of run {run}"))
}

/// Finds the files of the next `limit` counted runs behind `after` that have none yet. Returns the last of them, or
/// `None` at the end.
///
/// # Errors
/// The database fails.
pub async fn file_counted(
    db: impl PgExecutor<'_>,
    after: Option<RunId>,
    limit: i32,
) -> Result<Option<RunId>> {
    sqlx::query_scalar("select file_counted_runs($1, $2)")
        .bind(after)
        .bind(limit)
        .fetch_one(db)
        .await
        .context("failed to find the files of counted runs")
}
