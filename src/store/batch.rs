//! `parse_meta`: the batches of runs, each a submission or a reparse.

use anyhow::Result;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::types::Json;
use sqlx::{FromRow, PgExecutor};

use super::BatchKind;
use super::failure::DbContext as _;
use crate::ids::BatchId;

/// A row of `parse_meta`.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct Batch {
    /// For a reparse, the reparse id.
    pub id: BatchId,
    pub kind: BatchKind,
    pub requested_by: String,
    pub reason: Option<String>,
    /// How a reparse chose its files.
    pub selection: Option<Json<serde_json::Value>>,
    pub created_at: DateTime<Utc>,
    pub deadline: Option<DateTime<Utc>>,
    /// When the last run of it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

/// The batch with this id.
///
/// # Errors
/// The database fails.
pub async fn get(db: impl PgExecutor<'_>, id: BatchId) -> Result<Option<Batch>> {
    sqlx::query_as("select * from parse_meta where id = $1")
        .bind(id)
        .fetch_optional(db)
        .await
        .with_context(|| format!("failed to read batch {id}"))
}

/// Marks a batch as finished if no run of it is queued or running. Call it after the transaction that
/// ended a run of it: of two that end at once, the later one sees that it is the last.
///
/// # Errors
/// The database fails.
pub async fn close(db: impl PgExecutor<'_>, id: BatchId) -> Result<()> {
    sqlx::query(
        "update parse_meta b
         set finished_at = coalesce(
             (select max(r.finished_at) from parse_file_meta r where r.batch_id = b.id), now())
         where b.id = $1 and b.finished_at is null
           and not exists (select 1 from parse_file_meta r
                           where r.batch_id = b.id and r.finished_at is null)",
    )
    .bind(id)
    .execute(db)
    .await
    .with_context(|| format!("failed to close batch {id}"))?;
    Ok(())
}

/// Marks batches without queued or running runs as finished, of the next `most` open batches after one. Returns the last
/// that it looked at; `None` if there was no more.
///
/// It only covers processes that ended a last run and died before they could [`close`] the batch. Doing this late loses
/// nothing: an ended batch stays ended, since a retry is queued in the transaction that ends the previous attempt. So a
/// tick looks at some of them, however many wait.
///
/// # Errors
/// The database fails.
pub async fn close_finished(
    db: impl PgExecutor<'_>,
    after: Option<BatchId>,
    most: i64,
) -> Result<Option<BatchId>> {
    sqlx::query_scalar(
        "with looked as (
             select id from parse_meta where finished_at is null and id > $1 order by id limit $2
         ), closed as (
             update parse_meta b
             set finished_at = coalesce(
                 (select max(r.finished_at) from parse_file_meta r where r.batch_id = b.id), now())
             from looked
             where b.id = looked.id and b.finished_at is null
               and not exists (select 1 from parse_file_meta r
                               where r.batch_id = b.id and r.finished_at is null)
         )
         select max(id) from looked",
    )
    .bind(after.map_or(i64::MIN, |batch| batch.0))
    .bind(most)
    .fetch_one(db)
    .await
    .context("failed to close finished batches")
}
