//! Notices: finds what to tell people, and sends it by mail.
//!
//! It finds conditions in the rows, by the same queries as the doctor, and queues one notice per condition and
//! address. It marks a mail as being sent before it hands it over, so nobody gets a mail twice, whatever dies.
//! A mail that the server may or may not have taken is listed and not sent again. No run waits for any of
//! this.

mod smtp;
mod text;
mod told;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::Instant;

use self::smtp::{Delivery, Relay, Session};
use self::text::{About, MailText};
use self::told::Told;
use crate::config::{Address, MailConfig};
use crate::faults;
use crate::objects::{LinkHeaders, ObjectUri};
use crate::queue::REAPED_WITHIN;
use crate::store::notice::Look;
use crate::store::outbox::{self, Waits};
use crate::store::{self, Notice, NoticeKind, Run, entry, health, notice};
use crate::system::System;

/// A run is stuck when it should have ended so long ago.
const GRACE: Duration = Duration::from_secs(10 * 60);

/// Shortest time between two mails to an operator; a mail gathers everything from in between.
const GAP: Duration = Duration::from_secs(5 * 60);

/// Most conditions in one mail to the operators.
const GATHERED: i64 = 50;

/// Longest delay until the end of a run becomes visible.
const SETTLING: Duration = Duration::from_secs(10 * 60);

/// After a long pause, older events cause no mail.
const OLDEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// Longest wait of a mail about an ended run for its log.
const LOG_PATIENCE: Duration = Duration::from_secs(3600);

/// Most attempts at a mail, about three days long; then it is given up.
const TRIES: i32 = 400;

/// After this time without a result, the fate of a mail stays unknown.
pub const IN_DOUBT: Duration = Duration::from_secs(10 * 60);

/// A mail that waits longer is late.
pub const LATE: Duration = Duration::from_secs(2 * 3600);

/// Attempts to record the result of a mail, and the pause between them.
const ROW_TRIES: u32 = 5;
const ROW_PAUSE: Duration = Duration::from_millis(300);

/// Finds conditions and sends mails about them. Cheap to clone.
#[derive(Clone)]
pub struct Notifier {
    system: System,
    relay: Relay,
    from: Mailbox,
    admins: Vec<String>,
    links: Option<Duration>,
    gap: Duration,
    /// Held while a mail is between its row and the mail server.
    turn: Arc<Mutex<()>>,
}

impl Notifier {
    /// The configured notifier; `None` without a mail server.
    ///
    /// # Errors
    /// A setting is wrong or missing; the text holds no password.
    pub fn new(config: &MailConfig, system: System) -> Result<Option<Self>> {
        let Some(server) = &config.smtp_url else { return Ok(None) };
        let from = config.mail_from.clone().context("a mail server needs --mail-from")?.into_inner();
        Ok(Some(Self {
            system,
            relay: Relay::new(server)?,
            from,
            admins: config.admins(),
            links: config.mail_links,
            gap: GAP,
            turn: Arc::default(),
        }))
    }

    /// The same, with this time between two mails to an operator.
    #[must_use]
    pub fn with_gap(self, gap: Duration) -> Self {
        Self { gap, ..self }
    }

    /// From now on, ended runs cause mails. Earlier ends never do.
    ///
    /// # Errors
    /// The database fails.
    pub async fn begin(&self) -> Result<()> {
        notice::begin(&self.system.pool).await
    }

    /// Queues new mails; returns their number.
    ///
    /// # Errors
    /// The database fails; then nothing was queued.
    pub async fn queue(&self) -> Result<u64> {
        let pool = &self.system.pool;
        let stuck = health::stuck(pool, REAPED_WITHIN.min(GRACE), GRACE).await?;
        let overdue = health::overdue(pool).await?;
        let mut look = Look::begin(pool).await?;
        let mut told = Told::of(&self.admins);
        told.ended(&look.ended(SETTLING, OLDEST).await?);
        told.about_runs(NoticeKind::LogKeptBack, look.kept_back(OLDEST).await?);
        told.about_runs(NoticeKind::RunStuck, stuck.iter().map(|run| run.id));
        told.about_overdue(overdue.iter().map(|batch| batch.id));
        look.queue(&told.in_order()).await
    }

    /// Queues new mails and sends those that are due; begins no further mail after `patience`. Returns how many
    /// mails the server took. While the server is unreachable, all mails wait.
    ///
    /// # Errors
    /// The database fails.
    pub async fn round(&self, patience: Duration) -> Result<u64> {
        let until = Instant::now() + patience;
        self.begin().await?;
        if self.queue().await? > 0 {
            faults::point("notice-queued");
        }
        let waits = Waits { gap: self.gap, archive: LOG_PATIENCE };
        let mut sent = 0;
        let mut errors = true;
        let mut open: Option<Session> = None;
        while Instant::now() < until {
            let mut session = match open.take() {
                Some(session) => session,
                None => {
                    let due = outbox::due(&self.system.pool, waits).await?;
                    if due.is_empty() {
                        break;
                    }
                    match self.relay.open().await {
                        Ok(session) => session,
                        Err(error) => {
                            let reason = self.system.redactor.redact(&format!("{error:#}")).into_owned();
                            tracing::warn!("no mail is sent for now: {reason}");
                            outbox::put_off(&self.system.pool, &due, &reason, TRIES).await?;
                            break;
                        }
                    }
                }
            };
            let _turn = self.turn.lock().await;
            let mut notices = Vec::new();
            if errors {
                notices = outbox::take_errors(&self.system.pool, waits, GATHERED).await?;
                errors = !notices.is_empty();
            }
            if !errors {
                notices = outbox::take_result(&self.system.pool, waits).await?;
            }
            if notices.is_empty() {
                open = Some(session);
                break;
            }
            faults::point("notice-taken");
            if self.send(&mut session, &notices).await {
                sent += 1;
                open = Some(session);
            }
        }
        if let Some(session) = open {
            session.close().await;
        }
        Ok(sent)
    }

