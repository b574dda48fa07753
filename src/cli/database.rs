//! The database of a command: the configured one, or the embedded one. A command opens it at most once, and
//! one place closes it, before the embedded one may stop.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, Result};
use secrecy::ExposeSecret as _;

use super::Common;
use crate::carry;
use crate::cluster::{self, Cluster, Keep};
use crate::config::default_worker_name;
use crate::store::{self, Limits, PgPool};

/// Runs at once of a command other than `worker`.
pub(super) const COMMAND_SLOTS: usize = 2;

/// Longest wait for busy connections when the command ends.
const CLOSING: Duration = Duration::from_secs(2);

/// The database that this process has opened, if it has.
#[derive(Debug, Clone, Default)]
pub(super) struct OpenedDatabase(Arc<OnceLock<Database>>);

#[derive(Debug)]
struct Database {
    pool: PgPool,
    /// Last: from then on the embedded database may stop.
    _cluster: Option<Cluster>,
}

impl OpenedDatabase {
    /// Closes the connections of all who share the pool.
    pub(super) async fn close(&self) {
        if let Some(database) = self.0.get() {
            let _ = tokio::time::timeout(CLOSING, database.pool.close()).await;
        }
    }
}

/// The database as it is, for `slots` runs at once. The caller checks whether its tables are up to date.
///
/// # Errors
/// It can't be reached, or the embedded one can't be started.
pub(super) async fn connect(common: &Common, slots: usize) -> Result<PgPool> {
    if let Some(database) = common.opened.0.get() {
        return Ok(database.pool.clone());
    }
    let (cluster, url) = match &common.database.database_url {
        Some(url) => (None, url.expose_secret().to_owned()),
        None => {
            let cluster = start_cluster(common).await?;
            let url = cluster.url();
            (Some(cluster), url)
        }
    };
    let config = &common.database;
    let limits = Limits { connections: config.connections(slots), statement: config.database_timeout };
    let pool = store::connect_within(&url, &format!("parselog-{}", default_worker_name()), limits).await?;
    Ok(common.opened.0.get_or_init(|| Database { pool, _cluster: cluster }).pool.clone())
}

/// The configured database, which must be up to date, or the embedded one, which this updates.
///
/// # Errors
/// As [`connect`], and if this parselog needs other tables.
pub(super) async fn open_database(common: &Common) -> Result<PgPool> {
    open_database_for(common, COMMAND_SLOTS).await
}

/// As [`open_database`], for `slots` runs at once.
///
/// # Errors
/// As [`open_database`].
pub(super) async fn open_database_for(common: &Common, slots: usize) -> Result<PgPool> {
    let pool = connect(common, slots).await?;
    if common.database.database_url.is_some() {
        store::require_migrated(&pool).await?;
    } else if !store::pending(&pool).await?.is_empty() {
        store::migrate(&pool).await?;
    }
    Ok(pool)
}

/// The configured database, or the embedded one if it runs: this starts nothing.
///
/// # Errors
/// It can't be reached.
pub(super) async fn open_running_database(common: &Common) -> Result<Option<PgPool>> {
    let is_embedded = common.database.database_url.is_none();
    if is_embedded && cluster::status(&common.place.home())?.server.is_none() {
        return Ok(None);
    }
    connect(common, COMMAND_SLOTS).await.map(Some)
}

/// Starts or joins the embedded database.
async fn start_cluster(common: &Common) -> Result<Cluster> {
    let home = common.place.home();
    let program = std::env::current_exe().context("failed to find the parselog program")?;
    let keep = Keep { program, idle: common.database.db_idle };
    let started = carry::spawn_blocking(move || Cluster::start(&home, &keep)).await;
    started.context("starting the database panicked")?
}
