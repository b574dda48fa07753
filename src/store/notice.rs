//! `notice`: the outbox, one row for each condition and address.
//!
//! Finds what a notice may be about, queues notices, lists and settles them. `notify` decides who gets which;
//! `outbox` hands out the due ones.

use std::time::Duration;

use anyhow::{Result, anyhow};
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, PgExecutor, QueryBuilder};
use uuid::Uuid;

use super::failure::DbContext as _;
use super::{BatchKind, NoticeKind, NoticeState, PgPool, RunStatus, Transaction, fit};
use crate::ids::{BatchId, RunId};
use crate::parser::SummaryStatus;

/// The address of notices for the webhook. The URL stays in the settings: it may be a secret.
pub const WEBHOOK: &str = "webhook";

/// A row of `notice`.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct Notice {
    pub id: i64,
    pub kind: NoticeKind,
    /// Its subject: a run, a batch, or errors in a stream.
    pub run_id: Option<RunId>,
    pub batch_id: Option<BatchId>,
    #[serde(skip)]
    pub stream_error_id: Option<i64>,
    /// The stream of these errors, in a [`list`].
    #[sqlx(default)]
    pub service: Option<String>,
    /// An e-mail address, or [`WEBHOOK`].
    pub address: String,
    pub state: NoticeState,
    pub created_at: DateTime<Utc>,
    pub attempts: i32,
    pub next_try_at: DateTime<Utc>,
    /// When the last attempt began.
    pub tried_at: Option<DateTime<Utc>>,
    /// When the mail server or the webhook took it.
    pub sent_at: Option<DateTime<Utc>>,
    pub last_error: Option<String>,
}

impl Notice {
    /// What it is about.
    ///
    /// # Errors
    /// It is about nothing, which the database refuses.
    pub fn subject(&self) -> Result<NoticeSubject> {
        let run = self.run_id.map(NoticeSubject::Run);
        let batch = self.batch_id.map(NoticeSubject::Batch);
        let subject = run.or(batch).or(self.stream_error_id.map(NoticeSubject::Errors));
        subject.ok_or_else(|| anyhow!("notice {} is about nothing", self.id))
    }
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

/// A run that ended and is not retried, with what a notice about it depends on.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct EndedRun {
    pub id: RunId,
    pub kind: BatchKind,
    pub status: RunStatus,
    pub summary_status: Option<SummaryStatus>,
    pub is_cancelled: bool,
    pub submitter_emails: Vec<String>,
    /// The verdict of the file's last ended run in an earlier batch.
    pub summary_before: Option<SummaryStatus>,
}

/// What a notice is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NoticeSubject {
    Run(RunId),
    Batch(BatchId),
    /// Errors in a stream, by their id.
    Errors(i64),
}

/// A notice to queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewNotice {
    pub subject: NoticeSubject,
    pub kind: NoticeKind,
    pub address: String,
}

/// A look at what happened since the last one; one worker looks at a time. Dropping it takes back what it queued.
pub struct Look {
    transaction: Transaction,
    since: DateTime<Utc>,
    through: DateTime<Utc>,
}

impl Look {
    /// Looks as soon as nobody else does.
    ///
    /// # Errors
    /// The database fails, or [`begin`] was never called.
    pub async fn begin(pool: &PgPool) -> Result<Self> {
        let mut transaction = pool.begin().await.context("failed to look for what is to be told")?;
        let (since, through) = sqlx::query_as("select since, through from notice_watch for update")
            .fetch_one(&mut *transaction)
            .await
            .context("failed to look for what is to be told")?;
        Ok(Self { transaction, since, through })
    }

    /// The runs that ended for good since the last look. An end becomes visible after `settling` at the latest;
    /// ends before `oldest` don't count.
    ///
    /// # Errors
    /// The database fails.
    pub async fn ended(&mut self, settling: Duration, oldest: Duration) -> Result<Vec<EndedRun>> {
        sqlx::query_as(
            "select r.id, r.kind, r.status, r.summary_status, r.cancel_requested_at is not null as is_cancelled,
                    f.submitter_emails, earlier.summary_status as summary_before
             from parse_file_meta r join data_file f on f.id = r.data_file_id
             left join lateral (
                 select before.summary_status from parse_file_meta before
                 where before.data_file_id = r.data_file_id and before.id < r.id
                   and before.batch_id <> r.batch_id and before.finished_at is not null
                 order by before.id desc limit 1) as earlier on true
             where r.finished_at > greatest($1, $2 - $3, now() - $4)
               and not exists (select 1 from parse_file_meta next
                               where next.batch_id = r.batch_id and next.data_file_id = r.data_file_id
                                 and next.attempt > r.attempt)",
        )
        .bind(self.since)
        .bind(self.through)
        .bind(settling)
        .bind(oldest)
        .fetch_all(&mut *self.transaction)
        .await
        .context("failed to look for ended runs")
    }

