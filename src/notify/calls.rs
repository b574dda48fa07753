//! Calls of the webhook: takes due notices from the outbox, and posts each.
//!
//! A call whose result is unknown is made again, under the same id: unlike a person, a program tells a call that it
//! has had from a new one.

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio::time::Instant;

use super::webhook::{CallAnswer, Caller};
use super::{IN_DOUBT, LOG_PATIENCE, TRIES, note};
use crate::config::WebhookConfig;
use crate::ids::{BatchId, DataFileId, RunId};
use crate::parser::SummaryStatus;
use crate::store::notice::NoticeSubject;
use crate::store::outbox::{self, Channel, Waits};
use crate::store::stream_error::{self, StreamErrors};
use crate::store::{self, LogState, Notice, NoticeKind, Run, RunStatus, health};
use crate::system::System;

/// Calls a webhook. Cheap to clone.
#[derive(Clone)]
pub(super) struct Calls {
    system: System,
    caller: Caller,
}

/// What is posted.
#[derive(Serialize)]
struct CallBody<'a> {
    r#type: NoticeKind,
    timestamp: DateTime<Utc>,
    data: CallData<'a>,
}

/// What a call is about. As in mails: ids, codes, counts and locations, no value of a submission, no file name and
/// no reason of an error.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum CallData<'a> {
    Run(Box<CalledRun<'a>>),
    Batch { id: BatchId, unfinished: Option<i64> },
    Stream { service: String, logger: String, errors: i64, began_at: DateTime<Utc>, last_at: DateTime<Utc> },
}

/// A run, under the names of its row.
#[derive(Serialize)]
struct CalledRun<'a> {
    id: RunId,
    data_file_id: DataFileId,
    batch_id: BatchId,
    reparse_id: Option<BatchId>,
    attempt: i32,
    program: &'a str,
    section: &'a str,
    fiscal_year: i32,
    fiscal_quarter: i16,
    status: RunStatus,
    summary_status: Option<SummaryStatus>,
    records_in_file: Option<i64>,
    records_created: Option<i64>,
    error_count: Option<i64>,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    log_state: LogState,
    logs_uri: Option<&'a str>,
}

impl Calls {
    /// Calls of the configured webhook; `None` without one.
    ///
    /// # Errors
    /// A setting is missing; the text holds no secret.
    pub(super) fn new(config: &WebhookConfig, system: System) -> Result<Option<Self>> {
        let Some(webhook) = config.webhook()? else { return Ok(None) };
        Ok(Some(Self { system, caller: Caller::new(webhook)? }))
    }

    /// Makes the calls that are due, one after the other; begins no further one after `until`. Returns how many
    /// were taken. While nothing answers, all wait.
    ///
    /// # Errors
    /// The database fails.
    pub(super) async fn round(&self, until: Instant) -> Result<u64> {
        let mut taken = 0;
        while Instant::now() < until {
            let Some(notice) = outbox::take_call(&self.system.pool, LOG_PATIENCE, IN_DOUBT).await? else {
                break;
            };
            let answer = self.call(&notice).await;
            let ids = [notice.id];
            let (reason, tries) = match answer {
                Ok(CallAnswer::Taken) => {
                    tracing::info!(notice = notice.id, kind = %notice.kind, "webhook called");
                    note(|| outbox::sent(&self.system.pool, &ids)).await;
                    taken += 1;
                    continue;
                }
                Ok(CallAnswer::Gone) => ("the webhook answers 410 Gone".to_owned(), 0),
                Ok(CallAnswer::Refused(status)) => (format!("the webhook answers {status}"), TRIES),
                Ok(CallAnswer::Away(ref reason)) => {
                    (format!("nothing answers at the webhook: {reason}"), TRIES)
                }
                Err(ref error) => (format!("{error:#}"), TRIES),
            };
            let reason = self.system.redactor.redact(&reason).into_owned();
            tracing::warn!(notice = notice.id, kind = %notice.kind, "webhook not called: {reason}");
            note(|| outbox::refused(&self.system.pool, &ids, &reason, tries)).await;
            if matches!(answer, Ok(CallAnswer::Away(_))) {
                let waits = Waits { archive: LOG_PATIENCE, ..Waits::default() };
                let others = outbox::due(&self.system.pool, Channel::Webhook, waits).await?;
                outbox::put_off(&self.system.pool, &others, &reason, TRIES).await?;
                break;
            }
        }
        Ok(taken)
    }

    async fn call(&self, notice: &Notice) -> Result<CallAnswer> {
        let run;
        let data = match notice.subject()? {
            NoticeSubject::Run(id) => {
                run = store::run::get(&self.system.pool, id).await?.context("the run is gone")?;
                CallData::Run(Box::new(CalledRun::of(&run)))
            }
            NoticeSubject::Batch(id) => {
                let overdue = health::overdue(&self.system.pool).await?;
                let unfinished = overdue.iter().find(|batch| batch.id == id).map(|batch| batch.unfinished);
                CallData::Batch { id, unfinished }
            }
            NoticeSubject::Errors(id) => {
                let errors = stream_error::get(&self.system.pool, id).await?;
                let StreamErrors { service, logger, errors, began_at, last_at, .. } =
                    errors.context("the errors are gone")?;
                CallData::Stream { service, logger, errors, began_at, last_at }
            }
        };
        let body = CallBody { r#type: notice.kind, timestamp: notice.created_at, data };
        // A number begins anew with another database; with the time it does not.
        let id = format!("notice_{}_{}", notice.id, notice.created_at.timestamp_micros());
        Ok(self.caller.call(&id, serde_json::to_vec(&body)?).await)
    }
}

impl<'a> CalledRun<'a> {
    fn of(run: &'a Run) -> Self {
        Self {
            id: run.id,
            data_file_id: run.data_file_id,
            batch_id: run.batch_id,
            reparse_id: run.reparse_id,
            attempt: run.attempt,
            program: &run.program,
            section: &run.section,
            fiscal_year: run.fiscal_year,
            fiscal_quarter: run.fiscal_quarter,
            status: run.status,
            summary_status: run.summary_status,
            records_in_file: run.records_in_file,
            records_created: run.records_created,
            error_count: run.error_count,
            started_at: run.started_at,
            finished_at: run.finished_at,
            log_state: run.log_state,
            logs_uri: run.logs_uri.as_deref(),
        }
    }
}
