//! Ends a run: writes the outcome on its row, and queues the next attempt if it deserves one.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::{BatchId, RunId};
use crate::parser::{CancelReason, Outcome};
use crate::store::DbContext as _;
use crate::store::{self, PgPool, RunStatus, batch, entry, fit};

/// How a run ends. Reasons are for people and hold nothing private.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// It was parsed, whatever the verdict.
    Success(Box<Outcome>),
    /// It failed; `retry` asks for another attempt, after a while.
    Fail { reason: String, retry: bool },
    /// It was stopped for good: cancelled, or past its deadline.
    Terminate { reason: String },
    /// Its worker shut down and stopped it; another attempt is queued at once, and this one does not
    /// count.
    HandBack,
    /// Its worker died; another attempt is queued, after a while. It is due at once where a lease that ran out says so:
    /// that was a while, and the machine that may be the reason has nothing to do with the next one.
    Crash { reason: String },
}

impl Ending {
    /// The ending of a run that was stopped for this reason.
    pub fn stopped(reason: CancelReason) -> Self {
        match reason {
            CancelReason::Shutdown => Self::HandBack,
            reason => Self::Terminate { reason: reason.to_string() },
        }
    }

    /// The final status of the run.
    pub fn status(&self) -> RunStatus {
        match self {
            Self::Success(_) => RunStatus::Success,
            Self::Fail { .. } => RunStatus::Fail,
            Self::Terminate { .. } | Self::HandBack => RunStatus::Terminate,
            Self::Crash { .. } => RunStatus::Crash,
        }
    }

    fn reason(&self) -> Option<&str> {
        match self {
            Self::Success(_) => None,
            Self::HandBack => Some("handed back: the worker shut down"),
            Self::Fail { reason, .. } | Self::Terminate { reason } | Self::Crash { reason } => Some(reason),
        }
    }

    fn wants_retry(&self) -> bool {
        matches!(self, Self::Fail { retry: true, .. } | Self::HandBack | Self::Crash { .. })
    }
}

/// Whether the ending counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finished {
    /// It is on the row.
    Yes,
    /// The database refused it for good. The row says so, and that the run failed.
    Refused,
    /// The run is no longer the caller's; nothing changed, and an audit entry says so.
    Fenced,
}

/// A further condition for an ending, beside the run running under the given token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guard {
    None,
    LeaseIsOver,
}

/// Ends a claimed run. Repeating it after a lost answer is safe and returns the same.
///
/// # Errors
/// The database fails; then either nothing changed or everything did.
pub async fn finish(pool: &PgPool, run: RunId, token: Uuid, ending: &Ending) -> Result<Finished> {
    match finish_as(pool, run, token, ending).await {
        Err(error) => match store::refusal(&error) {
            Some(code) => {
                tracing::error!(%run, "the database refuses the ending: {error:#}");
                let reason = format!("the database refused what the run came to (SQLSTATE {code})");
                match finish_as(pool, run, token, &Ending::Fail { reason, retry: false }).await? {
                    Finished::Yes => Ok(Finished::Refused),
                    other => Ok(other),
                }
            }
            None => Err(error),
        },
        finished => finished,
    }
}

async fn finish_as(pool: &PgPool, run: RunId, token: Uuid, ending: &Ending) -> Result<Finished> {
    if end(pool, run, Some(token), ending, Guard::None).await? == Finished::Yes {
        return Ok(Finished::Yes);
    }
    let stands: Option<RunStatus> =
        sqlx::query_scalar("select status from parse_file_meta where id = $1 and lease_token = $2")
            .bind(run)
            .bind(token)
            .fetch_optional(pool)
            .await
            .with_context(|| format!("failed to look how run {run} ended"))?;
    if stands == Some(ending.status()) {
        return Ok(Finished::Yes);
    }
    let detail = match stands {
        Some(stands) => format!("a late '{}' was refused: the run had ended as '{stands}'", ending.status()),
        None => format!("a '{}' without a lease was refused", ending.status()),
    };
    entry::about_run(pool, run, None, "fenced", Some(&detail)).await?;
    Ok(Finished::Fenced)
}