    /// The ended runs whose log is not in the object store, because that failed at least once.
    ///
    /// # Errors
    /// The database fails.
    pub async fn kept_back(&mut self, oldest: Duration) -> Result<Vec<RunId>> {
        sqlx::query_scalar(
            "select r.id from parse_file_meta r join log l on l.run_id = r.id
             where l.state in ('fallback', 'lost') and r.finished_at > greatest($1, now() - $2)",
        )
        .bind(self.since)
        .bind(oldest)
        .fetch_all(&mut *self.transaction)
        .await
        .context("failed to look for logs that are kept back")
    }

    /// The errors in streams that began since the last look, and after `oldest`.
    ///
    /// # Errors
    /// The database fails.
    pub async fn stream_errors(&mut self, oldest: Duration) -> Result<Vec<i64>> {
        sqlx::query_scalar("select id from stream_error where began_at > greatest($1, now() - $2)")
            .bind(self.since)
            .bind(oldest)
            .fetch_all(&mut *self.transaction)
            .await
            .context("failed to look for errors in streams")
    }

    /// Queues the notices that are new, in this order, and ends the look. Returns their number.
    ///
    /// # Errors
    /// The database fails; then nothing was queued.
    pub async fn queue(mut self, notices: &[NewNotice]) -> Result<u64> {
        let queued = sqlx::query(
            "with looked as (
                 update notice_watch set through = now()
             )
             insert into notice (kind, run_id, batch_id, stream_error_id, address)
             select kind, run_id, batch_id, stream_error_id, address
             from unnest($1::text[], $2::uuid[], $3::bigint[], $4::bigint[], $5::text[]) with ordinality
                  as told (kind, run_id, batch_id, stream_error_id, address, place)
             order by place
             on conflict do nothing",
        )
        .bind(notices.iter().map(|notice| notice.kind.as_str()).collect::<Vec<_>>())
        .bind(column(notices, NoticeSubject::run))
        .bind(column(notices, NoticeSubject::batch))
        .bind(column(notices, NoticeSubject::errors))
        .bind(notices.iter().map(|notice| notice.address.as_str()).collect::<Vec<_>>())
        .execute(&mut *self.transaction)
        .await
        .context("failed to queue notices")?;
        self.transaction.commit().await.context("failed to queue notices")?;
        Ok(queued.rows_affected())
    }
}

fn column<T>(notices: &[NewNotice], of: impl Fn(NoticeSubject) -> Option<T>) -> Vec<Option<T>> {
    notices.iter().map(|notice| of(notice.subject)).collect()
}

impl NoticeSubject {
    fn run(self) -> Option<Uuid> {
        if let Self::Run(run) = self { Some(run.0) } else { None }
    }

    fn batch(self) -> Option<i64> {
        if let Self::Batch(batch) = self { Some(batch.0) } else { None }
    }

    fn errors(self) -> Option<i64> {
        if let Self::Errors(errors) = self { Some(errors) } else { None }
    }
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
    let mut query = QueryBuilder::new(
        "select n.*, e.service from notice n left join stream_error e on e.id = n.stream_error_id where true",
    );
    if let Some(run) = filter.run {
        query.push(" and n.run_id = ").push_bind(run);
    }
    if filter.unsent {
        query.push(" and n.state in ('queued', 'sending', 'failed')");
    }
    query.push(" order by n.id desc limit ").push_bind(filter.limit);
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
                coalesce(n.batch_id, r.batch_id), n.run_id,
                format('%s %s: %s', case n.address when $5 then 'call' else 'mail' end, n.id, n.kind)
         from settled n left join parse_file_meta r on r.id = n.run_id",
    )
    .bind(ids)
    .bind(again)
    .bind(fit::label(actor))
    .bind(in_doubt)
    .bind(WEBHOOK)
    .execute(db)
    .await
    .context("failed to settle notices")?;
    Ok(settled.rows_affected())
}
