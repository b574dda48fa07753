//! `problem_file`: the Parquet files that have the problems of all runs, and who writes one.
//!
//! Only whoever holds a file's lease may write it. What changes meanwhile makes it due again.

use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, NaiveDate, Utc};
use sqlx::{FromRow, PgExecutor};
use uuid::Uuid;

use super::failure::DbContext as _;
use super::fit;

/// The longest pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// Names one file (`problem_file.id`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, sqlx::Type)]
#[sqlx(transparent)]
pub struct ProblemFileId(i32);

/// A file that nobody else writes, as long as the lease lasts.
#[derive(Debug, Clone, FromRow)]
pub struct ClaimedFile {
    pub id: ProblemFileId,
    pub program: String,
    pub fiscal_year: i32,
    pub fiscal_quarter: i16,
    /// Its first day, in UTC.
    pub month: NaiveDate,
    /// Where it is, if it is there.
    pub uri: Option<String>,
    changes: i64,
    lease_token: Uuid,
    /// Whoever had it before died, or is still about to write.
    was_taken: bool,
}

/// What a file is like after it was written.
#[derive(Debug, Clone, Copy)]
pub struct WrittenFile {
    pub runs: u64,
    pub bytes: u64,
    pub took: Duration,
}

/// A file whose last writing failed.
#[derive(Debug, Clone, FromRow)]
pub struct UnwrittenFile {
    pub program: String,
    pub fiscal_year: i32,
    pub fiscal_quarter: i16,
    pub month: NaiveDate,
    pub failures: i32,
    pub failure: String,
}

/// Takes note of up to `limit` changes, of all files or of one; what changed is due after `age`. Returns how many.
///
/// # Errors
/// The database fails.
pub async fn collect(
    db: impl PgExecutor<'_>,
    file: Option<ProblemFileId>,
    age: Duration,
    limit: i32,
) -> Result<i32> {
    sqlx::query_scalar("select collect_problem_changes($1, $2, $3)")
        .bind(limit)
        .bind(age)
        .bind(file)
        .fetch_one(db)
        .await
        .context("failed to look which files of problems changed")
}

/// The database's time.
///
/// # Errors
/// The database fails.
pub async fn now(db: impl PgExecutor<'_>) -> Result<DateTime<Utc>> {
    sqlx::query_scalar("select clock_timestamp()").fetch_one(db).await.context("failed to ask for the time")
}

/// How many files changed and are not written.
///
/// # Errors
/// The database fails.
pub async fn count_changed(db: impl PgExecutor<'_>) -> Result<i64> {
    sqlx::query_scalar("select count(*) from problem_file where due_at is not null")
        .fetch_one(db)
        .await
        .context("failed to count the files of problems that changed")
}

/// Makes every file due.
///
/// # Errors
/// The database fails.
pub async fn change_all(db: impl PgExecutor<'_>) -> Result<()> {
    sqlx::query(
        "update problem_file f set changes = changes + 1, due_at = coalesce(due_at, now())
         from (select id from problem_file order by id for no key update) held where f.id = held.id",
    )
    .execute(db)
    .await
    .context("failed to make the files of problems due")?;
    Ok(())
}

/// Claims the next file that is due and that nobody tried since `before`; with `early`, that changed at all.
///
/// # Errors
/// The database fails.
pub async fn claim(
    db: impl PgExecutor<'_>,
    before: DateTime<Utc>,
    early: bool,
    lease: Duration,
) -> Result<Option<ClaimedFile>> {
    sqlx::query_as(
        "with next as (
             select id, lease_token from problem_file
             where due_at is not null and ($1 or due_at <= now()) and (tried_at is null or tried_at < $2)
               and (lease_until is null or lease_until < now())
             order by due_at limit 1 for no key update skip locked
         )
         update problem_file f
         set lease_token = gen_random_uuid(), lease_until = now() + $3, tried_at = clock_timestamp()
         from next where f.id = next.id
         returning f.id, f.program, f.fiscal_year, f.fiscal_quarter, f.month, f.uri, f.changes, f.lease_token,
                   next.lease_token is not null as was_taken",
    )
    .bind(early)
    .bind(before)
    .bind(lease)
    .fetch_optional(db)
    .await
    .context("failed to claim a file of problems")
}

