//! `notice`, for those who deliver: takes due notices, and records the results.
//!
//! Others decide what a mail or a call says, and how to deliver it.

use std::time::Duration;

use anyhow::Result;
use sqlx::PgExecutor;

use super::failure::DbContext as _;
use super::notice::WEBHOOK;
use super::{Notice, fit};

/// How notices leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    Mail,
    Webhook,
}

/// How long a notice waits before it may be sent, beside the pause after an attempt.
#[derive(Debug, Clone, Copy, Default)]
pub struct Waits {
    /// Shortest time between two mails to an operator.
    pub gap: Duration,
    /// Longest wait of a notice about an ended run for the location of its log.
    pub archive: Duration,
}

/// The notices that may leave now by this channel, in order.
///
/// # Errors
/// The database fails.
pub async fn due(db: impl PgExecutor<'_>, channel: Channel, waits: Waits) -> Result<Vec<i64>> {
    sqlx::query_scalar(
        "select n.id
         from notice n left join parse_file_meta r on r.id = n.run_id left join log l on l.run_id = n.run_id
         where n.state = 'queued' and n.next_try_at <= now() and (n.address = $3) = $4
           and (n.kind not in ('result', 'run-failed')
                or l.state in ('archived', 'fallback', 'lost', 'pruned') or r.started_at is null
                or r.finished_at < now() - $2)
           and (n.kind = 'result'
                or not exists (select 1 from notice told
                               where told.state = 'sent' and told.address = n.address
                                 and told.kind <> 'result' and told.sent_at > now() - $1))
         order by n.id",
    )
    .bind(waits.gap)
    .bind(waits.archive)
    .bind(WEBHOOK)
    .bind(channel == Channel::Webhook)
    .fetch_all(db)
    .await
    .context("failed to look for notices to send")
}

/// Takes the oldest due result and marks it as being sent. Nobody else gets it, and it is never handed out
/// again by itself. Empty if none is due.
///
/// # Errors
/// The database fails.
pub async fn take_result(db: impl PgExecutor<'_>, waits: Waits) -> Result<Vec<Notice>> {
    take(db, waits, true, 1).await
}

/// As [`take_result`], for all due notices of one operator, up to a limit.
///
/// # Errors
/// The database fails.
pub async fn take_errors(db: impl PgExecutor<'_>, waits: Waits, limit: i64) -> Result<Vec<Notice>> {
    take(db, waits, false, limit).await
}

/// Takes the oldest due notice for the webhook and marks it as being sent. One that was taken longer than
/// `in_doubt` ago without a result is handed out again.
///
/// # Errors
/// The database fails.
pub async fn take_call(
    db: impl PgExecutor<'_>,
    archive: Duration,
    in_doubt: Duration,
) -> Result<Option<Notice>> {
    sqlx::query_as(
        "with due as materialized (
             select n.id
             from notice n left join parse_file_meta r on r.id = n.run_id
                           left join log l on l.run_id = n.run_id
             where n.address = $3 and n.state in ('queued', 'sending')
               and case n.state when 'queued' then n.next_try_at <= now() else n.tried_at < now() - $2 end
               and (n.kind <> 'result'
                    or l.state in ('archived', 'fallback', 'lost', 'pruned') or r.started_at is null
                    or r.finished_at < now() - $1)
             order by n.id limit 1 for update of n skip locked
         )
         update notice set state = 'sending', attempts = attempts + 1, tried_at = now()
         where id in (select id from due) returning *",
    )
    .bind(archive)
    .bind(in_doubt)
    .bind(WEBHOOK)
    .fetch_optional(db)
    .await
    .context("failed to take a notice for the webhook")
}

/// Takes [`due`] notices for one address.
async fn take(db: impl PgExecutor<'_>, waits: Waits, results: bool, limit: i64) -> Result<Vec<Notice>> {
    let taken = sqlx::query_as(
        "with due as materialized (
             select n.id, n.address
             from notice n left join parse_file_meta r on r.id = n.run_id
                           left join log l on l.run_id = n.run_id
             where n.state = 'queued' and n.next_try_at <= now() and (n.kind = 'result') = $3 and n.address <> $5
               and (n.kind not in ('result', 'run-failed')
                    or l.state in ('archived', 'fallback', 'lost', 'pruned') or r.started_at is null
                    or r.finished_at < now() - $2)
               and (n.kind = 'result'
                    or not exists (select 1 from notice told
                                   where told.state = 'sent' and told.address = n.address
                                     and told.kind <> 'result' and told.sent_at > now() - $1))
             order by n.id limit $4 for update of n skip locked
         ), mail as (
             select id from due where address = (select address from due order by id limit 1)
         )
         update notice set state = 'sending', attempts = attempts + 1, tried_at = now()
         where id in (select id from mail) returning *",
    )
    .bind(waits.gap)
    .bind(waits.archive)
    .bind(results)
    .bind(limit)
    .bind(WEBHOOK)
    .fetch_all(db)
    .await;
    let mut taken: Vec<Notice> = taken.context("failed to take notices to send")?;
    taken.sort_by_key(|notice| notice.id);
    Ok(taken)
}

/// The receiver took these notices.
///
/// # Errors
/// The database fails.
pub async fn sent(db: impl PgExecutor<'_>, ids: &[i64]) -> Result<()> {
    sqlx::query(
        "update notice set state = 'sent', sent_at = now(), last_error = null
         where id = any($1) and state = 'sending'",
    )
    .bind(ids)
    .execute(db)
    .await
    .context("failed to note that notices are sent")?;
    Ok(())
}

/// The receiver certainly did not take these notices, or will know them again: retry them, later and later, or
/// give up after `tries`.
///
/// # Errors
/// The database fails; then they stay marked as being sent.
pub async fn refused(db: impl PgExecutor<'_>, ids: &[i64], reason: &str, tries: i32) -> Result<()> {
    sqlx::query(
        "update notice set state = case when attempts > $3 then 'failed' else 'queued' end,
                next_try_at = now() + parselog_retry_delay(attempts), last_error = $2
         where id = any($1) and state = 'sending'",
    )
    .bind(ids)
    .bind(fit::text(reason))
    .bind(tries)
    .execute(db)
    .await
    .context("failed to note that notices are not sent")?;
    Ok(())
}

/// As [`refused`], for notices without a receiver to hand them to.
///
/// # Errors
/// The database fails.
pub async fn put_off(db: impl PgExecutor<'_>, ids: &[i64], reason: &str, tries: i32) -> Result<()> {
    sqlx::query(
        "with waiting as (
             select id from notice where id = any($1) and state = 'queued' and next_try_at <= now()
             for update skip locked
         )
         update notice set state = case when attempts > $3 then 'failed' else 'queued' end,
                attempts = attempts + 1, tried_at = now(),
                next_try_at = now() + parselog_retry_delay(attempts + 1), last_error = $2
         where id in (select id from waiting)",
    )
    .bind(ids)
    .bind(fit::text(reason))
    .bind(tries)
    .execute(db)
    .await
    .context("failed to put notices off")?;
    Ok(())
}
