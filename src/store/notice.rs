//! `notice`: the outbox of mails, one row for each condition and address.
//!
//! Finds what is to be told, hands out what is due, and keeps what came of it. What a mail says, and
//! how it is sent, is not decided here.

use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, PgExecutor, QueryBuilder};

use super::failure::Context as _;
use super::{NoticeKind, NoticeState, PgPool, fit, health};
use crate::ids::{BatchId, RunId};

/// Mails to the operators are gathered: so many conditions in one, at most.
const GATHERED: i64 = 50;

/// A row of `notice`.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct Notice {
    pub id: i64,
    pub kind: NoticeKind,
    /// What it is about: a run, or a batch.
    pub run_id: Option<RunId>,
    pub batch_id: Option<BatchId>,
    pub address: String,
    pub state: NoticeState,
    pub created_at: DateTime<Utc>,
    pub attempts: i32,
    pub next_try_at: DateTime<Utc>,
    /// When the last attempt began.
    pub tried_at: Option<DateTime<Utc>>,
    /// When the mail server took it.
    pub sent_at: Option<DateTime<Utc>>,
    pub last_error: Option<String>,
}

/// Which notices are asked for; `None` is any.
#[derive(Debug, Clone, Default)]
pub struct NoticeFilter {
    pub run: Option<RunId>,
    /// Only what was neither sent nor dismissed.
    pub unsent: bool,
    /// At most so many.
    pub limit: Option<i64>,
}

/// From now on somebody looks for what is to be told; what happened before the first time is old.
///
/// # Errors
/// The database fails.
pub async fn watch(db: impl PgExecutor<'_>) -> Result<()> {
    sqlx::query("insert into notice_watch default values on conflict do nothing")
        .execute(db)
        .await
        .context("failed to begin with notices")?;
    Ok(())
}

/// Runs that have ended for good since the last look: $1 is `since`, $2 is `through`. The end of a
/// run may become visible a little after its time. After a long pause, what is older than a week is
/// not told any more.
macro_rules! ended {
    () => {
        "r.finished_at > greatest($1, $2 - interval '10 minutes', now() - interval '7 days')
         and not exists (select 1 from parse_file_meta next
                         where next.batch_id = r.batch_id and next.data_file_id = r.data_file_id
                           and next.attempt > r.attempt)"
    };
}

/// Queues what is to be told and was not queued before: results to the submitters, the rest to
/// `admins`. `grace` is how late a run may be. Returns how many mails that is.
///
/// # Errors
/// The database fails; then nothing was queued.
pub async fn queue(pool: &PgPool, admins: &[String], grace: Duration) -> Result<u64> {
    let mut transaction = pool.begin().await.context("failed to look for what is to be told")?;
    // Workers look one after the other.
    let (since, through): (DateTime<Utc>, DateTime<Utc>) =
        sqlx::query_as("select since, through from notice_watch for update")
            .fetch_one(&mut *transaction)
            .await
            .context("failed to look for what is to be told")?;
    let stuck = health::stuck(&mut *transaction, grace).await?;
    let overdue = health::overdue(&mut *transaction).await?;
    // A reparse whose verdict stayed the best one is no news, and one that did not work changes nothing
    // for the submitter.
    let queued = sqlx::query(concat!(
        "with told (kind, run_id, batch_id, address) as (
             select 'result', r.id, null::bigint, unnest(f.submitter_emails)
             from parse_file_meta r join data_file f on f.id = r.data_file_id
             where ",
        ended!(),
        "  and (r.kind <> 'reparse' or r.status = 'success' and not (
                   r.summary_status = 'Accepted' and 'Accepted' is not distinct from (
                       select before.summary_status from parse_file_meta before
                       where before.data_file_id = r.data_file_id and before.id < r.id
                         and before.batch_id <> r.batch_id and before.finished_at is not null
                       order by before.id desc limit 1)))
             union
             select 'run-failed', r.id, null, unnest($3::text[]) from parse_file_meta r
             where ",
        ended!(),
        "  and (r.status in ('fail', 'crash')
                  or r.status = 'terminate' and r.cancel_requested_at is null)
             union
             select 'log-kept-back', r.id, null, unnest($3)
             from parse_file_meta r join log l on l.run_id = r.id
             where l.state in ('fallback', 'lost')
               and r.finished_at > greatest($1, now() - interval '7 days')
             union
             select 'run-stuck', id, null, unnest($3) from unnest($4::uuid[]) as stuck (id)
             union
             select 'batch-overdue', null, id, unnest($3) from unnest($5::bigint[]) as overdue (id)
         ), looked as (
             update notice_watch set through = now()
         )
         insert into notice (kind, run_id, batch_id, address)
         select kind, run_id, batch_id, address from told order by run_id, batch_id
         on conflict do nothing"
    ))
    .bind(since)
    .bind(through)
    .bind(admins)
    .bind(stuck.iter().map(|run| run.id.0).collect::<Vec<_>>())
    .bind(overdue.iter().map(|batch| batch.id.0).collect::<Vec<_>>())
    .execute(&mut *transaction)
    .await
    .context("failed to queue notices")?;
    transaction.commit().await.context("failed to queue notices")?;
    Ok(queued.rows_affected())
}