    /// Waits, up to a limit, until no mail is under way; no mail begins while the caller holds the guard.
    pub async fn quiet(&self, patience: Duration) -> Option<OwnedMutexGuard<()>> {
        tokio::time::timeout(patience, Arc::clone(&self.turn).lock_owned()).await.ok()
    }

    /// Sends the mail of these notices and records the result; returns whether the server took it.
    async fn send(&self, session: &mut Session, notices: &[Notice]) -> bool {
        let Some(first) = notices.first() else { return false };
        let ids: Vec<i64> = notices.iter().map(|notice| notice.id).collect();
        let kind = first.kind;
        let (delivery, told) = match first.address.parse::<Address>() {
            Ok(to) => match self.write(to, notices).await {
                Ok(mail) => (session.deliver(&mail).await, notices.len()),
                Err(error) => (Delivery::Refused { reason: format!("{error:#}"), for_good: false }, 0),
            },
            Err(error) => (Delivery::Refused { reason: error, for_good: true }, 0),
        };
        match delivery {
            Delivery::Taken => {
                tracing::info!(notice = first.id, %kind, told, "mail sent");
                faults::point("notice-delivered");
                self.note(|| outbox::sent(&self.system.pool, &ids)).await;
                faults::point("notice-sent");
                true
            }
            Delivery::Refused { reason, for_good } => {
                let reason = self.system.redactor.redact(&reason).into_owned();
                tracing::warn!(notice = first.id, %kind, for_good, "mail not sent: {reason}");
                let tries = if for_good { 0 } else { TRIES };
                self.note(|| outbox::refused(&self.system.pool, &ids, &reason, tries)).await;
                false
            }
            Delivery::Unknown { reason } => {
                let reason = self.system.redactor.redact(&reason).into_owned();
                tracing::error!(notice = first.id, %kind, "a mail is not sent again, the server may have taken it: {reason}");
                false
            }
        }
    }

    /// Writes to the rows; retries while the database does not answer.
    async fn note<F: Future<Output = Result<()>>>(&self, write: impl Fn() -> F) {
        for attempt in 1..=ROW_TRIES {
            match write().await {
                Ok(()) => return,
                Err(error) if attempt < ROW_TRIES && store::refusal(&error).is_none() => {
                    tokio::time::sleep(ROW_PAUSE * attempt).await;
                }
                Err(error) => tracing::error!("what became of a mail is not on its row: {error:#}"),
            }
        }
    }

    /// The whole mail.
    async fn write(&self, to: Address, notices: &[Notice]) -> Result<Message> {
        let (MailText { subject, body }, link) = match notices {
            [Notice { kind: NoticeKind::Result, run_id: Some(run), .. }] => {
                let run = store::run::get(&self.system.pool, *run).await?.context("the run is gone")?;
                (text::result(&run), self.link(&run).await)
            }
            several => (text::errors(&self.about(several).await?), None),
        };
        let mut body = self.system.redactor.redact(&body).into_owned();
        // A signed link must stay as it is.
        if let Some(link) = link {
            body.push_str("\nThe log of the parse, for a while:\n");
            body.push_str(&link);
            body.push('\n');
        }
        let first = &notices[0];
        let id =
            format!("<{}.{}@{}>", first.id, first.created_at.timestamp_micros(), self.from.email.domain());
        let mut mail = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to.into_inner()))
            .subject(self.system.redactor.redact(&subject))
            .message_id(Some(id))
            .header(ContentType::TEXT_PLAIN)
            .body(body)
            .context("failed to write a mail")?;
        let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
        mail.headers_mut().insert_raw(HeaderValue::new(automatic, "auto-generated".to_owned()));
        Ok(mail)
    }

    async fn about(&self, notices: &[Notice]) -> Result<Vec<About>> {
        let overdue: HashMap<_, _> = health::overdue(&self.system.pool)
            .await?
            .into_iter()
            .map(|batch| (batch.id, batch.unfinished))
            .collect();
        let mut about = Vec::new();
        for notice in notices {
            about.push(match (notice.run_id, notice.batch_id) {
                (Some(run), _) => {
                    let run = store::run::get(&self.system.pool, run).await?.context("a run is gone")?;
                    About::Run(notice.kind, Box::new(run))
                }
                (None, Some(id)) => About::Batch { id, unfinished: overdue.get(&id).copied() },
                (None, None) => bail!("mail {} is about nothing", notice.id),
            });
        }
        Ok(about)
    }

    /// A link to the run's log, if links are configured and possible. It is an extra: the mail goes without it
    /// if it can't be made.
    async fn link(&self, run: &Run) -> Option<String> {
        let (life, uri) = self.links.zip(run.logs_uri.as_ref())?;
        let uri: ObjectUri = uri.parse().ok().filter(|uri| matches!(uri, ObjectUri::S3 { .. }))?;
        let made = async {
            let link = self.system.objects.presign_get(&uri, life, LinkHeaders::text()).await?;
            let detail = format!("a link to look at for {}, by mail", humantime::format_duration(life));
            entry::about_run(&self.system.pool, run.id, Some("notices"), "link-issued", Some(&detail))
                .await?;
            Ok::<_, anyhow::Error>(link)
        };
        made.await
            .inspect_err(|error| tracing::warn!(run = %run.id, "a mail goes without its link: {error:#}"))
            .ok()
    }
}
