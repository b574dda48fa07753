//! Settings for mails: the mail server and the recipients.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use lettre::message::Mailbox;
use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use url::Url;

use super::value;
use super::{Commas, List};

/// Mails about results and errors.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Mail")]
pub struct MailConfig {
    /// Mail server: `smtps://user:password@host:port`, or `smtp://…` for encryption by STARTTLS;
    /// append `?tls=none` for no encryption. Without a server, parselog queues and sends no mail.
    #[arg(
        long,
        env = "PARSELOG_SMTP_URL",
        hide_env_values = true,
        value_name = "URL",
        global = true,
        hide_short_help = true
    )]
    pub smtp_url: Option<MailServer>,

    /// Sender of the mails.
    #[arg(long, env = "PARSELOG_MAIL_FROM", value_name = "ADDRESS", global = true, hide_short_help = true)]
    pub mail_from: Option<Sender>,

    /// Addresses that get mails about errors, separated by commas.
    #[arg(long, env = "PARSELOG_MAIL_ADMINS", value_name = "ADDRESS", global = true, hide_short_help = true)]
    pub mail_admins: Vec<Commas<Address>>,

    /// Put a link to the log into the mail to a submitter. The link works for this long, a week at
    /// most, and needs S3. Without this option the mail names the run.
    #[arg(long, env = "PARSELOG_MAIL_LINKS", value_parser = value::link_life, value_name = "TIME", global = true, hide_short_help = true)]
    pub mail_links: Option<Duration>,
}

impl MailConfig {
    /// The addresses that get mails about errors.
    pub fn admins(&self) -> Vec<String> {
        List::join(&self.mail_admins).into_iter().map(|address: Address| address.to_string()).collect()
    }
}

/// An e-mail address: plain ASCII, and nothing around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address(lettre::Address);

/// Sender of mails: an address, or a name with the address in angle brackets.
#[derive(Debug, Clone)]
pub struct Sender(Mailbox);

/// Where the mail server is, and how to log in.
#[derive(Debug, Clone)]
pub struct MailServer {
    /// Name or address of its machine.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is encrypted.
    pub encryption: MailEncryption,
    /// User and password.
    pub login: Option<(String, SecretString)>,
    /// The name by which this machine introduces itself; its host name by default.
    pub hello: Option<String>,
}

/// How a connection to a mail server is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailEncryption {
    /// Not at all.
    None,
    /// From the first byte on.
    Whole,
    /// By the command STARTTLS, which the server must support.
    StartTls,
}

impl Address {
    /// The address itself.
    pub fn into_inner(self) -> lettre::Address {
        self.0
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address = text.trim();
        let plain = |c: char| c.is_ascii_alphanumeric() || ".!#$%&'*+/=?^_`{|}~-@".contains(c);
        let known = (address.len() <= 254 && address.chars().all(plain)).then(|| address.parse().ok());
        known
            .flatten()
            .map(Self)
            .ok_or_else(|| format!("'{address}' is not an e-mail address: expected name@host"))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Sender {
    /// The address with its name.
    pub fn into_inner(self) -> Mailbox {
        self.0
    }
}

impl FromStr for Sender {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mailbox = text.trim().parse().map(Self);
        mailbox
            .map_err(|_| "expected an address to send from: name@host, or 'parselog <name@host>'".to_owned())
    }
}

impl FromStr for MailServer {
    type Err = String;

    /// Reads `smtps://user:password@host:port/name` or `smtp://…`, with or without `?tls=none`. The
    /// machine introduces itself by the name. The error repeats no part of the URL.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| {
            format!("the URL of the mail server {what}: expected smtps://…, smtp://… or smtp://…?tls=none")
        };
        let url = Url::parse(text.trim()).map_err(|_| wrong("is wrong"))?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| wrong("names no host"))?;
        let query: Vec<_> = url.query_pairs().collect();
        let (encryption, port) = match (url.scheme(), query.as_slice()) {
            ("smtps", []) => (MailEncryption::Whole, 465),
            ("smtp", []) => (MailEncryption::StartTls, 587),
            ("smtp", [(name, value)]) if name == "tls" && value == "none" => (MailEncryption::None, 25),
            _ => return Err(wrong("is wrong")),
        };
        let decode = |text: &str| {
            let decoded = percent_decode_str(text).decode_utf8();
            decoded.map(String::from).map_err(|_| wrong("has a login that is not UTF-8 text"))
        };
        let login = match url.password() {
            Some(password) => Some((decode(url.username())?, decode(password)?.into())),
            None => None,
        };
        let hello = url.path().trim_matches('/');
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port().unwrap_or(port),
            encryption,
            login,
            hello: (!hello.is_empty()).then(|| hello.to_owned()),
        })
    }
}