/// The notices that may be sent now. What is about an ended run waits until it is
/// known where its log is, for an hour at most; operators get one mail in a `$1`.
macro_rules! due {
    () => {
        "select n.id, n.kind, n.address
         from notice n left join parse_file_meta r on r.id = n.run_id left join log l on l.run_id = n.run_id
         where n.state = 'queued' and n.next_try_at <= now()
           and (n.kind not in ('result', 'run-failed')
                or l.state in ('archived', 'fallback', 'lost', 'pruned') or r.started_at is null
                or r.finished_at < now() - interval '1 hour')
           and (n.kind = 'result'
                or not exists (select 1 from notice told
                               where told.state = 'sent' and told.address = n.address
                                 and told.kind <> 'result' and told.sent_at > now() - $1))"
    };
}

/// Whether anything is due.
///
/// # Errors
/// The database fails.
pub async fn any_due(db: impl PgExecutor<'_>, gap: Duration) -> Result<bool> {
    sqlx::query_scalar(concat!("with due as (", due!(), ") select exists (select 1 from due)"))
        .bind(gap)
        .fetch_one(db)
        .await
        .context("failed to look for notices to send")
}

/// Marks the notices of `mail` as being sent.
macro_rules! mark {
    () => {
        "update notice set state = 'sending', attempts = attempts + 1, tried_at = now()
         where id in (select id from mail) returning *"
    };
}

/// Takes the oldest result that is due and marks it as being sent. Nobody else gets it, and it is
/// never handed out again by itself. Empty when none is due.
///
/// # Errors
/// The database fails.
pub async fn take_result(db: impl PgExecutor<'_>, gap: Duration) -> Result<Vec<Notice>> {
    let oldest = concat!(
        "with mail as materialized (",
        due!(),
        "  and n.kind = 'result' order by n.id limit $2 for update of n skip locked) ",
        mark!()
    );
    marked(db, oldest, gap, 1).await
}

/// As [`take_result`], for all that one operator is to be told.
///
/// # Errors
/// The database fails.
pub async fn take_errors(db: impl PgExecutor<'_>, gap: Duration) -> Result<Vec<Notice>> {
    let of_one = concat!(
        "with due as materialized (",
        due!(),
        "    and n.kind <> 'result' order by n.id limit $2 for update of n skip locked
         ), mail as (
             select id from due where address = (select address from due order by id limit 1)
         ) ",
        mark!()
    );
    marked(db, of_one, gap, GATHERED).await
}

async fn marked(
    db: impl PgExecutor<'_>,
    sql: &'static str,
    gap: Duration,
    limit: i64,
) -> Result<Vec<Notice>> {
    let taken = sqlx::query_as(sql).bind(gap).bind(limit).fetch_all(db).await;
    let mut taken: Vec<Notice> = taken.context("failed to take notices to send")?;
    taken.sort_by_key(|notice| notice.id);
    Ok(taken)
}

