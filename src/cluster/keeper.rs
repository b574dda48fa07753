//! The keeper: a process of its own that starts the server, keeps it while somebody uses it and for
//! the idle time after, and stops it. It holds no terminal, and no file or lock of who started it.
//!
//! A lock file says that there is one, and which. Its relay, a shell that waits on a pipe, becomes the
//! next keeper when this one is killed; the keeper starts another relay when that is killed.

use std::env;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::process::Pid;

use super::detach::detach;
use super::folders::ClusterFolders;
use super::lock;
use super::lock::Usage;
use super::owner::Owner;
use super::postmaster::{abandon, postmaster, stop};
use super::server::Server;
use super::{Keep, VERSION};
use crate::carry;

/// How often the keeper looks.
const TICK: Duration = Duration::from_millis(200);
/// Others look at the keeper's lock for a moment; a keeper holds it for longer.
const LOCK_WAIT: Duration = Duration::from_secs(2);

/// The keeper's own life. Returns when the server is stopped, or when there is another keeper.
///
/// The first call, with `detached` unset, only leaves the caller's session and runs the program anew.
///
/// # Errors
/// The server can't be made or started, with its reason on one line.
pub fn keep(home: &Path, detached: bool) -> Result<()> {
    if !detached {
        return Err(detach()).context("failed to run the keeper of the embedded database");
    }
    let owner = Owner::detect()?;
    let folders = ClusterFolders::prepare(home, &owner)?;
    let Ok(mine) = lock::exclusive(&folders.keeper_lock(), LOCK_WAIT) else { return Ok(()) };
    fs::write(folders.keeper_lock(), format!("{} {VERSION}\n", std::process::id()))?;
    let mut relay = RelayShell::start()?;
    let server = Server::new(&folders, owner)?;
    server.ensure_running()?;
    let mut serving = postmaster(&folders);
    let mut unused_since = Instant::now();
    let mut last = Usage::last(&folders.in_use_lock());
    loop {
        thread::sleep(TICK);
        if !is_at(&mine, &folders.keeper_lock()) {
            // The home was removed, and its server is nobody's.
            serving.inspect(|pid| abandon(*pid, &folders));
            return Ok(());
        }
        relay.renew()?;
        // Who begins to use the cluster holds this for a moment.
        let Ok(Some(door)) = lock::try_exclusive(&folders.start_lock()) else { continue };
        let running = postmaster(&folders);
        let Ok(unused) = lock::try_exclusive(&folders.in_use_lock()) else { continue };
        if unused.is_none() {
            drop(door);
            unused_since = Instant::now();
            if running.is_none() || !folders.socket().exists() {
                server.ensure_running()?;
            }
            serving = postmaster(&folders);
            continue;
        }
        let used = Usage::last(&folders.in_use_lock());
        if used != last {
            (last, unused_since) = (used, Instant::now());
        }
        let idle = used.map_or(Duration::ZERO, |usage| usage.idle);
        if running.is_none() || unused_since.elapsed() >= idle {
            stop(&folders)?;
            drop(relay);
            // Before the lock is free: the next command then finds no keeper, and starts one.
            drop(mine);
            return Ok(());
        }
    }
}

/// A keeper that is being started.
pub(super) struct Summoned {
    ended: Receiver<ExitStatus>,
}

impl Summoned {
    /// How the process has ended, if it has.
    pub(super) fn ended(&self) -> Option<ExitStatus> {
        self.ended.try_recv().ok()
    }
}

/// Starts a keeper. It gets only the variables that Postgres needs, because it outlives us.
pub(super) fn summon(folders: &ClusterFolders, keep: &Keep) -> Result<Summoned> {
    let log = folders.keeper_log();
    let log = File::create(&log).with_context(|| format!("failed to create {}", log.display()))?;
    let mut command = Command::new(&keep.program);
    command.arg("--home").arg(folders.home()).args(["db", "keep"]).current_dir("/").env_clear();
    for name in ["PATH", "LD_LIBRARY_PATH", "PG_BIN"] {
        if let Some(value) = env::var_os(name) {
            command.env(name, value);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let mut child = command.spawn().context("failed to start the keeper of the embedded database")?;
    let (tell, ended) = channel();
    carry::thread(move || {
        // Wait for it here, so that it does not become a zombie of a longer-lived worker.
        if let Ok(status) = child.wait() {
            let _ = tell.send(status);
        }
    });
    Ok(Summoned { ended })
}

/// Why a keeper failed, in its own words.
pub(super) fn last_words(folders: &ClusterFolders) -> String {
    let said = fs::read_to_string(folders.keeper_log()).unwrap_or_default();
    let line = said.lines().rev().find(|line| !line.trim().is_empty());
    line.map_or("the keeper of the embedded database said nothing", |line| {
        line.trim_start_matches("parselog: ")
    })
    .to_owned()
}

/// The running keeper, once it has announced itself: its process id and version.
pub(super) fn current(folders: &ClusterFolders) -> Result<Option<(Option<Pid>, String)>> {
    if !lock::is_held(&folders.keeper_lock())? {
        return Ok(None);
    }
    let text = fs::read_to_string(folders.keeper_lock()).unwrap_or_default();
    let said = text.trim().split_once(' ');
    Ok(said.map(|(pid, version)| {
        (pid.parse().ok().filter(|pid| *pid > 0).and_then(Pid::from_raw), version.to_owned())
    }))
}

/// Whether an open file is the one at this path.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(found)) => (open.dev(), open.ino()) == (found.dev(), found.ino()),
        _ => false,
    }
}

/// A shell that becomes the keeper when this one dies, because then its stdin ends.
struct RelayShell(Child);

impl RelayShell {
    fn start() -> Result<Self> {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "read -r _; exec \"$0\" \"$@\" </dev/null"]).arg(env::current_exe()?);
        shell.args(env::args_os().skip(1)).stdin(Stdio::piped()).process_group(0);
        Ok(Self(shell.spawn().context("failed to start the relay of the keeper")?))
    }

    /// Starts another when this one was killed.
    fn renew(&mut self) -> Result<()> {
        if self.0.try_wait()?.is_some() {
            *self = Self::start()?;
        }
        Ok(())
    }
}

impl Drop for RelayShell {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
