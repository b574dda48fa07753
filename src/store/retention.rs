//! Lets logs go: finds old ones, changes their rows, and keeps those on hold.
//!
//! A row keeps outcome, counts and hashes. It lets its log go before the object is deleted, so that no row ever
//! names a missing object; the audit log keeps the URI. The doctor finds and deletes what a crash in between
//! leaves.

use anyhow::Result;
use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgExecutor};

use super::failure::DbContext as _;
use super::{DataFile, PgPool, fit};
use crate::ids::{DataFileId, LogId, RunId, ServiceName};

/// Replaces an erased text.
const ERASED: &str = "[erased]";

/// A deletable log.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct OldLog {
    /// Of a run it is the run's id.
    pub id: LogId,
    pub logs_uri: String,
    pub log_gzip_bytes: i64,
    pub log_archived_at: DateTime<Utc>,
}

/// The runs' logs archived before this moment, after log `after`, in the order of their runs, without
/// files on legal hold.
///
/// # Errors
/// The database fails.
pub async fn archived_before(
    db: impl PgExecutor<'_>,
    moment: DateTime<Utc>,
    after: Option<LogId>,
    limit: i64,
) -> Result<Vec<OldLog>> {
    sqlx::query_as(
        "select id, logs_uri, log_gzip_bytes, log_archived_at from run
         where log_state = 'archived' and log_archived_at < $1 and not legal_hold
           and ($2::uuid is null or id > $2)
         order by id limit $3",
    )
    .bind(moment)
    .bind(after)
    .bind(limit)
    .fetch_all(db)
    .await
    .context("failed to look for old logs")
}

/// The segments of a stream archived before this moment, after log `after`, in order.
///
/// # Errors
/// The database fails.
pub async fn segments_before(
    db: impl PgExecutor<'_>,
    service: &ServiceName,
    moment: DateTime<Utc>,
    after: Option<LogId>,
    limit: i64,
) -> Result<Vec<OldLog>> {
    sqlx::query_as(
        "select id, uri as logs_uri, gzip_bytes as log_gzip_bytes, archived_at as log_archived_at from log
         where service = $1 and state = 'archived' and archived_at < $2 and ($3::uuid is null or id > $3)
         order by id limit $4",
    )
    .bind(service.as_str())
    .bind(moment)
    .bind(after)
    .bind(limit)
    .fetch_all(db)
    .await
    .context("failed to look for old segments")
}

/// Lets an archived segment go, before its deletion: its row names no object any more. Returns the URI that the
/// row had; the audit log keeps it. `None`, without a change, if it is no longer archived.
///
/// # Errors
/// The database fails.
pub async fn let_segment_go(
    db: impl PgExecutor<'_>,
    segment: LogId,
    actor: &str,
    reason: &str,
) -> Result<Option<String>> {
    sqlx::query_scalar(
        "with was as (
             select id, uri from log where id = $1 and service is not null and state = 'archived' for update
         ), gone as (
             update log set state = 'pruned', uri = null from was where log.id = was.id returning was.uri
         ), told as (
             insert into log_entry (actor, entry, detail)
             select $2, e.entry, e.detail from gone
             cross join lateral (values (1, 'deleting', uri), (2, 'pruned', $3)) as e (n, entry, detail)
             order by e.n
         )
         select uri from gone",
    )
    .bind(segment)
    .bind(fit::label(actor))
    .bind(fit::text(reason))
    .fetch_optional(db)
    .await
    .with_context(|| format!("failed to let segment {segment} go"))
}

/// Lets an archived log go, before its deletion: its row names no object any more. Returns the URI that the row
/// had, for the caller to delete; the audit log keeps it. `None`, without a change, if the file is on legal hold
/// by now, or the log is no longer archived.
///
/// With `texts`, possibly private texts of the run go too, from its row and its actions; of a failure only the
/// fact remains.
///
/// # Errors
/// The database fails.
pub async fn let_go(
    pool: &PgPool,
    run: RunId,
    actor: &str,
    entry: &str,
    reason: Option<&str>,
    texts: bool,
) -> Result<Option<String>> {
    let note = async {
        let mut transaction = pool.begin().await?;
        // The lock on the file makes a simultaneous hold wait, or this wait for the hold.
        let uri: Option<String> = sqlx::query_scalar(
            "with was as (
                 select l.id, l.uri, r.data_file_id, r.batch_id
                 from log l join parse_file_meta r on r.id = l.run_id join data_file f on f.id = r.data_file_id
                 where l.run_id = $1 and l.state = 'archived' and not f.legal_hold
                 for update of l for share of f
             ), gone as (
                 update log l set state = 'pruned', uri = null from was where l.id = was.id
                 returning l.run_id, was.data_file_id, was.batch_id, was.uri
             ), told as (
                 insert into log_entry (actor, entry, data_file_id, batch_id, run_id, detail)
                 select $2, e.entry, data_file_id, batch_id, run_id, e.detail
                 from gone cross join lateral (values (1, 'deleting', uri), (2, $3, $4)) as e (n, entry, detail)
                 order by e.n
             )
             select uri from gone",
        )
        .bind(run)
        .bind(fit::label(actor))
        .bind(entry)
        .bind(reason.map(fit::text))
        .fetch_optional(&mut *transaction)
        .await?;
        if texts && uri.is_some() {
            sqlx::query(
                "update parse_file_meta
                 set first_error = null, first_error_record = null,
                     failure = case when failure is not null then $2 end
                 where id = $1",
            )
            .bind(run)
            .bind(ERASED)
            .execute(&mut *transaction)
            .await?;
            sqlx::query("set local parselog.rewrite_history = 'on'").execute(&mut *transaction).await?;
            sqlx::query(
                "update run_action set detail = $2
                 where run_id = $1 and action in ('fail', 'terminate', 'inaction', 'crash')",
            )
            .bind(run)
            .bind(ERASED)
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok::<_, sqlx::Error>(uri)
    };
    note.await.with_context(|| format!("failed to let the log of run {run} go"))
}

/// Sets or releases the legal hold of a file, in all its submissions; returns those that changed.
///
/// # Errors
/// The database fails.
pub async fn hold(
    db: impl PgExecutor<'_>,
    file: &DataFile,
    hold: bool,
    actor: &str,
    reason: Option<&str>,
) -> Result<Vec<DataFileId>> {
    sqlx::query_scalar(
        "with changed as (
             update data_file set legal_hold = $2
             where legal_hold <> $2
               and (bucket, identity, owner) = (select bucket, identity, owner from data_file where id = $1)
             returning id
         ), noted as (
             insert into log_entry (actor, entry, data_file_id, detail)
             select $3, case when $2 then 'held' else 'hold-released' end, id, $4 from changed
         )
         select id from changed order by id",
    )
    .bind(file.id)
    .bind(hold)
    .bind(fit::label(actor))
    .bind(reason.map(fit::text))
    .fetch_all(db)
    .await
    .with_context(|| format!("failed to change the hold of data file {}", file.id))
}
