//! The embedded default: a private Postgres cluster over a unix socket, from installed binaries.
//!
//! It serves a machine where nothing is configured; `DATABASE_URL`, when set, makes this room
//! unused. Many parselog processes may share one cluster: each holds a shared lock for as long as
//! it uses it, and the one that can make that lock exclusive stops the server. This room speaks no
//! SQL beyond making its own database, downloads nothing, and removes no data.

mod binaries;
mod lock;
mod owner;
mod place;
mod server;

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use owner::Owner;
use place::Place;
use server::Server;

/// Longest wait for another process that is starting or stopping the same cluster.
const START_LOCK_WAIT: Duration = Duration::from_secs(60);

/// A running cluster that this process uses. Dropping it stops the server when nobody else does.
#[derive(Debug)]
pub struct Cluster {
    server: Server,
    /// Shared lock on `<home>/postgres/in-use`; `None` once given up.
    in_use: Option<File>,
}

impl Cluster {
    /// Makes, starts or joins the cluster of the folder `home`, and waits until it answers.
    ///
    /// Blocks: about 1.5 s the first time, 0.1 s when the server has to be started, a few
    /// milliseconds when another process already runs it.
    ///
    /// # Errors
    /// One line that says what to do: Postgres is not installed, the user has no name, a folder
    /// belongs to somebody else, or the server does not start (with the last line of its log).
    pub fn start(home: &Path) -> anyhow::Result<Self> {
        let owner = Owner::detect()?;
        let place = Place::prepare(home, &owner)?;
        // Every shared lock is taken under the start lock, so a process that stops the server can
        // not race with one that is about to use it.
        let _starting = lock::exclusive(&place.start_lock(), START_LOCK_WAIT)
            .context("failed to wait for the process that is starting the database")?;
        let in_use = lock::shared(&place.in_use_lock())?;
        let server = Server::new(place, owner)?;
        server.ensure_running()?;
        server.ensure_database()?;
        Ok(Self { server, in_use: Some(in_use) })
    }

    /// The URL of the database `parselog`, as sqlx and psql take it.
    pub fn url(&self) -> String {
        self.server.url("parselog")
    }

    /// The URL of the database `postgres`, from which others can be made and dropped.
    pub fn admin_url(&self) -> String {
        self.server.url("postgres")
    }

    /// Gives the cluster up, and stops the server when no other process uses it.
    ///
    /// # Errors
    /// When the server does not go away; dropping a `Cluster` ignores that.
    pub fn stop(mut self) -> anyhow::Result<()> {
        self.give_up()
    }

    fn give_up(&mut self) -> anyhow::Result<()> {
        let Some(in_use) = self.in_use.take() else { return Ok(()) };
        let _starting = lock::exclusive(&self.server.place().start_lock(), START_LOCK_WAIT)?;
        match in_use.try_lock() {
            Ok(()) => self.server.stop(),
            // Somebody else holds it shared: the server is theirs now. Unlocked by name, because a
            // child that is just being started may hold a copy of the file.
            Err(_) => Ok(in_use.unlock()?),
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) = self.give_up() {
            tracing::warn!("failed to stop the embedded database: {error:#}");
        }
    }
}
