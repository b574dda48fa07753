//! `log.spool`, `log.taken_by` and `log.lost_after`: logs of machines that are gone, and who composes them from
//! their pieces.

use std::time::Duration;

use anyhow::Result;
use sqlx::{FromRow, PgExecutor};
use uuid::Uuid;

use super::failure::DbContext as _;
use super::problem::{self, KindCount};
use super::{ArchivedLog, PgPool, fit};
use crate::ids::{LogId, RunId};

/// A log that another machine has not archived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct LeftLog {
    /// Its run.
    pub id: RunId,
    /// The lease under which the run was claimed.
    pub lease_token: Uuid,
}

/// Logs of ended runs that are not archived, and whose spool is another one, on which no worker is alive. A run that
/// did not crash had this `patience` before: its worker may be a command that only just ended.
///
/// # Errors
/// The database fails.
pub async fn left(db: impl PgExecutor<'_>, spool: Uuid, patience: Duration) -> Result<Vec<LeftLog>> {
    sqlx::query_as(
        "select r.id, r.lease_token
         from log l
         join parse_file_meta r on r.id = l.run_id
         where l.spool is not null and l.state in ('none', 'open', 'sealed', 'fallback', 'lost') and l.spool <> $1
           and (l.state <> 'lost' or exists (select from log_piece p where p.log_id = l.id)
                                or exists (select from log_upload u where u.log_id = l.id))
           and r.status not in ('queued', 'running') and r.lease_token is not null
           and (r.status = 'crash' or r.finished_at < now() - $2)
           and not exists (select from worker w where w.spool = l.spool and w.stopped_at is null
                                                  and w.seen_at > now() - w.beat * 3)
         order by r.id",
    )
    .bind(spool)
    .bind(patience)
    .fetch_all(db)
    .await
    .context("failed to look for the logs of machines that are gone")
}

/// Takes a log over, so that its own machine ships no more of it, should it come back. False if it is archived by now,
/// or another machine that is alive took it.
///
/// # Errors
/// The database fails.
pub async fn take(db: impl PgExecutor<'_>, log: LogId, spool: Uuid) -> Result<bool> {
    let taken: Option<i32> = sqlx::query_scalar(
        "update log set taken_by = $2
         where id = $1 and state not in ('archived', 'pruned')
           and (taken_by is null or taken_by = $2
                or not exists (select from worker w where w.spool = log.taken_by and w.stopped_at is null
                                                      and w.seen_at > now() - w.beat * 3))
         returning 1",
    )
    .bind(log)
    .bind(spool)
    .fetch_optional(db)
    .await
    .with_context(|| format!("failed to take over log {log}"))?;
    Ok(taken.is_some())
}

/// The composed log is in the object store, which has confirmed its bytes. `lost_after` and `what` say where it ends;
/// its problems, if they could be counted, are counted with it, since nobody has its lines afterwards. False if the
/// log's own machine came back and archived it, or somebody else took it over.
///
/// # Errors
/// The database fails; then nothing changed, or nobody knows.
pub async fn archived(
    pool: &PgPool,
    log: LogId,
    spool: Uuid,
    archive: &ArchivedLog,
    (lost_after, what): (Option<u64>, &str),
    problems: Option<&[KindCount]>,
) -> Result<bool> {
    let failed = || format!("failed to note that log {log} was taken over");
    let mut transaction = pool.begin().await.with_context(failed)?;
    let is_on_row = on_row(&mut *transaction, log, spool, archive, (lost_after, what)).await?;
    if is_on_row && let Some(problems) = problems {
        problem::count(&mut *transaction, log.as_run(), problems).await?;
    }
    transaction.commit().await.with_context(failed)?;
    Ok(is_on_row)
}

async fn on_row(
    db: impl PgExecutor<'_>,
    log: LogId,
    spool: Uuid,
    archive: &ArchivedLog,
    (lost_after, what): (Option<u64>, &str),
) -> Result<bool> {
    let content = &archive.content;
    sqlx::query_scalar(
        "with was as (
             select log.*, run.data_file_id, run.batch_id
             from log join parse_file_meta run on run.id = log.run_id where log.id = $1 for update of log
         ), now as (
             update log
             set state = 'archived', uri = $3, raw_bytes = $4, gzip_bytes = $5, lines = $6, events = $7, dropped = $8,
                 raw_sha256 = $9, gzip_sha256 = $10, first_at = $11, last_at = $12, lost_after = $13,
                 archived_at = now(), error = null
             from was
             where log.id = was.id and was.taken_by = $2 and was.state not in ('archived', 'pruned')
             returning log.*
         ), told as (
             update parse_file_meta r set failure = left(concat_ws('; ', r.failure, $14::text), 4096)
             from now where r.id = now.run_id and r.status = 'crash' and now.lost_after is not null
         ), entry as (
             insert into log_entry (entry, data_file_id, batch_id, run_id, detail)
             select e.entry, was.data_file_id, was.batch_id, was.run_id, e.detail
             from now join was on was.id = now.id
             cross join lateral (values ('taken-over', $14::text), ('archived', now.uri)) as e (entry, detail)
         )
         select exists (select from now) or exists (
             select from was where state = 'archived' and taken_by = $2 and uri = $3)",
    )
    .bind(log)
    .bind(spool)
    .bind(fit::text(&archive.uri))
    .bind(fit::count(content.raw_bytes))
    .bind(fit::count(archive.gzip_bytes))
    .bind(fit::count(content.lines))
    .bind(fit::json(&content.events))
    .bind(fit::count(content.dropped))
    .bind(archive.raw_sha256)
    .bind(archive.gzip_sha256)
    .bind(content.first_at)
    .bind(content.last_at)
    .bind(lost_after.map(fit::count))
    .bind(fit::text(what))
    .fetch_one(db)
    .await
    .with_context(|| format!("failed to note that log {log} was taken over"))
}

/// The URI of the log, if it is archived.
///
/// # Errors
/// The database fails.
pub async fn archived_at(db: impl PgExecutor<'_>, log: LogId) -> Result<Option<String>> {
    let uri: Option<Option<String>> = sqlx::query_scalar("select uri from log where id = $1")
        .bind(log)
        .fetch_optional(db)
        .await
        .with_context(|| format!("failed to ask where log {log} is"))?;
    Ok(uri.flatten())
}

/// The URI of the log, if another machine archived it with exactly these bytes.
///
/// # Errors
/// The database fails.
pub async fn same(db: impl PgExecutor<'_>, log: LogId, raw_sha256: [u8; 32]) -> Result<Option<String>> {
    sqlx::query_scalar(
        "select uri from log where id = $1 and state = 'archived' and taken_by is not null and raw_sha256 = $2",
    )
    .bind(log)
    .bind(raw_sha256)
    .fetch_optional(db)
    .await
    .with_context(|| format!("failed to ask whether log {log} is archived"))
}
