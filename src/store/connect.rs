//! Connects to the database, and explains failures in one line.

use anyhow::{Result, anyhow};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection as _, Error};

use super::pool::{CONNECT_PATIENCE, Limits, PgPool, bounded};
use super::{address, failure};

/// A setting that reaches only a direct server: a pooler refuses or drops it.
const DIRECT: &str = "parselog.direct";

/// The answers of Postgres and poolers to a startup message with an unknown setting.
const PROTOCOL_VIOLATION: &str = "08P01";

/// Connects to `url`, `postgres://user:password@host:port/database` or
/// `postgres:///database?host=/socket/folder&user=name`, with the usual limits.
///
/// `name` shows in the server's list of connections, and is the actor of the audit entries that
/// name no other; Postgres keeps its first 63 bytes.
///
/// # Errors
/// One line that holds no password: the URL is wrong, or the database can't be reached or refuses.
pub async fn connect(url: &str, name: &str) -> Result<PgPool> {
    connect_within(url, name, Limits::default()).await
}

/// As [`connect`], with these limits.
///
/// # Errors
/// As [`connect`].
pub async fn connect_within(url: &str, name: &str, limits: Limits) -> Result<PgPool> {
    let options = address::parse(url)?
        .application_name(name)
        // Poolers refuse it; floats come in binary.
        .extra_float_digits(None)
        // A statement logged inside a run's scope would land in the run's log.
        .disable_statement_logging();
    let place = address::place(&options);
    let direct = options.clone().options([
        (DIRECT, "on".to_owned()),
        ("statement_timeout", limits.statement.as_millis().to_string()),
        // Compiling a statement takes longer than any of ours takes, and on a large table the server would compile.
        ("jit", "off".to_owned()),
        // A dead client must not keep its locks.
        ("idle_in_transaction_session_timeout", limits.statement.as_millis().to_string()),
        ("tcp_keepalives_idle", "30".to_owned()),
        ("tcp_keepalives_interval", "10".to_owned()),
        ("tcp_keepalives_count", "3".to_owned()),
    ]);

    // A pool hides why it can't connect behind a timeout, so the first connection is made by hand.
    match probe(&direct).await {
        Ok(true) => Ok(PgPool::new(direct, limits, false)),
        Ok(false) => Ok(PgPool::new(options, limits, true)),
        Err(Error::Database(refusal)) if refusal.code().as_deref() == Some(PROTOCOL_VIOLATION) => {
            probe(&options).await.map_err(|error| why(&error, &place))?;
            Ok(PgPool::new(options, limits, true))
        }
        Err(error) => Err(why(&error, &place)),
    }
}

/// Connects, and returns whether our setting reached Postgres.
async fn probe(options: &PgConnectOptions) -> Result<bool, Error> {
    let mut connection = bounded(CONNECT_PATIENCE, PgConnection::connect_with(options)).await?;
    let setting = sqlx::raw_sql("select coalesce(current_setting('parselog.direct', true), '')");
    let row = bounded(CONNECT_PATIENCE, sqlx::Executor::fetch_one(&mut connection, setting)).await?;
    tokio::time::timeout(CONNECT_PATIENCE, connection.close()).await.ok();
    Ok(sqlx::Row::try_get::<String, _>(&row, 0)? == "on")
}

/// Why connecting failed, in one line.
fn why(error: &Error, place: &str) -> anyhow::Error {
    let reason = failure::reason(error);
    match error {
        Error::Database(_) => anyhow!("Postgres at {place} refused: {reason}"),
        _ => anyhow!("failed to reach Postgres at {place}: {reason}; is it running?"),
    }
}
