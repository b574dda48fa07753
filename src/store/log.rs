//! `log`: one row for each log, and its changes on its own machine, each with its audit entry.
//!
//! None of these checks the status of a log's run: even if a run lost its lease, or somebody else ended it, its
//! log is archived under its own row. Each is repeatable; a repetition leaves no second audit entry. The
//! database keeps `parse_file_meta.logs_uri` equal to the log's `uri`.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use chrono::{DateTime, Utc};
use sqlx::postgres::PgArguments;
use sqlx::query::QueryAs;
use sqlx::{FromRow, PgExecutor, Postgres};
use uuid::Uuid;

use super::failure::DbContext as _;
use super::{LogState, fit};
use crate::ids::LogId;
use crate::record::Head;

/// The contents of a complete log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogContent {
    pub raw_bytes: u64,
    /// Head, cut and tail among them.
    pub lines: u64,
    /// Stored events by level.
    pub events: BTreeMap<String, u64>,
    /// Events that could not be stored.
    pub dropped: u64,
    /// The times of its first and its last record.
    pub first_at: DateTime<Utc>,
    pub last_at: DateTime<Utc>,
}

/// An archive that the object store has confirmed, and the log in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivedLog {
    /// `s3://…` or `file://…`.
    pub uri: String,
    pub content: LogContent,
    pub gzip_bytes: u64,
    pub raw_sha256: [u8; 32],
    pub gzip_sha256: [u8; 32],
}

/// A segment of a stream was opened; it gets its row. A row that is there does not change.
///
/// # Errors
/// The database fails, or the log is no segment.
pub async fn begun(db: impl PgExecutor<'_>, head: &Head) -> Result<()> {
    let service = head.subject.service().ok_or_else(|| anyhow!("log {} is no segment", head.log))?;
    sqlx::query(
        "insert into log (id, service, state, worker, first_at) values ($1, $2, 'open', $3, $4)
         on conflict (id) do nothing",
    )
    .bind(head.log)
    .bind(service.as_str())
    .bind(fit::label(&head.worker))
    .bind(head.started)
    .execute(db)
    .await
    .with_context(|| format!("failed to note segment {} of stream {service}", head.log))?;
    Ok(())
}

/// The log was opened. A row in a later state does not change.
///
/// # Errors
/// The database fails, or does not know the log.
pub async fn opened(db: impl PgExecutor<'_>, log: LogId) -> Result<()> {
    opened_in(db, log, None).await
}

/// As [`opened`], in this spool, from which another machine may take it over.
///
/// # Errors
/// As [`opened`].
pub async fn opened_in(db: impl PgExecutor<'_>, log: LogId, spool: Option<Uuid>) -> Result<()> {
    let changed = sqlx::query_as(
        "with was as (
             select * from log where id = $1 for update
         ), now as (
             update log set state = 'open', spool = $2
             from was where log.id = was.id and was.state = 'none' returning log.id
         )
         select was.state, exists (select 1 from now) from was",
    );
    apply(db, log, changed.bind(log).bind(spool)).await?;
    Ok(())
}

/// What the row of a log said before its machine completed it.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct KnownLog {
    /// If it was pruned, nobody may store it again.
    pub state: LogState,
    /// Whether another machine took it over.
    pub is_taken: bool,
    /// Where it is, if it is archived.
    pub uri: Option<String>,
}

/// The log is complete, in the spool. Returns what its row said before.
///
/// # Errors
/// The database fails, or does not know the log.
pub async fn sealed(db: impl PgExecutor<'_>, log: LogId, content: &LogContent) -> Result<KnownLog> {
    let known: Option<KnownLog> = sqlx::query_as(
        "with was as (
             select log.*, run.data_file_id, run.batch_id
             from log left join parse_file_meta run on run.id = log.run_id where log.id = $1 for update of log
         ), now as (
             update log
             set state = 'sealed', raw_bytes = $2, lines = $3, events = $4, dropped = $5, first_at = $6, last_at = $7
             from was where log.id = was.id and was.state in ('none', 'open', 'sealed', 'lost')
             returning log.*
         ), entry as (
             insert into log_entry (entry, data_file_id, batch_id, run_id, detail)
             select 'log-sealed', was.data_file_id, was.batch_id, was.run_id,
                    format('%s lines, %s events dropped', now.lines, now.dropped)
             from now join was on was.id = now.id where was.state <> 'sealed'
         )
         select was.state, was.taken_by is not null as is_taken, was.uri from was",
    )
    .bind(log)
    .bind(fit::count(content.raw_bytes))
    .bind(fit::count(content.lines))
    .bind(fit::json(&content.events))
    .bind(fit::count(content.dropped))
    .bind(content.first_at)
    .bind(content.last_at)
    .fetch_optional(db)
    .await
    .with_context(|| format!("failed to note the state of log {log}"))?;
    known.ok_or_else(|| anyhow!("log {log} is not in the database"))
}

