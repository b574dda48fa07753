//! What the run's row says about its log, each change with its audit entry.
//!
//! None of these looks at the run's status: the log of a run that lost its lease, or was ended by
//! somebody else, is archived under its own run all the same. Each may be repeated; a repetition
//! leaves no second audit entry.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use sqlx::postgres::PgArguments;
use sqlx::query::QueryAs;
use sqlx::{PgExecutor, Postgres};

use super::failure::Context as _;
use super::fit;
use crate::ids::RunId;

/// A complete log, still in the spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedLog {
    pub raw_bytes: u64,
    pub lines: u64,
    /// Stored events by level.
    pub events: BTreeMap<String, u64>,
    /// Events that could not be stored.
    pub dropped: u64,
}

/// A log whose archive the object store has confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivedLog {
    /// `s3://…` or `file://…`.
    pub uri: String,
    pub raw_bytes: u64,
    pub gzip_bytes: u64,
    pub lines: u64,
    /// Stored events by level.
    pub events: BTreeMap<String, u64>,
    /// Events that could not be stored.
    pub dropped: u64,
    pub raw_sha256: [u8; 32],
    pub gzip_sha256: [u8; 32],
}

/// Builds a statement that changes the log columns of run `$1` where its log state allows it, and
/// writes an audit entry where `entry` says so: `was` is the row before, `now` the row after.
/// It returns the log state before and whether the row was changed, or no row for an unknown run.
macro_rules! change {
    (from $from:literal, set $set:literal, entry $entry:literal, when $when:literal, detail $detail:literal) => {
        concat!(
            "with was as (select * from parse_file_meta where id = $1 for update), \
             now as (update parse_file_meta r set ",
            $set,
            " from was \
                 where r.id = was.id and was.log_state in (",
            $from,
            ") returning r.*), \
             entry as (insert into log_entry (entry, data_file_id, batch_id, run_id, detail) \
                 select ",
            $entry,
            ", now.data_file_id, now.batch_id, now.id, ",
            $detail,
            " \
                 from now join was on was.id = now.id where ",
            $when,
            ") \
             select was.log_state, exists (select 1 from now) from was"
        )
    };
}

/// The log was opened. What is known to be further along stays as it is.
///
/// # Errors
/// The database fails, or does not know the run.
pub async fn log_opened(db: impl PgExecutor<'_>, run: RunId) -> Result<()> {
    let changed = sqlx::query_as(change!(
        from "'none'", set "log_state = 'open'", entry "'log-opened'", when "false", detail "null"
    ));
    apply(db, run, changed.bind(run)).await?;
    Ok(())
}

/// The log is complete, in the spool. False where it was pruned before: then nobody may store it again.
///
/// # Errors
/// The database fails, or does not know the run.
pub async fn log_sealed(db: impl PgExecutor<'_>, run: RunId, log: &SealedLog) -> Result<bool> {
    let changed = sqlx::query_as(change!(
        from "'none', 'open', 'sealed', 'lost'",
        set "log_state = 'sealed', log_raw_bytes = $2, log_lines = $3, log_events = $4, log_dropped = $5",
        entry "'log-sealed'", when "was.log_state <> 'sealed'",
        detail "format('%s lines, %s events dropped', now.log_lines, now.log_dropped)"
    ))
    .bind(run)
    .bind(fit::count(log.raw_bytes))
    .bind(fit::count(log.lines))
    .bind(fit::json(&log.events))
    .bind(fit::count(log.dropped));
    let (before, _) = apply(db, run, changed).await?;
    Ok(before != "pruned")
}

/// The log is in the object store, which has confirmed its bytes; a pruned log stays pruned.
///
/// # Errors
/// The database fails, or does not know the run.
pub async fn log_archived(db: impl PgExecutor<'_>, run: RunId, log: &ArchivedLog) -> Result<()> {
    let changed = sqlx::query_as(change!(
        from "'none', 'open', 'sealed', 'fallback', 'lost', 'archived'",
        set "log_state = 'archived', logs_uri = $2, log_raw_bytes = $3, log_gzip_bytes = $4, \
             log_lines = $5, log_events = $6, log_dropped = $7, log_raw_sha256 = $8, \
             log_gzip_sha256 = $9, log_archived_at = coalesce(was.log_archived_at, now()), \
             archive_error = null",
        entry "'archived'", when "was.log_state <> 'archived' or was.logs_uri <> now.logs_uri",
        detail "now.logs_uri"
    ))
    .bind(run)
    .bind(fit::text(&log.uri))
    .bind(fit::count(log.raw_bytes))
    .bind(fit::count(log.gzip_bytes))
    .bind(fit::count(log.lines))
    .bind(fit::json(&log.events))
    .bind(fit::count(log.dropped))
    .bind(log.raw_sha256)
    .bind(log.gzip_sha256);
    apply(db, run, changed).await?;
    Ok(())
}

/// The log could not be archived and stays in the spool, to be tried again. Returns whether this is
/// the first time, which is when the global log gets the run's warnings.
///
/// Each failure counts, but only one with a new reason gets an audit entry.
///
/// # Errors
/// The database fails, or does not know the run.
pub async fn archive_failed(db: impl PgExecutor<'_>, run: RunId, reason: &str) -> Result<bool> {
    let changed = sqlx::query_as(change!(
        from "'none', 'open', 'sealed', 'fallback', 'lost'",
        set "log_state = 'fallback', archive_error = $2, archive_attempts = was.archive_attempts + 1",
        entry "case was.log_state when 'fallback' then 'archive-failed' else 'fell-back' end",
        when "was.log_state <> 'fallback' or was.archive_error <> now.archive_error",
        detail "now.archive_error"
    ))
    .bind(run)
    .bind(fit::text(reason));
    let (before, changed) = apply(db, run, changed).await?;
    Ok(changed && before != "fallback")
}

/// There is no log to archive: it could not be kept. `dropped` says how many events were in it, where
/// that is known; what was known before stays.
///
/// # Errors
/// The database fails, or does not know the run.
pub async fn log_lost(db: impl PgExecutor<'_>, run: RunId, reason: &str, dropped: Option<u64>) -> Result<()> {
    let changed = sqlx::query_as(change!(
        from "'none', 'open', 'sealed', 'fallback', 'lost'",
        set "log_state = 'lost', archive_error = $2, log_dropped = coalesce($3, was.log_dropped)",
        entry "'log-lost'", when "was.log_state <> 'lost'", detail "now.archive_error"
    ))
    .bind(run)
    .bind(fit::text(reason))
    .bind(dropped.map(fit::count));
    apply(db, run, changed).await?;
    Ok(())
}

type Change<'q> = QueryAs<'q, Postgres, (String, bool), PgArguments>;

/// Runs a [`change!`]; returns the log state before, and whether it changed.
async fn apply(db: impl PgExecutor<'_>, run: RunId, change: Change<'_>) -> Result<(String, bool)> {
    change
        .fetch_optional(db)
        .await
        .with_context(|| format!("failed to note the state of the log of run {run}"))?
        .ok_or_else(|| anyhow!("run {run} is not in the database"))
}