/// Ends a run whose worker is dead, since nobody holds the lock of its log, without waiting for the lease.
/// `Fenced` if the run was no longer running.
///
/// # Errors
/// As [`finish`].
pub async fn crashed(pool: &PgPool, run: RunId) -> Result<Finished> {
    let reason = "the worker died: nobody holds the lock of the run's log".to_owned();
    end(pool, run, None, &Ending::Crash { reason }, Guard::None).await
}

/// Ends the run if it is running, under `token` if there is one, and queues the next attempt: all in
/// one statement. The database writes the action by itself.
pub(super) async fn end(
    pool: &PgPool,
    run: RunId,
    token: Option<Uuid>,
    ending: &Ending,
    guard: Guard,
) -> Result<Finished> {
    let outcome = match ending {
        Ending::Success(outcome) => Some(outcome.as_ref()),
        _ => None,
    };
    let reported = outcome.filter(|outcome| outcome.records_reported);
    let first_error = outcome.and_then(|outcome| outcome.first_error.as_ref());
    let ended: Option<(BatchId, Option<()>)> = sqlx::query_as(
        "with ended as (
             update parse_file_meta
             set status = $4, failure = $5, finished_at = now(), lease_until = null,
                 summary_status = $8, records_in_file = $9, records_created = $10, created_by_type = $11,
                 error_counts = $12, errors_by_month = $13, error_count = $14,
                 first_error_record = $15, first_error = $16, cases = $17
             where id = $1 and status = 'running' and ($2::uuid is null or lease_token = $2)
               and (not $3 or lease_until < now())
             returning *
         ), next as (
             insert into parse_file_meta
                 (data_file_id, batch_id, kind, attempt, max_attempts, priority, run_after)
             select data_file_id, batch_id, kind, attempt + 1,
                    max_attempts + case when $7 then 1 else 0 end, priority,
                    now() + case when $7 or $3 then interval '0' else parselog_retry_delay(attempt) end
             from ended
             where $6 and cancel_requested_at is null and ($7 or attempt < max_attempts)
             returning id, data_file_id, batch_id, run_after
         ), entry as (
             insert into log_entry (entry, data_file_id, batch_id, run_id, detail)
             select case when $7 then 'handed-back' else 'retry-queued' end, data_file_id, batch_id, $1,
                    format('the next attempt is run %s', id)
             from next
         )
         select batch_id, (select pg_notify('parselog_queue', '') from next where $7 or $3) from ended",
    )
    .bind(run)
    .bind(token)
    .bind(guard == Guard::LeaseIsOver)
    .bind(ending.status())
    .bind(ending.reason().map(fit::text))
    .bind(ending.wants_retry())
    .bind(*ending == Ending::HandBack)
    .bind(outcome.map(|outcome| outcome.summary))
    .bind(reported.map(|outcome| outcome.records_in_file).map(fit::count))
    .bind(reported.map(|outcome| outcome.records_created).map(fit::count))
    .bind(outcome.map(|outcome| fit::json(&outcome.created_by_type)))
    .bind(outcome.map(|outcome| fit::json(&outcome.errors)))
    .bind(outcome.map(|outcome| fit::json(&outcome.errors_by_month)))
    .bind(outcome.map(Outcome::error_count).map(fit::count))
    .bind(first_error.and_then(|error| error.record).and_then(fit::record))
    .bind(first_error.map(|error| fit::text(&error.message)))
    .bind(outcome.map(|outcome| fit::json(&outcome.cases)))
    .fetch_optional(pool)
    .await
    .with_context(|| format!("failed to end run {run}"))?;
    let Some((batch, _)) = ended else { return Ok(Finished::Fenced) };
    close(pool, batch).await;
    Ok(Finished::Yes)
}

/// Marks the run's batch if this was its last run. If this fails, a worker does it later.
pub(super) async fn close(pool: &PgPool, batch: BatchId) {
    if let Err(error) = batch::close(pool, batch).await {
        tracing::debug!("a batch that may be finished is not marked yet: {error:#}");
    }
}
