//! The embedded default: a private Postgres cluster over a unix socket, from installed binaries.
//!
//! It serves a machine where nothing is configured; `DATABASE_URL`, when set, makes this room
//! unused. Every process that uses the cluster holds a shared lock as long as it does. The server is
//! the keeper's: a process that starts it, and stops it when nobody has used it for the idle time, as
//! the daemons of build tools do. This room speaks no SQL beyond making its own database, downloads
//! nothing, and removes no data.
//!
//! Each process may be killed at any moment:
//!
//! | what dies | what happens |
//! |---|---|
//! | a user | the kernel frees its lock, and the idle time begins |
//! | the keeper | its relay becomes the next keeper, without a pause for anybody |
//! | the relay | the keeper starts another |
//! | the server | the keeper starts it again while somebody uses it, else it ends too |
//! | the home folder is removed | the keeper ends the server and itself |

mod binaries;
mod detach;
mod folders;
mod hello;
mod keeper;
mod lock;
mod owner;
mod postmaster;
mod server;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

pub use keeper::keep;

use folders::ClusterFolders;
use hello::{ServerAnswer, ask};
use lock::Usage;
use owner::Owner;

/// Longest wait for another process that is starting or stopping the same cluster.
const START_LOCK_WAIT: Duration = Duration::from_secs(60);
/// Longest wait for a server that is made and started.
const START_WAIT: Duration = Duration::from_secs(180);
/// Longest wait for a keeper whose server is stopped.
const KEEPER_END: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(10);

/// A keeper of another version makes room for ours when nobody uses the cluster.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How the cluster is kept while nobody uses it.
#[derive(Debug, Clone)]
pub struct Keep {
    /// The `parselog` program, which is run as the keeper.
    pub program: PathBuf,
    /// How long the server stays after its last use.
    pub idle: Duration,
}

/// A running cluster that this process uses, until it is dropped.
#[derive(Debug)]
pub struct Cluster {
    folders: ClusterFolders,
    /// Shared lock on `<home>/postgres/in-use`.
    _in_use: File,
}

/// The running processes of a home's cluster.
#[derive(Debug)]
pub struct ClusterStatus {
    /// The server's process id, and the URL of its database.
    pub server: Option<(i32, String)>,
    /// Whether a process uses it.
    pub in_use: bool,
    /// How long it stays after its last use.
    pub idle: Duration,
}

impl Cluster {
    /// Makes, starts or joins the cluster of the folder `home`, and waits until it answers.
    ///
    /// Blocks: about 2 s the first time, 0.2 s when the server has to be started, a few
    /// milliseconds when it runs.
    ///
    /// # Errors
    /// One line that says what to do: Postgres is not installed, the user has no name, a folder
    /// belongs to somebody else, or the server does not start (with the last line of its log).
    pub fn start(home: &Path, keep: &Keep) -> Result<Self> {
        let folders = ClusterFolders::prepare(home, &Owner::detect()?)?;
        if keeper::current(&folders)?.is_some_and(|(_, version)| version != VERSION) {
            let _ = stop_unused(&folders)?; // One that is used goes on: all versions share the locks.
        }
        let in_use = {
            // Every shared lock is taken under the start lock, so the keeper can't stop the server
            // between our look at it and our use of it.
            let _starting = lock::exclusive(&folders.start_lock(), START_LOCK_WAIT)
                .context("failed to wait for the process that is stopping the database")?;
            lock::shared(&folders.in_use_lock())?
        };
        Usage::note(&in_use, keep.idle)?;
        wait_until_ready(&folders, keep)?;
        Ok(Self { folders, _in_use: in_use })
    }

    /// The URL of the database `parselog`, as sqlx and psql take it.
    pub fn url(&self) -> String {
        self.folders.url("parselog")
    }

    /// The URL of the database `postgres`, from which others can be made and dropped.
    pub fn admin_url(&self) -> String {
        self.folders.url("postgres")
    }
}

/// Stops the cluster of `home`, its keeper too; returns whether it ran.
///
/// # Errors
/// Another process uses it, or it does not stop.
pub fn stop(home: &Path) -> Result<bool> {
    if !ClusterFolders::exists(home) {
        return Ok(false);
    }
    let folders = ClusterFolders::prepare(home, &Owner::detect()?)?;
    stop_unused(&folders)?
        .context("another parselog process uses the embedded database, perhaps a worker: end that first")
}

/// The running processes of the cluster of `home`.
///
/// # Errors
/// Its folder can't be read.
pub fn status(home: &Path) -> Result<ClusterStatus> {
    if !ClusterFolders::exists(home) {
        return Ok(ClusterStatus { server: None, in_use: false, idle: Duration::ZERO });
    }
    let folders = ClusterFolders::prepare(home, &Owner::detect()?)?;
    let server = postmaster::postmaster(&folders);
    let _looking = lock::exclusive(&folders.start_lock(), START_LOCK_WAIT)?;
    Ok(ClusterStatus {
        server: server.map(|pid| (pid.as_raw_nonzero().get(), folders.url("parselog"))),
        in_use: lock::try_exclusive(&folders.in_use_lock())?.is_none(),
        idle: Usage::last(&folders.in_use_lock()).map_or(Duration::ZERO, |usage| usage.idle),
    })
}

/// Stops the server and waits for the end of its keeper; `None` when somebody uses it. Else, whether
/// it ran.
fn stop_unused(folders: &ClusterFolders) -> Result<Option<bool>> {
    let stopping = lock::exclusive(&folders.start_lock(), START_LOCK_WAIT)?;
    let Some(unused) = lock::try_exclusive(&folders.in_use_lock())? else { return Ok(None) };
    let keeper = keeper::current(folders)?.and_then(|(pid, _)| pid);
    let ran = postmaster::stop(folders)?;
    drop((unused, stopping));
    // The keeper sees that the server is gone; unless somebody was quick to start it again.
    let deadline = Instant::now() + KEEPER_END;
    while (lock::is_held(&folders.keeper_lock())? || keeper.is_some_and(postmaster::is_alive))
        && ask(&folders.socket()) == ServerAnswer::Silent
    {
        if Instant::now() > deadline {
            bail!("the keeper of the embedded database does not end");
        }
        thread::sleep(POLL);
    }
    Ok(Some(ran))
}

/// Waits until a keeper runs and the server answers; starts a keeper if none runs.
fn wait_until_ready(folders: &ClusterFolders, keep: &Keep) -> Result<()> {
    let deadline = Instant::now() + START_WAIT;
    let mut summoned: Option<keeper::Summoned> = None;
    loop {
        if lock::is_held(&folders.keeper_lock())? {
            if ask(&folders.socket()) == ServerAnswer::Ready {
                return Ok(());
            }
        } else if let Some(keeper) = &summoned {
            match keeper.ended() {
                Some(status) if status.success() => summoned = None, // There was another.
                Some(_) => bail!(keeper::last_words(folders)),
                None => {}
            }
        } else {
            summoned = Some(keeper::summon(folders, keep)?);
        }
        if Instant::now() > deadline {
            bail!("the embedded database does not answer: its log is {}", folders.server_log().display());
        }
        thread::sleep(POLL);
    }
}