/// The log is in the object store, which has confirmed its bytes; a pruned log stays pruned. Where another machine
/// archived what had left this one, this is the fuller log.
///
/// # Errors
/// The database fails, or does not know the log.
pub async fn archived(db: impl PgExecutor<'_>, log: LogId, archive: &ArchivedLog) -> Result<()> {
    let content = &archive.content;
    let changed = sqlx::query_as(
        "with was as (
             select log.*, run.data_file_id, run.batch_id
             from log left join parse_file_meta run on run.id = log.run_id where log.id = $1 for update of log
         ), now as (
             update log
             set state = 'archived', uri = $2, raw_bytes = $3, gzip_bytes = $4, lines = $5, events = $6, dropped = $7,
                 raw_sha256 = $8, gzip_sha256 = $9, first_at = $10, last_at = $11,
                 archived_at = case when was.taken_by is null then coalesce(was.archived_at, now()) else now() end,
                 error = null, taken_by = null, lost_after = null
             from was
             where log.id = was.id and was.state in ('none', 'open', 'sealed', 'fallback', 'lost', 'archived')
             returning log.*
         ), entry as (
             insert into log_entry (entry, data_file_id, batch_id, run_id, detail)
             select case when is_fuller then 'fuller-log' else 'archived' end, was.data_file_id, was.batch_id, was.run_id,
                    case when is_fuller then format('%s, instead of %s', now.uri, was.uri) else now.uri end
             from now join was on was.id = now.id
             cross join lateral (values (was.state = 'archived' and was.taken_by is not null)) as how (is_fuller)
             where was.state <> 'archived' or was.uri <> now.uri
         )
         select was.state, exists (select 1 from now) from was",
    )
    .bind(log)
    .bind(fit::text(&archive.uri))
    .bind(fit::count(content.raw_bytes))
    .bind(fit::count(archive.gzip_bytes))
    .bind(fit::count(content.lines))
    .bind(fit::json(&content.events))
    .bind(fit::count(content.dropped))
    .bind(archive.raw_sha256)
    .bind(archive.gzip_sha256)
    .bind(content.first_at)
    .bind(content.last_at);
    apply(db, log, changed).await?;
    Ok(())
}

/// The log could not be archived and stays in the spool for a retry. Returns whether this is the first time,
/// when the global log gets the log's warnings.
///
/// Each failure counts, but only one with a new reason gets an audit entry.
///
/// # Errors
/// The database fails, or does not know the log.
pub async fn archive_failed(db: impl PgExecutor<'_>, log: LogId, reason: &str) -> Result<bool> {
    let changed = sqlx::query_as(
        "with was as (
             select log.*, run.data_file_id, run.batch_id
             from log left join parse_file_meta run on run.id = log.run_id where log.id = $1 for update of log
         ), now as (
             update log set state = 'fallback', error = $2, attempts = was.attempts + 1
             from was where log.id = was.id and was.state in ('none', 'open', 'sealed', 'fallback', 'lost')
             returning log.*
         ), entry as (
             insert into log_entry (entry, data_file_id, batch_id, run_id, detail)
             select case was.state when 'fallback' then 'archive-failed' else 'fell-back' end,
                    was.data_file_id, was.batch_id, was.run_id, now.error
             from now join was on was.id = now.id where was.state <> 'fallback' or was.error <> now.error
         )
         select was.state, exists (select 1 from now) from was",
    )
    .bind(log)
    .bind(fit::text(reason));
    let (before, changed) = apply(db, log, changed).await?;
    Ok(changed && before != LogState::Fallback)
}

/// The log could not be kept, so there is none to archive. `dropped` is its number of events, if known;
/// otherwise an earlier number stays.
///
/// # Errors
/// The database fails, or does not know the log.
pub async fn lost(db: impl PgExecutor<'_>, log: LogId, reason: &str, dropped: Option<u64>) -> Result<()> {
    let changed = sqlx::query_as(
        "with was as (
             select log.*, run.data_file_id, run.batch_id
             from log left join parse_file_meta run on run.id = log.run_id where log.id = $1 for update of log
         ), now as (
             update log set state = 'lost', error = $2, dropped = coalesce($3, was.dropped)
             from was where log.id = was.id and was.state in ('none', 'open', 'sealed', 'fallback', 'lost')
             returning log.*
         ), entry as (
             insert into log_entry (entry, data_file_id, batch_id, run_id, detail)
             select 'log-lost', was.data_file_id, was.batch_id, was.run_id, now.error
             from now join was on was.id = now.id where was.state <> 'lost'
         )
         select was.state, exists (select 1 from now) from was",
    )
    .bind(log)
    .bind(fit::text(reason))
    .bind(dropped.map(fit::count));
    apply(db, log, changed).await?;
    Ok(())
}

type LogChange<'q> = QueryAs<'q, Postgres, (LogState, bool), PgArguments>;

/// Runs a change; returns the log's state before, and whether it changed.
async fn apply(db: impl PgExecutor<'_>, log: LogId, change: LogChange<'_>) -> Result<(LogState, bool)> {
    change
        .fetch_optional(db)
        .await
        .with_context(|| format!("failed to note the state of log {log}"))?
        .ok_or_else(|| anyhow!("log {log} is not in the database"))
}