/// The mail server took the mail of these notices.
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

/// The mail of these notices was surely not taken: they are tried again, later and later, unless that
/// is no use, or was none about three days long.
///
/// # Errors
/// The database fails; then nobody knows, and they stay as being sent.
pub async fn refused(db: impl PgExecutor<'_>, ids: &[i64], reason: &str, for_good: bool) -> Result<()> {
    sqlx::query(
        "update notice set state = case when $3 or attempts > 400 then 'failed' else 'queued' end,
                next_try_at = now() + parselog_retry_delay(attempts), last_error = $2
         where id = any($1) and state = 'sending'",
    )
    .bind(ids)
    .bind(fit::text(reason))
    .bind(for_good)
    .execute(db)
    .await
    .context("failed to note that notices are not sent")?;
    Ok(())
}

/// As [`refused`], for all that is due, since there is no mail server to hand it to.
///
/// # Errors
/// The database fails.
pub async fn put_off(db: impl PgExecutor<'_>, gap: Duration, reason: &str) -> Result<()> {
    sqlx::query(concat!(
        "with due as (",
        due!(),
        "  for update of n skip locked
         ) update notice set state = case when attempts > 400 then 'failed' else 'queued' end,
                  attempts = attempts + 1, tried_at = now(),
                  next_try_at = now() + parselog_retry_delay(attempts + 1), last_error = $2
           where id in (select id from due)"
    ))
    .bind(gap)
    .bind(fit::text(reason))
    .execute(db)
    .await
    .context("failed to put notices off")?;
    Ok(())
}

/// What a person should look at: notices that were given up, that have been waiting for hours, or
/// that a worker took and did not say what came of it.
///
/// # Errors
/// The database fails.
pub async fn undelivered(db: impl PgExecutor<'_>) -> Result<Vec<Notice>> {
    sqlx::query_as(
        "select * from notice
         where state = 'failed'
            or state = 'sending' and tried_at < now() - interval '10 minutes'
            or state = 'queued' and created_at < now() - interval '2 hours'
         order by id",
    )
    .fetch_all(db)
    .await
    .context("failed to look for undelivered notices")
}

/// The notices that `filter` lets through, the latest first.
///
/// # Errors
/// The database fails.
pub async fn list(db: impl PgExecutor<'_>, filter: &NoticeFilter) -> Result<Vec<Notice>> {
    let mut query = QueryBuilder::new("select * from notice where true");
    if let Some(run) = filter.run {
        query.push(" and run_id = ").push_bind(run);
    }
    if filter.unsent {
        query.push(" and state in ('queued', 'sending', 'failed')");
    }
    query.push(" order by id desc limit ").push_bind(filter.limit);
    query.build_query_as().fetch_all(db).await.context("failed to list notices")
}

/// Settles what a person looked at: notices that were given up, or of which nobody knows whether they
/// were taken, are sent `again`; else they are dismissed, and those that wait too. Returns how many
/// that is; each is an audit entry.
///
/// # Errors
/// The database fails.
pub async fn settle(db: impl PgExecutor<'_>, ids: &[i64], again: bool, actor: &str) -> Result<u64> {
    let settled = sqlx::query(
        "with settled as (
             update notice set state = case when $2 then 'queued' else 'dismissed' end,
                    next_try_at = now(), attempts = 0
             where id = any($1)
               and (state = 'failed' or state = 'queued' and not $2
                    or state = 'sending' and tried_at < now() - interval '10 minutes')
             returning *
         )
         insert into log_entry (actor, entry, data_file_id, batch_id, run_id, detail)
         select $3, case when $2 then 'notice-retried' else 'notice-dismissed' end, r.data_file_id,
                coalesce(n.batch_id, r.batch_id), n.run_id, format('mail %s: %s', n.id, n.kind)
         from settled n left join parse_file_meta r on r.id = n.run_id",
    )
    .bind(ids)
    .bind(again)
    .bind(fit::label(actor))
    .execute(db)
    .await
    .context("failed to settle notices")?;
    Ok(settled.rows_affected())
}
