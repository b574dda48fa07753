//! The migrations: applied in one transaction, so that either all or none take effect.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use sqlx::migrate::{Migration, Migrator};

use super::failure::{self, DbContext as _};
use super::indexes;
use super::pool::{Connection, PgPool};

/// The migrations, embedded in the binary.
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// How long one migration may take, or the wait for another process that migrates.
const LONGEST: Duration = Duration::from_secs(3600);

/// How long a migration waits for a table in use before it gives way, and how long it gives way. Whoever comes to the
/// table meanwhile waits behind it.
const TABLE_PATIENCE: &str = "set local lock_timeout = '1s'";
const GIVES_WAY: Duration = Duration::from_secs(2);

/// Brings the tables up to date; several processes may do so at once. It locks nothing that others use for longer than
/// about a second, however large the tables are.
///
/// # Errors
/// The database is not reachable, its encoding can't hold every text, a migration fails, or a newer
/// parselog has used the database.
pub async fn migrate(pool: &PgPool) -> Result<()> {
    let pool = pool.with_limit(LONGEST);
    let began = Instant::now();
    loop {
        match migrate_at_once(&pool).await {
            Err(error) if failure::is_locked_out(&error) && began.elapsed() < LONGEST => {
                tracing::info!(
                    "a table is in use by others for long: the migration gives way, and tries again"
                );
                tokio::time::sleep(GIVES_WAY).await;
            }
            migrated => return migrated,
        }
    }
}

async fn migrate_at_once(pool: &PgPool) -> Result<()> {
    let mut transaction = pool.begin().await.context("failed to look for migrations")?;
    let versions: Vec<i64> =
        missing(&mut transaction).await?.iter().map(|migration| migration.version).collect();
    transaction.commit().await.context("failed to look for migrations")?;
    if indexes::are_wanted(pool, &versions) {
        indexes::build(pool).await?;
    }

    let mut transaction = pool.begin().await.context("failed to migrate the database")?;
    let encoding: String = sqlx::query_scalar("select current_setting('server_encoding')")
        .fetch_one(&mut *transaction)
        .await
        .context("failed to read the database's encoding")?;
    ensure!(
        encoding == "UTF8",
        "the database's encoding is {encoding}, which can't hold every text: make one with \
         `create database … encoding 'UTF8' template template0`"
    );
    // The lock and the work it guards end together, whatever server connection a pooler hands out next.
    sqlx::query("select pg_advisory_xact_lock(hashtext('parselog_migrate'))")
        .execute(&mut *transaction)
        .await
        .context("failed to wait for another process that migrates")?;
    let missing = missing(&mut transaction).await?;
    if missing.is_empty() {
        return Ok(());
    }
    sqlx::raw_sql(
        "set local client_min_messages = warning;
         create table if not exists _sqlx_migrations (
             version bigint primary key,
             description text not null,
             installed_on timestamptz not null default now(),
             success boolean not null,
             checksum bytea not null,
             execution_time bigint not null
         )",
    )
    .execute(&mut *transaction)
    .await
    .context("failed to note the migrations")?;
    sqlx::raw_sql(TABLE_PATIENCE)
        .execute(&mut *transaction)
        .await
        .context("failed to migrate the database")?;
    for migration in missing {
        apply(&mut transaction, migration).await.with_context(|| {
            format!("failed to apply migration {} {}", migration.version, migration.description)
        })?;
    }
    transaction.commit().await.context("failed to migrate the database")
}

async fn apply(db: &mut Connection, migration: &Migration) -> Result<(), sqlx::Error> {
    let began = Instant::now();
    let path: String =
        sqlx::query_scalar("select current_setting('search_path')").fetch_one(&mut *db).await?;
    sqlx::raw_sql(migration.sql.clone()).execute(&mut *db).await?;
    // A migration may change the path for itself, not for the next.
    sqlx::query("select set_config('search_path', $1, true)").bind(path).execute(&mut *db).await?;
    sqlx::query(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         values ($1, $2, true, $3, $4)",
    )
    .bind(migration.version)
    .bind(&*migration.description)
    .bind(&*migration.checksum)
    .bind(i64::try_from(began.elapsed().as_nanos()).unwrap_or(i64::MAX))
    .execute(db)
    .await?;
    Ok(())
}

/// The migrations that the database still lacks, as `1 runs`; empty when it is up to date.
///
/// # Errors
/// The database is not reachable, or another parselog migrated it.
pub async fn pending(pool: &PgPool) -> Result<Vec<String>> {
    let mut transaction = pool.begin().await.context("failed to look for migrations")?;
    let missing = missing(&mut transaction).await?;
    transaction.commit().await.context("failed to look for migrations")?;
    Ok(missing.iter().map(|migration| format!("{} {}", migration.version, migration.description)).collect())
}

/// Refuses a database that is not up to date.
///
/// # Errors
/// As [`pending`]; also, with advice, if migrations are pending.
pub async fn require_migrated(pool: &PgPool) -> Result<()> {
    ensure!(pending(pool).await?.is_empty(), "the database is not up to date: run `parselog migrate`");
    Ok(())
}

async fn missing(db: &mut Connection) -> Result<Vec<&'static Migration>> {
    let known: bool = sqlx::query_scalar("select to_regclass('_sqlx_migrations') is not null")
        .fetch_one(&mut *db)
        .await
        .context("failed to look for migrations")?;
    let mut applied: Vec<(i64, Vec<u8>)> = Vec::new();
    if known {
        applied =
            sqlx::query_as("select version, checksum from _sqlx_migrations where success order by version")
                .fetch_all(db)
                .await
                .context("failed to list the applied migrations")?;
    }
    let up = || MIGRATOR.iter().filter(|migration| migration.migration_type.is_up_migration());
    for (version, checksum) in &applied {
        match up().find(|migration| migration.version == *version) {
            None => bail!(
                "the database holds migration {version}, which this parselog does not know: use a newer parselog"
            ),
            Some(migration) => ensure!(
                migration.checksum.as_ref() == checksum,
                "migration {version} of the database is another than this parselog's: use the parselog that made it"
            ),
        }
    }
    Ok(up().filter(|migration| !applied.iter().any(|(version, _)| *version == migration.version)).collect())
}
