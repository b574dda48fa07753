//! `log_read`: bytes of an archive that still grows, which a reader on another machine asks of the run's worker.

use std::time::Duration;

use anyhow::Result;
use sqlx::{FromRow, PgExecutor};
use uuid::Uuid;

use super::failure::DbContext as _;
use super::fit;
use crate::ids::LogId;

/// Questions to answer at once.
const AT_ONCE: i64 = 4;

/// Whoever asks waits for less than that.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// What somebody asks of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogRead {
    pub id: i64,
    pub log: LogId,
    /// The first byte, in the archive.
    pub at: u64,
    pub bytes: u64,
}

/// What became of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadAnswer {
    /// Nobody has answered yet.
    Open,
    Bytes(Vec<u8>),
    /// The worker says why it has none.
    Refused(String),
    /// The question is gone, and so is the archive that grew: it is whole, or was let go.
    Over,
}

#[derive(FromRow)]
struct ReadRow {
    id: i64,
    log_id: LogId,
    at: i64,
    bytes: i32,
}

/// Asks for these bytes of the archive of a log; returns the question's number.
///
/// # Errors
/// The database fails.
pub async fn ask(db: impl PgExecutor<'_>, log: LogId, at: u64, bytes: u64) -> Result<i64> {
    sqlx::query_scalar("insert into log_read (log_id, at, bytes) values ($1, $2, $3) returning id")
        .bind(log)
        .bind(fit::count(at))
        .bind(i32::try_from(bytes).unwrap_or(i32::MAX))
        .fetch_one(db)
        .await
        .with_context(|| format!("failed to ask for a part of log {log}"))
}

/// Some of the open questions about these logs, the oldest first.
///
/// # Errors
/// The database fails.
pub async fn open(db: impl PgExecutor<'_>, logs: &[LogId]) -> Result<Vec<LogRead>> {
    let ids: Vec<Uuid> = logs.iter().map(|log| log.0).collect();
    let rows: Vec<ReadRow> = sqlx::query_as(
        "select id, log_id, at, bytes from log_read
         where log_id = any($1) and answer is null and refusal is null order by id limit $2",
    )
    .bind(ids)
    .bind(AT_ONCE)
    .fetch_all(db)
    .await
    .context("failed to look for readers of running logs")?;
    let read = |row: ReadRow| LogRead {
        id: row.id,
        log: row.log_id,
        at: row.at.cast_unsigned(),
        bytes: row.bytes.unsigned_abs().into(),
    };
    Ok(rows.into_iter().map(read).collect())
}

/// Answers a question, or says why not.
///
/// # Errors
/// The database fails.
pub async fn answer(db: impl PgExecutor<'_>, id: i64, answer: Result<Vec<u8>, String>) -> Result<()> {
    let (bytes, refusal) = match answer {
        Ok(bytes) => (Some(bytes), None),
        Err(refusal) => (None, Some(refusal)),
    };
    sqlx::query(
        "update log_read set answer = $2, refusal = $3 where id = $1 and answer is null and refusal is null",
    )
    .bind(id)
    .bind(bytes)
    .bind(refusal.as_deref().map(fit::text))
    .execute(db)
    .await
    .context("failed to answer the reader of a running log")?;
    Ok(())
}

/// What became of a question; one that is answered is gone afterwards.
///
/// # Errors
/// The database fails.
pub async fn take(db: impl PgExecutor<'_>, id: i64) -> Result<ReadAnswer> {
    let row: Option<(bool, Option<Vec<u8>>, Option<String>)> = sqlx::query_as(
        "with taken as (
             delete from log_read where id = $1 and (answer is not null or refusal is not null)
             returning answer, refusal
         )
         select true, answer, refusal from taken
         union all
         select false, null, null from log_read where id = $1 and answer is null and refusal is null",
    )
    .bind(id)
    .fetch_optional(db)
    .await
    .context("failed to look for a part of a running log")?;
    Ok(match row {
        None => ReadAnswer::Over,
        Some((true, Some(bytes), _)) => ReadAnswer::Bytes(bytes),
        Some((true, None, refusal)) => ReadAnswer::Refused(refusal.unwrap_or_default()),
        Some((false, ..)) => ReadAnswer::Open,
    })
}

/// Drops a question that nobody waits for any more.
///
/// # Errors
/// The database fails.
pub async fn drop_one(db: impl PgExecutor<'_>, id: i64) -> Result<()> {
    let dropped = sqlx::query("delete from log_read where id = $1").bind(id).execute(db).await;
    dropped.context("failed to drop a question about a running log")?;
    Ok(())
}

/// Drops the questions of readers that are gone.
///
/// # Errors
/// The database fails.
pub async fn clean(db: impl PgExecutor<'_>) -> Result<()> {
    let dropped = sqlx::query("delete from log_read where asked_at < now() - $1").bind(FORGOTTEN).execute(db);
    dropped.await.context("failed to drop questions about running logs")?;
    Ok(())
}
