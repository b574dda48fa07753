//! The server of one cluster: made, and started.
//!
//! Only the keeper does so. `pg_ctl` is not used: it passes paths through a shell.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::Pid;

use super::binaries::Binaries;
use super::folders::ClusterFolders;
use super::hello::{ServerAnswer, ask};
use super::owner::Owner;
use super::postmaster::{is_alive, postmaster, stop};

/// Longest wait for a server that says it is starting; crash recovery takes part of it.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// A live server that answers nothing for this long has lost its socket, and is started anew.
const SILENCE_DEADLINE: Duration = Duration::from_secs(5);
/// A server may fail to start while the remains of a killed one are still dying.
const LAUNCHES: u32 = 5;
const LAUNCH_PAUSE: Duration = Duration::from_millis(300);
const POLL: Duration = Duration::from_millis(20);
/// The next start sets larger server logs aside; one old log is kept.
const LOG_LIMIT: u64 = 4 << 20;

/// The server of one cluster, running or not.
#[derive(Debug)]
pub(super) struct Server<'p> {
    folders: &'p ClusterFolders,
    owner: Owner,
    binaries: Binaries,
}

impl<'p> Server<'p> {
    /// Picks the binaries that can run this cluster.
    pub(super) fn new(folders: &'p ClusterFolders, owner: Owner) -> anyhow::Result<Self> {
        let made_by = fs::read_to_string(folders.data().join("PG_VERSION")).ok();
        let binaries = Binaries::find(made_by.and_then(|version| version.trim().parse().ok()))?;
        Ok(Self { folders, owner, binaries })
    }

    /// Makes the cluster if missing, starts it if not running, and waits until it answers.
    pub(super) fn ensure_running(&self) -> anyhow::Result<()> {
        if ask(&self.folders.socket()) == ServerAnswer::Ready {
            return Ok(());
        }
        self.configure()?;
        if !self.folders.data().exists() {
            self.create()?;
        }
        let log_start = self.rotate_log();
        let deadline = Instant::now() + START_DEADLINE;
        let mut silent_since = Instant::now();
        let mut launched: Option<Pid> = None;
        let mut launches = 0;
        while Instant::now() < deadline {
            match ask(&self.folders.socket()) {
                ServerAnswer::Ready => return Ok(()),
                ServerAnswer::Busy => silent_since = Instant::now(),
                ServerAnswer::Silent
                    if launched.is_some_and(is_alive) || postmaster(self.folders).is_some() =>
                {
                    if silent_since.elapsed() > SILENCE_DEADLINE {
                        stop(self.folders)?;
                    }
                }
                ServerAnswer::Silent if launches == LAUNCHES => break,
                ServerAnswer::Silent => {
                    if launches > 0 {
                        thread::sleep(LAUNCH_PAUSE);
                    }
                    launches += 1;
                    launched = self.launch()?;
                    silent_since = Instant::now();
                }
            }
            thread::sleep(POLL);
        }
        bail!("the embedded database does not start: {}", self.last_words(log_start))
    }

    fn create(&self) -> anyhow::Result<()> {
        self.owner.check_name()?;
        let fresh = self.folders.new_data(&self.owner)?;
        let mut initdb = self.owner.command(&self.binaries.path("initdb"));
        initdb.args(["-U", "postgres", "-A", "trust", "--no-locale", "-E", "UTF8", "-D"]).arg(&fresh);
        run(&mut initdb).context("failed to make the embedded database")?;
        // Written by the server's user: root does not write in a folder that another user owns.
        let mut include = self.owner.command(Path::new("/bin/sh"));
        include
            .args(["-c", "echo \"include '../parselog.conf'\" >> \"$0\""])
            .arg(fresh.join("postgresql.conf"));
        run(&mut include).context("failed to configure the embedded database")?;
        self.make_database(&fresh)?;
        fs::rename(&fresh, self.folders.data()).context("failed to put the embedded database in place")
    }

