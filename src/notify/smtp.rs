//! The mail server: its address, one connection, and the result for a mail.
//!
//! It hands a mail over in two steps: only after the second may the server have taken the mail without an
//! answer. Every wait is bounded.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use lettre::message::Message;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use secrecy::ExposeSecret as _;
use tokio::time::timeout;

use crate::config::{MailEncryption, MailServer};

/// How long connecting, encrypting and logging in may take together.
const OPENING: Duration = Duration::from_secs(10);

/// How long the mail server may take for the envelope, and for the mail.
const ANSWER: Duration = Duration::from_secs(30);

/// How long it may take to say goodbye.
const CLOSING: Duration = Duration::from_secs(2);

/// Where the mail server is, and how to log in. Cheap to clone.
#[derive(Clone)]
pub(super) struct Relay(Arc<RelayServer>);

struct RelayServer {
    host: String,
    port: u16,
    hello: ClientId,
    tls: Tls,
    credentials: Option<Credentials>,
}

enum Tls {
    None,
    /// From the first byte on.
    Whole(TlsParameters),
    /// By the command STARTTLS, which the server must support.
    Start(TlsParameters),
}

/// A connection that is ready for mails.
pub(super) struct Session(AsyncSmtpConnection);

/// The result for a mail.
pub(super) enum Delivery {
    /// The server has taken it.
    Taken,
    /// The server certainly did not take it; the session is unusable.
    Refused {
        reason: String,
        /// A retry is useless.
        for_good: bool,
    },
    /// Unknown: the connection ended between the last byte and the answer.
    Unknown { reason: String },
}

impl Relay {
    /// The way to this server.
    ///
    /// # Errors
    /// TLS does not accept its name.
    pub(super) fn new(server: &MailServer) -> Result<Self> {
        let host = server.host.clone();
        let tls = || TlsParameters::new(host.clone()).context("failed to prepare TLS for the mail server");
        let tls = match server.encryption {
            MailEncryption::None => Tls::None,
            MailEncryption::Whole => Tls::Whole(tls()?),
            MailEncryption::StartTls => Tls::Start(tls()?),
        };
        let login = server.login.clone();
        let credentials =
            login.map(|(user, password)| Credentials::new(user, password.expose_secret().to_owned()));
        let hello = server.hello.clone().map_or_else(ClientId::default, ClientId::Domain);
        Ok(Self(Arc::new(RelayServer { host, port: server.port, hello, tls, credentials })))
    }

    /// Connects, encrypts and logs in.
    ///
    /// # Errors
    /// The server is unreachable, does not answer in time, or refuses; nothing was sent.
    pub(super) async fn open(&self) -> Result<Session> {
        let RelayServer { host, port, .. } = &*self.0;
        timeout(OPENING, self.connect())
            .await
            .map_err(|_| anyhow!("no answer in {} s", OPENING.as_secs()))
            .flatten()
            .with_context(|| format!("failed to reach the mail server {host}:{port}"))
    }

    async fn connect(&self) -> Result<Session> {
        let RelayServer { host, port, hello, tls, credentials } = &*self.0;
        let whole = match tls {
            Tls::Whole(tls) => Some(tls.clone()),
            _ => None,
        };
        let server = (host.as_str(), *port);
        let mut connection = AsyncSmtpConnection::connect_tokio1(server, None, hello, whole, None)
            .await
            .map_err(|error| in_full(&error))?;
        if let Tls::Start(tls) = tls {
            let encrypted = connection.starttls(tls.clone(), hello).await;
            encrypted.map_err(|error| in_full(&error)).context("failed to encrypt")?;
        }
        if let Some(credentials) = credentials {
            let logged_in = connection.auth(DEFAULT_MECHANISMS, credentials).await;
            logged_in.map_err(|error| in_full(&error)).context("failed to log in")?;
        }
        Ok(Session(connection))
    }
}

impl Session {
    /// Hands one mail over.
    pub(super) async fn deliver(&mut self, mail: &Message) -> Delivery {
        match timeout(ANSWER, self.announce(mail)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return refused(&error),
            Err(_) => return Delivery::Refused { reason: silence(), for_good: false },
        }
        match timeout(ANSWER, self.0.message(&mail.formatted())).await {
            Ok(Ok(_)) => Delivery::Taken,
            Ok(Err(error)) if error.status().is_some() => refused(&error),
            Ok(Err(error)) => Delivery::Unknown { reason: error.to_string() },
            Err(_) => Delivery::Unknown { reason: silence() },
        }
    }

    /// Sends the envelope; the server then waits for the mail.
    async fn announce(&mut self, mail: &Message) -> Result<(), Error> {
        self.0.command(Mail::new(mail.envelope().from().cloned(), Vec::new())).await?;
        for address in mail.envelope().to() {
            self.0.command(Rcpt::new(address.clone(), Vec::new())).await?;
        }
        self.0.command(Data).await?;
        Ok(())
    }

    /// Says goodbye, if the server still listens.
    pub(super) async fn close(mut self) {
        let _ = timeout(CLOSING, self.0.quit()).await;
    }
}

fn refused(error: &Error) -> Delivery {
    Delivery::Refused { reason: error.to_string(), for_good: error.is_permanent() }
}

/// lettre's text of an error holds the reasons below it already.
fn in_full(error: &Error) -> anyhow::Error {
    anyhow!("{error}")
}

fn silence() -> String {
    format!("the mail server did not answer in {} s", ANSWER.as_secs())
}
