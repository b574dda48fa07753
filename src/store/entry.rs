//! `log_entry`: the audit log, append-only. Who did what to which file, batch or run.

use anyhow::Result;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, PgExecutor, QueryBuilder};

use super::failure::DbContext as _;
use super::fit;
use crate::ids::{BatchId, DataFileId, RunId};

/// A row of `log_entry`.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct AuditEntry {
    pub id: i64,
    pub at: DateTime<Utc>,
    pub actor: String,
    /// A short code, such as `submitted` or `fell-back`.
    pub entry: String,
    pub data_file_id: Option<DataFileId>,
    pub batch_id: Option<BatchId>,
    pub run_id: Option<RunId>,
    pub detail: Option<String>,
}

/// Adds an entry about a run, its file and its batch. Unknown runs get none: then this returns false.
///
/// Without an `actor` the entry names the connection's application.
///
/// # Errors
/// The database fails, or `entry` is not a code.
pub async fn about_run(
    db: impl PgExecutor<'_>,
    run: RunId,
    actor: Option<&str>,
    entry: &str,
    detail: Option<&str>,
) -> Result<bool> {
    let added = sqlx::query(
        "insert into log_entry (actor, entry, data_file_id, batch_id, run_id, detail)
         select coalesce($2, nullif(current_setting('application_name', true), ''), current_user),
                $3, data_file_id, batch_id, id, $4
         from parse_file_meta where id = $1",
    )
    .bind(run)
    .bind(actor.map(fit::label))
    .bind(entry)
    .bind(detail.map(fit::text))
    .execute(db)
    .await
    .with_context(|| format!("failed to write the audit entry '{entry}' of run {run}"))?;
    Ok(added.rows_affected() > 0)
}

/// Adds an entry about no run, file or batch.
///
/// # Errors
/// The database fails, or `entry` is not a code.
pub async fn about(db: impl PgExecutor<'_>, actor: &str, entry: &str, detail: &str) -> Result<()> {
    sqlx::query("insert into log_entry (actor, entry, detail) values ($1, $2, $3)")
        .bind(fit::label(actor))
        .bind(entry)
        .bind(fit::text(detail))
        .execute(db)
        .await
        .with_context(|| format!("failed to write the audit entry '{entry}'"))?;
    Ok(())
}

/// Entries about a run, oldest first.
///
/// # Errors
/// The database fails.
pub async fn of_run(db: impl PgExecutor<'_>, run: RunId) -> Result<Vec<AuditEntry>> {
    sqlx::query_as("select * from log_entry where run_id = $1 order by id")
        .bind(run)
        .fetch_all(db)
        .await
        .with_context(|| format!("failed to read the audit log of run {run}"))
}

/// Selects entries; `None` does not restrict.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EntryFilter {
    pub actor: Option<String>,
    /// The code.
    pub entry: Option<String>,
    pub run: Option<RunId>,
    /// Older than this entry.
    pub before: Option<i64>,
}

/// The entries that match, the newest first, at most `limit`.
///
/// # Errors
/// The database fails.
pub async fn list(db: impl PgExecutor<'_>, filter: &EntryFilter, limit: i64) -> Result<Vec<AuditEntry>> {
    let mut query = QueryBuilder::new("select * from log_entry where true");
    if let Some(actor) = &filter.actor {
        query.push(" and actor = ").push_bind(actor.clone());
    }
    if let Some(entry) = &filter.entry {
        query.push(" and entry = ").push_bind(entry.clone());
    }
    if let Some(run) = filter.run {
        query.push(" and run_id = ").push_bind(run);
    }
    if let Some(before) = filter.before {
        query.push(" and id < ").push_bind(before);
    }
    query.push(" order by id desc limit ").push_bind(limit);
    query.build_query_as().fetch_all(db).await.context("failed to list the audit log")
}
