//! Getting to the database: connect, migrate, and say in one line what is wrong.

use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, Error, PgPool};

/// The migrations, embedded in the binary.
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// How long connecting, or waiting for a free connection, may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connects to `url`, `postgres://user:password@host:port/database` or
/// `postgres:///database?host=/socket/folder&user=name`.
///
/// `name` shows in the server's list of connections, and is the actor of the audit entries that
/// name no other; Postgres keeps its first 63 bytes. The pool lets go of a connection only when it
/// broke, since the reaper trusts old ones only.
///
/// # Errors
/// One line that holds no password: the URL is wrong, or the database can't be reached or refuses.
pub async fn connect(url: &str, name: &str) -> Result<PgPool> {
    ensure!(
        url.starts_with("postgres://") || url.starts_with("postgresql://"),
        "the database URL is wrong: expected postgres://user:password@host:port/database"
    );
    let options = PgConnectOptions::from_str(url)
        .map_err(|error| anyhow!("the database URL is wrong: {}", root_cause(&error)))?
        .application_name(name)
        // A statement logged inside a run's scope would land in the run's log.
        .disable_statement_logging();
    let place = place(&options);

    // A pool hides why it can't connect behind a timeout, so the first connection is made by hand.
    let probe = tokio::time::timeout(PATIENCE, options.connect())
        .await
        .map_err(|_| anyhow!("failed to reach Postgres at {place}: no answer in {PATIENCE:?}"))?
        .map_err(|error| match error {
            Error::Database(refusal) => anyhow!("Postgres at {place} refused: {}", refusal.message()),
            error => anyhow!("failed to reach Postgres at {place}: {}; is it running?", root_cause(&error)),
        })?;
    probe.close().await.ok();

    let pool = PgPoolOptions::new()
        .acquire_timeout(PATIENCE)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_lazy_with(options);
    Ok(pool)
}

/// Brings the tables up to date; several processes may do so at once.
///
/// # Errors
/// The database is not reachable, a migration fails, or a newer parselog was here before.
pub async fn migrate(pool: &PgPool) -> Result<()> {
    MIGRATOR.run(pool).await.context("failed to migrate the database")
}

/// The migrations that the database still lacks, as `1 runs`; empty when it is up to date.
///
/// # Errors
/// The database is not reachable, or was migrated by a newer parselog than this.
pub async fn pending(pool: &PgPool) -> Result<Vec<String>> {
    let known: bool = sqlx::query_scalar("select to_regclass('_sqlx_migrations') is not null")
        .fetch_one(pool)
        .await
        .context("failed to look for migrations")?;
    let mut applied: Vec<i64> = Vec::new();
    if known {
        applied = sqlx::query_scalar("select version from _sqlx_migrations where success order by version")
            .fetch_all(pool)
            .await
            .context("failed to list the applied migrations")?;
    }
    if let Some(version) = applied.iter().find(|version| !MIGRATOR.version_exists(**version)) {
        bail!(
            "the database holds migration {version}, which this parselog does not know: use a newer parselog"
        );
    }
    Ok(MIGRATOR
        .iter()
        .filter(|migration| {
            migration.migration_type.is_up_migration() && !applied.contains(&migration.version)
        })
        .map(|migration| format!("{} {}", migration.version, migration.description))
        .collect())
}

/// Refuses a database that is not up to date.
///
/// # Errors
/// As [`pending`], and with what to do when migrations are pending.
pub async fn require_migrated(pool: &PgPool) -> Result<()> {
    ensure!(pending(pool).await?.is_empty(), "the database is not up to date: run `parselog migrate`");
    Ok(())
}

/// Where the options lead, for people.
fn place(options: &PgConnectOptions) -> String {
    let server = match options.get_socket() {
        Some(folder) => folder.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    match options.get_database() {
        Some(database) => format!("{server}, database {database}"),
        None => server,
    }
}

/// The innermost reason: the outer ones only repeat that it is about connecting.
fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