    /// Makes the database `parselog` before the cluster is in folders, so that every cluster has it.
    fn make_database(&self, fresh: &Path) -> anyhow::Result<()> {
        let mut single = self.owner.command(&self.binaries.path("postgres"));
        single.args(["--single", "-D"]).arg(fresh).arg("postgres");
        single.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut single = single.spawn().context("failed to run postgres")?;
        if let Some(mut input) = single.stdin.take() {
            input.write_all(b"create database parselog\n")?;
        }
        let output = single.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() || said.contains("ERROR:") {
            bail!("failed to make the embedded database: {}", last_line(&said).unwrap_or("it said nothing"));
        }
        Ok(())
    }

    fn configure(&self) -> anyhow::Result<()> {
        let settings = format!(
            "# Written by parselog at every start of the server.\n\
             listen_addresses = ''\n\
             port = 5432\n\
             unix_socket_directories = '{}'\n\
             unix_socket_permissions = 0700\n\
             max_connections = 200\n\
             shared_buffers = 32MB\n\
             max_wal_size = 256MB\n\
             jit = off\n\
             timezone = 'UTC'\n\
             log_timezone = 'UTC'\n",
            self.folders.socket_dir().display()
        );
        let path = self.folders.settings();
        fs::write(&path, settings)
            .and_then(|()| fs::set_permissions(&path, Permissions::from_mode(0o644)))
            .with_context(|| format!("failed to write {}", path.display()))
    }

    /// Starts the server in the background and returns its process id.
    ///
    /// The shell in between makes it an orphan, so that a dead server is not our zombie, and its own
    /// process group keeps the terminal's Ctrl-C from it.
    fn launch(&self) -> anyhow::Result<Option<Pid>> {
        self.clear_stale_lock_files();
        let log = self.folders.server_log();
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("failed to open {}", log.display()))?;
        let mut shell = self.owner.command(Path::new("/bin/sh"));
        shell
            .args(["-c", "\"$0\" -D \"$1\" >&2 & echo $!"])
            .arg(self.binaries.path("postgres"))
            .arg(self.folders.data())
            .stderr(log)
            .process_group(0);
        let printed = shell.output().context("failed to start the embedded database")?.stdout;
        Ok(String::from_utf8_lossy(&printed)
            .trim()
            .parse()
            .ok()
            .filter(|pid| *pid > 0)
            .and_then(Pid::from_raw))
    }

    /// The server believes any process of its user that has the id in its two lock files, be it a
    /// zombie or, after a container restart, a stranger. Where we can tell, we do. A server whose
    /// remains still use the data folder is noticed by its shared memory, with or without them.
    fn clear_stale_lock_files(&self) {
        if cfg!(target_os = "linux") && postmaster(self.folders).is_none() {
            let _ = fs::remove_file(self.folders.data().join("postmaster.pid"));
            let _ = fs::remove_file(self.folders.socket_dir().join(".s.PGSQL.5432.lock"));
        }
    }

    /// Sets a large log aside, and returns where this start's part begins.
    fn rotate_log(&self) -> usize {
        let log = self.folders.server_log();
        let length = fs::metadata(&log).map_or(0, |found| found.len());
        if length > LOG_LIMIT && fs::rename(&log, log.with_extension("log.old")).is_ok() {
            return 0;
        }
        usize::try_from(length).unwrap_or(0)
    }

    fn last_words(&self, log_start: usize) -> String {
        let log = self.folders.server_log();
        let bytes = fs::read(&log).unwrap_or_default();
        let said = String::from_utf8_lossy(bytes.get(log_start..).unwrap_or_default()).into_owned();
        let line = last_line(&said).unwrap_or("it said nothing");
        format!("{line} (its log: {})", log.display())
    }
}

/// Runs a tool to its end; a failure carries the tool's own last line.
fn run(command: &mut Command) -> anyhow::Result<Output> {
    let program = PathBuf::from(command.get_program());
    let output = command.output().with_context(|| format!("failed to run {}", program.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        bail!("{} failed: {}", program.display(), last_line(&said).unwrap_or("it said nothing"));
    }
    Ok(output)
}

/// The line that says why: the last fatal one, else the last of all.
fn last_line(text: &str) -> Option<&str> {
    let fatal = |line: &&str| ["FATAL:", "PANIC:", "ERROR:", "error:"].iter().any(|word| line.contains(word));
    let mut lines = text.lines().rev().map(str::trim).filter(|line| !line.is_empty());
    lines.clone().find(fatal).or_else(|| lines.next())
}
