//! The database's URL: parsed whole before sqlx sees it, since sqlx logs unknown options.

use anyhow::{Result, anyhow, bail, ensure};
use sqlx::postgres::PgConnectOptions;
use url::Url;

/// The options that sqlx knows.
const KNOWN: &[&str] = &[
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// Further options of libpq, which URLs of other programs may have. They have no effect here.
const OF_LIBPQ: &[&str] = &[
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "fallback_application_name",
    "gssencmode",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "load_balance_hosts",
    "passfile",
    "require_auth",
    "service",
    "sslcompression",
    "sslnegotiation",
    "sslsni",
    "target_session_attrs",
    "tcp_user_timeout",
];

/// Reads a database URL.
///
/// # Errors
/// One line that repeats no part of the URL: in an invalid URL, any part may belong to the password.
pub(super) fn parse(url: &str) -> Result<PgConnectOptions> {
    let wrong = |why: &str| anyhow!("the database URL is wrong: {why}");
    ensure!(
        url.starts_with("postgres://") || url.starts_with("postgresql://"),
        wrong("expected postgres://user:password@host:port/database")
    );
    let behind_host =
        url.split_once("://").and_then(|(_, rest)| rest.find(['/', '?', '#']).map(|at| &rest[at..]));
    ensure!(
        !behind_host.is_some_and(|rest| rest.contains(['@', '#'])),
        wrong("in a user's name or password, write / as %2F, ? as %3F and # as %23; elsewhere, @ as %40")
    );
    let mut parsed = Url::parse(url).map_err(|error| wrong(&error.to_string()))?;
    let mut pairs = Vec::new();
    for (name, value) in parsed.query_pairs() {
        if KNOWN.contains(&&*name) || name.starts_with("options[") {
            pairs.push((name.into_owned(), value.into_owned()));
        } else if let Some(known) = OF_LIBPQ.iter().find(|known| **known == name) {
            tracing::debug!("the option {known} of the database URL has no effect");
        } else {
            bail!(wrong("unknown option behind the ?: see the URLs of libpq for those there are"));
        }
    }
    parsed.set_query(None);
    if !pairs.is_empty() {
        parsed.query_pairs_mut().extend_pairs(pairs);
    }
    // The reason may quote a value.
    parsed.as_str().parse().map_err(|_| wrong("a name, a password or an option behind the ? can't be read"))
}

/// Where the options lead, for people.
pub(super) fn place(options: &PgConnectOptions) -> String {
    let server = match options.get_socket() {
        Some(folder) => folder.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    match options.get_database() {
        Some(database) => format!("{server}, database {database}"),
        None => server,
    }
}