/// Claims this file, if it changed and nobody else writes it.
///
/// # Errors
/// The database fails.
pub async fn claim_one(
    db: impl PgExecutor<'_>,
    file: ProblemFileId,
    lease: Duration,
) -> Result<Option<ClaimedFile>> {
    sqlx::query_as(
        "with it as (
             select id, lease_token from problem_file
             where id = $1 and due_at is not null and (lease_until is null or lease_until < now())
             for no key update
         )
         update problem_file f
         set lease_token = gen_random_uuid(), lease_until = now() + $2, tried_at = clock_timestamp()
         from it where f.id = it.id
         returning f.id, f.program, f.fiscal_year, f.fiscal_quarter, f.month, f.uri, f.changes, f.lease_token,
                   it.lease_token is not null as was_taken",
    )
    .bind(file)
    .bind(lease)
    .fetch_optional(db)
    .await
    .context("failed to claim a file of problems")
}

/// Whether somebody has to wait until a file is written again: it is there, or being written, and changed.
///
/// # Errors
/// The database fails.
pub async fn is_stale(db: impl PgExecutor<'_>, file: ProblemFileId) -> Result<bool> {
    sqlx::query_scalar(
        "select exists (select 1 from problem_file
                        where id = $1 and due_at is not null and (uri is not null or lease_token is not null))",
    )
    .bind(file)
    .fetch_one(db)
    .await
    .context("failed to look whether a file of problems is written")
}

/// Prolongs the lease; false if it is over and somebody else has it.
///
/// # Errors
/// The database fails.
pub async fn renew(db: impl PgExecutor<'_>, claimed: &ClaimedFile, lease: Duration) -> Result<bool> {
    let held =
        sqlx::query("update problem_file set lease_until = now() + $3 where id = $1 and lease_token = $2")
            .bind(claimed.id)
            .bind(claimed.lease_token)
            .bind(lease)
            .execute(db)
            .await
            .context("failed to prolong the claim on a file of problems")?;
    Ok(held.rows_affected() == 1)
}

/// The file is written, and is at `uri`, or nowhere if it would be empty. It is due again if it changed meanwhile, or if
/// somebody who lost the claim on it may still write. False if that happened to this claim: then it is due as well.
///
/// # Errors
/// The database fails.
pub async fn written(
    db: impl PgExecutor<'_>,
    claimed: &ClaimedFile,
    uri: Option<&str>,
    written: &WrittenFile,
    age: Duration,
    lease: Duration,
) -> Result<bool> {
    sqlx::query_scalar(
        "with held as (
             update problem_file
             set uri = $3, runs = $4, bytes = $5, took = $6, written_at = now(), failures = 0, failure = null,
                 lease_token = null, lease_until = null,
                 due_at = case when changes <> $7 then greatest(now() + $8, now() + 20 * $6) when $9 then now() + $10 end
             where id = $1 and lease_token = $2 returning id
         ), lost as (
             insert into problem_change (file_id) select $1 where not exists (select 1 from held)
         )
         select exists (select 1 from held)",
    )
    .bind(claimed.id)
    .bind(claimed.lease_token)
    .bind(uri)
    .bind(fit::count(written.runs))
    .bind(fit::count(written.bytes))
    // An interval has microseconds.
    .bind(Duration::from_micros(u64::try_from(written.took.as_micros()).unwrap_or(u64::MAX)))
    .bind(claimed.changes)
    .bind(age)
    .bind(claimed.was_taken)
    .bind(lease)
    .fetch_one(db)
    .await
    .context("failed to record that a file of problems is written")
}

/// The file could not be written: it is due again after `pause`, and twice as long each time.
///
/// # Errors
/// The database fails.
pub async fn failed(
    db: impl PgExecutor<'_>,
    claimed: &ClaimedFile,
    reason: &str,
    pause: Duration,
) -> Result<()> {
    sqlx::query(
        "update problem_file
         set failures = failures + 1, failure = $3, lease_token = null, lease_until = null,
             due_at = now() + least($4 * power(2, least(failures, 20)), $5)
         where id = $1 and lease_token = $2",
    )
    .bind(claimed.id)
    .bind(claimed.lease_token)
    .bind(fit::text(reason))
    .bind(pause)
    .bind(LONGEST_PAUSE)
    .execute(db)
    .await
    .context("failed to record why a file of problems is not written")?;
    Ok(())
}

/// The files whose last writing failed.
///
/// # Errors
/// The database fails.
pub async fn unwritten(db: impl PgExecutor<'_>) -> Result<Vec<UnwrittenFile>> {
    sqlx::query_as(
        "select program, fiscal_year, fiscal_quarter, month, failures, failure from problem_file
         where due_at is not null and failure is not null order by id",
    )
    .fetch_all(db)
    .await
    .context("failed to look for files of problems that are not written")
}
