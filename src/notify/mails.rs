//! Mails: takes due notices from the outbox, and hands their mails to the mail server.
//!
//! It marks a mail as being sent before it hands it over, so nobody gets a mail twice, whatever dies. A mail that
//! the server may or may not have taken is listed and not sent again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::Instant;

use super::smtp::{Delivery, Relay, Session};
use super::text::{self, About, MailText};
use super::{LOG_PATIENCE, TRIES, note};
use crate::config::{Address, MailConfig};
use crate::faults;
use crate::objects::{LinkHeaders, ObjectUri};
use crate::store::notice::NoticeSubject;
use crate::store::outbox::{self, Channel, Waits};
use crate::store::{self, Notice, NoticeKind, Run, entry, health, stream_error};
use crate::system::System;

/// Shortest time between two mails to an operator; a mail gathers everything from in between.
const GAP: Duration = Duration::from_secs(5 * 60);

/// Most conditions in one mail to the operators.
const GATHERED: i64 = 50;

/// Sends mails. Cheap to clone.
#[derive(Clone)]
pub(super) struct Mails {
    system: System,
    relay: Relay,
    from: Mailbox,
    links: Option<Duration>,
    gap: Duration,
    /// Held while a mail is between its row and the mail server.
    turn: Arc<Mutex<()>>,
}

impl Mails {
    /// Mails by the configured server; `None` without one.
    ///
    /// # Errors
    /// A setting is wrong or missing; the text holds no password.
    pub(super) fn new(config: &MailConfig, system: System) -> Result<Option<Self>> {
        let Some(server) = &config.smtp_url else { return Ok(None) };
        let from = config.mail_from.clone().context("a mail server needs --mail-from")?.into_inner();
        let relay = Relay::new(server)?;
        Ok(Some(Self { system, relay, from, links: config.mail_links, gap: GAP, turn: Arc::default() }))
    }

    /// The same, with this time between two mails to an operator.
    pub(super) fn with_gap(self, gap: Duration) -> Self {
        Self { gap, ..self }
    }

    /// Sends mails that are due; begins no further one after `until`. Returns how many mails the server took.
    /// While the server is unreachable, all mails wait.
    ///
    /// # Errors
    /// The database fails.
    pub(super) async fn round(&self, until: Instant) -> Result<u64> {
        let waits = Waits { gap: self.gap, archive: LOG_PATIENCE };
        let mut sent = 0;
        let mut errors = true;
        let mut open: Option<Session> = None;
        while Instant::now() < until {
            let mut session = match open.take() {
                Some(session) => session,
                None => {
                    let due = outbox::due(&self.system.pool, Channel::Mail, waits).await?;
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
    pub(super) async fn quiet(&self, patience: Duration) -> Option<OwnedMutexGuard<()>> {
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
                note(|| outbox::sent(&self.system.pool, &ids)).await;
                faults::point("notice-sent");
                true
            }
            Delivery::Refused { reason, for_good } => {
                let reason = self.system.redactor.redact(&reason).into_owned();
                tracing::warn!(notice = first.id, %kind, for_good, "mail not sent: {reason}");
                let tries = if for_good { 0 } else { TRIES };
                note(|| outbox::refused(&self.system.pool, &ids, &reason, tries)).await;
                false
            }
            Delivery::Unknown { reason } => {
                let reason = self.system.redactor.redact(&reason).into_owned();
                tracing::error!(notice = first.id, %kind, "a mail is not sent again, the server may have taken it: {reason}");
                false
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
            about.push(match notice.subject()? {
                NoticeSubject::Run(run) => {
                    let run = store::run::get(&self.system.pool, run).await?.context("a run is gone")?;
                    About::Run(notice.kind, Box::new(run))
                }
                NoticeSubject::Batch(id) => About::Batch { id, unfinished: overdue.get(&id).copied() },
                NoticeSubject::Errors(id) => {
                    let errors = stream_error::get(&self.system.pool, id).await?;
                    About::Errors(errors.context("the errors are gone")?)
                }
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
