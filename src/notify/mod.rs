//! Notices: finds what to tell, and tells people by mail and a program by webhook.
//!
//! It finds conditions in the rows, by the same queries as the doctor, and queues one notice per condition and
//! address in the outbox. `mails` and `webhook` take the due ones from there. No run waits for any of this.

mod calls;
mod mails;
mod smtp;
mod text;
mod told;
mod webhook;

use std::time::Duration;

use anyhow::Result;
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use self::calls::Calls;
use self::mails::Mails;
use self::told::Told;
use crate::config::{MailConfig, WebhookConfig};
use crate::faults;
use crate::queue::REAPED_WITHIN;
use crate::store::notice::{Look, NoticeSubject};
use crate::store::{self, NoticeKind, health, notice};
use crate::system::System;

/// A run is stuck when it should have ended so long ago.
const GRACE: Duration = Duration::from_secs(10 * 60);

/// Longest delay until the end of a run becomes visible.
const SETTLING: Duration = Duration::from_secs(10 * 60);

/// After a long pause, older events cause no notice.
const OLDEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// Longest wait of a notice about an ended run for its log.
const LOG_PATIENCE: Duration = Duration::from_secs(3600);

/// Most attempts at a notice, about three days long; then it is given up.
const TRIES: i32 = 400;

/// After this time without a result, the fate of a mail stays unknown, and a webhook is called again.
pub const IN_DOUBT: Duration = Duration::from_secs(10 * 60);

/// A notice that waits longer is late.
pub const LATE: Duration = Duration::from_secs(2 * 3600);

/// Attempts to record the result of a notice, and the pause between them.
const ROW_TRIES: u32 = 5;
const ROW_PAUSE: Duration = Duration::from_millis(300);

/// Finds conditions, and tells of them. Cheap to clone.
#[derive(Clone)]
pub struct Notifier {
    system: System,
    admins: Vec<String>,
    mails: Option<Mails>,
    calls: Option<Calls>,
}

impl Notifier {
    /// The configured notifier; `None` without a mail server and without a webhook.
    ///
    /// # Errors
    /// A setting is wrong or missing; the text holds no password and no secret.
    pub fn new(mail: &MailConfig, webhook: &WebhookConfig, system: System) -> Result<Option<Self>> {
        let mails = Mails::new(mail, system.clone())?;
        let calls = Calls::new(webhook, system.clone())?;
        if mails.is_none() && calls.is_none() {
            return Ok(None);
        }
        let admins = if mails.is_some() { mail.admins() } else { Vec::new() };
        Ok(Some(Self { system, admins, mails, calls }))
    }

    /// The same, with this time between two mails to an operator.
    #[must_use]
    pub fn with_gap(self, gap: Duration) -> Self {
        Self { mails: self.mails.map(|mails| mails.with_gap(gap)), ..self }
    }

    /// From now on, ended runs cause notices. Earlier ends never do.
    ///
    /// # Errors
    /// The database fails.
    pub async fn begin(&self) -> Result<()> {
        notice::begin(&self.system.pool).await
    }

    /// Queues new notices; returns their number.
    ///
    /// # Errors
    /// The database fails; then nothing was queued.
    pub async fn queue(&self) -> Result<u64> {
        let pool = &self.system.pool;
        let stuck = health::stuck(pool, REAPED_WITHIN.min(GRACE), GRACE).await?;
        let overdue = health::overdue(pool).await?;
        let mut look = Look::begin(pool).await?;
        let mut told = Told::of(&self.admins, self.mails.is_some(), self.calls.is_some());
        told.ended(&look.ended(SETTLING, OLDEST).await?);
        told.about(
            NoticeKind::LogKeptBack,
            look.kept_back(OLDEST).await?.into_iter().map(NoticeSubject::Run),
        );
        told.about(NoticeKind::RunStuck, stuck.iter().map(|run| NoticeSubject::Run(run.id)));
        told.about(NoticeKind::BatchOverdue, overdue.iter().map(|batch| NoticeSubject::Batch(batch.id)));
        let errors = look.stream_errors(OLDEST).await?;
        told.about(NoticeKind::StreamErrors, errors.into_iter().map(NoticeSubject::Errors));
        look.queue(&told.in_order()).await
    }

    /// Queues new notices and delivers those that are due; begins no further one after `patience`. Returns how
    /// many were taken. While a receiver is unreachable, its notices wait.
    ///
    /// # Errors
    /// The database fails.
    pub async fn round(&self, patience: Duration) -> Result<u64> {
        let until = Instant::now() + patience;
        self.begin().await?;
        if self.queue().await? > 0 {
            faults::point("notice-queued");
        }
        let mails = async {
            match &self.mails {
                Some(mails) => mails.round(until).await,
                None => Ok(0),
            }
        };
        let calls = async {
            match &self.calls {
                Some(calls) => calls.round(until).await,
                None => Ok(0),
            }
        };
        // Neither waits for the other's receiver.
        let (mails, calls) = tokio::join!(mails, calls);
        Ok(mails? + calls?)
    }

    /// Waits, up to a limit, until no mail is under way; no mail begins while the caller holds the guard. A call
    /// of a webhook may be cut off: it is made again.
    pub async fn quiet(&self, patience: Duration) -> Option<OwnedMutexGuard<()>> {
        self.mails.as_ref()?.quiet(patience).await
    }
}

/// Writes the result of a notice to its row; retries while the database does not answer.
async fn note<F: Future<Output = Result<()>>>(write: impl Fn() -> F) {
    for attempt in 1..=ROW_TRIES {
        match write().await {
            Ok(()) => return,
            Err(error) if attempt < ROW_TRIES && store::refusal(&error).is_none() => {
                tokio::time::sleep(ROW_PAUSE * attempt).await;
            }
            Err(error) => tracing::error!("what became of a notice is not on its row: {error:#}"),
        }
    }
}
