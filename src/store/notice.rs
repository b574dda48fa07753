//! `notice`: the outbox of mails, one row for each condition and address.
//!
//! Finds what to tell, and lists and settles notices. `outbox` hands out the due ones.

use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, PgExecutor, QueryBuilder};

use super::failure::DbContext as _;
use super::{NoticeKind, NoticeState, PgPool, fit};
use crate::ids::{BatchId, RunId};

/// A row of `notice`.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct Notice {
    pub id: i64,
    pub kind: NoticeKind,
    /// Its subject: a run, or a batch.
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

/// Selects notices; `None` matches any.
#[derive(Debug, Clone, Default)]
pub struct NoticeFilter {
    pub run: Option<RunId>,
    /// Only notices that were neither sent nor dismissed.
    pub unsent: bool,
    /// At most so many.
    pub limit: Option<i64>,
}

/// Starts the search for events to tell; events before the first call are old.
///
/// # Errors
/// The database fails.
pub async fn begin(db: impl PgExecutor<'_>) -> Result<()> {
    sqlx::query("insert into notice_watch default values on conflict do nothing")
        .execute(db)
        .await
        .context("failed to begin with notices")?;
    Ok(())
}

/// What to tell, and whom, beside the results, which go to the submitters.
#[derive(Debug, Clone, Copy)]
pub struct Conditions<'a> {
    /// Recipients of everything except results.
    pub admins: &'a [String],
    /// Runs that should have ended.
    pub stuck: &'a [RunId],
    /// Batches that should have ended.
    pub overdue: &'a [BatchId],
    /// Longest delay until the end of a run becomes visible.
    pub settling: Duration,
    /// Older events cause no notice.
    pub oldest: Duration,
}

/// Queues new notices: for the conditions, and for runs that ended for good since the last call. Returns the
/// number of mails.
///
/// # Errors
/// The database fails; then nothing was queued.
pub async fn queue(pool: &PgPool, conditions: &Conditions<'_>) -> Result<u64> {
    let mut transaction = pool.begin().await.context("failed to look for what is to be told")?;
    // One worker at a time.
    let (since, through): (DateTime<Utc>, DateTime<Utc>) =
        sqlx::query_as("select since, through from notice_watch for update")
            .fetch_one(&mut *transaction)
            .await
            .context("failed to look for what is to be told")?;
    // A reparse whose verdict stayed the best one is not news, and a failed one changes nothing for the
    // submitter.
    let queued = sqlx::query(
        "with ended as (
             select r.* from parse_file_meta r
             where r.finished_at > greatest($1, $2 - $6, now() - $7)
               and not exists (select 1 from parse_file_meta next
                               where next.batch_id = r.batch_id and next.data_file_id = r.data_file_id
                                 and next.attempt > r.attempt)
         ), told (kind, run_id, batch_id, address) as (
             select 'result', r.id, null::bigint, unnest(f.submitter_emails)
             from ended r join data_file f on f.id = r.data_file_id
             where r.kind <> 'reparse' or r.status = 'success' and not (
                   r.summary_status = 'Accepted' and 'Accepted' is not distinct from (
                       select before.summary_status from parse_file_meta before
                       where before.data_file_id = r.data_file_id and before.id < r.id
                         and before.batch_id <> r.batch_id and before.finished_at is not null
                       order by before.id desc limit 1))
             union
             select 'run-failed', id, null, unnest($3::text[]) from ended
             where status in ('fail', 'crash') or status = 'terminate' and cancel_requested_at is null
             union
             select 'log-kept-back', r.id, null, unnest($3)
             from parse_file_meta r join log l on l.run_id = r.id
             where l.state in ('fallback', 'lost') and r.finished_at > greatest($1, now() - $7)
             union
             select 'run-stuck', id, null, unnest($3) from unnest($4::uuid[]) as stuck (id)
             union
             select 'batch-overdue', null, id, unnest($3) from unnest($5::bigint[]) as overdue (id)
         ), looked as (
             update notice_watch set through = now()
         )
         insert into notice (kind, run_id, batch_id, address)
         select kind, run_id, batch_id, address from told order by run_id, batch_id
         on conflict do nothing",
    )
    .bind(since)
    .bind(through)
    .bind(conditions.admins)
    .bind(conditions.stuck.iter().map(|run| run.0).collect::<Vec<_>>())
    .bind(conditions.overdue.iter().map(|batch| batch.0).collect::<Vec<_>>())
    .bind(conditions.settling)
    .bind(conditions.oldest)
    .execute(&mut *transaction)
    .await
    .context("failed to queue notices")?;
    transaction.commit().await.context("failed to queue notices")?;
    Ok(queued.rows_affected())
}

/// Notices for a person to check: given up, waiting for longer than `late`, or taken by a worker longer than
/// `in_doubt` ago without a result.
///
/// # Errors
/// The database fails.
pub async fn undelivered(db: impl PgExecutor<'_>, in_doubt: Duration, late: Duration) -> Result<Vec<Notice>> {
    sqlx::query_as(
        "select * from notice
         where state = 'failed'
            or state = 'sending' and tried_at < now() - $1
            or state = 'queued' and created_at < now() - $2
         order by id",
    )
    .bind(in_doubt)
    .bind(late)
    .fetch_all(db)
    .await
    .context("failed to look for undelivered notices")
}

/// The notices that match `filter`, the latest first.
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

/// Settles notices that a person checked. With `again`, those that were given up or in doubt for longer than
/// `in_doubt` are sent again; otherwise these and the waiting ones are dismissed. Returns their number; each
/// gets an audit entry.
///
/// # Errors
/// The database fails.
pub async fn settle(
    db: impl PgExecutor<'_>,
    ids: &[i64],
    again: bool,
    in_doubt: Duration,
    actor: &str,
) -> Result<u64> {
    let settled = sqlx::query(
        "with settled as (
             update notice set state = case when $2 then 'queued' else 'dismissed' end,
                    next_try_at = now(), attempts = 0
             where id = any($1)
               and (state = 'failed' or state = 'queued' and not $2
                    or state = 'sending' and tried_at < now() - $4)
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
    .bind(in_doubt)
    .execute(db)
    .await
    .context("failed to settle notices")?;
    Ok(settled.rows_affected())
}
