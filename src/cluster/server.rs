//! The server of one cluster: made, started, asked whether it answers, and stopped.
//!
//! The caller holds the start lock. `pg_ctl` is not used: it passes paths through a shell, and its
//! idea of "running" is a process id that may belong to somebody else after a reboot or a kill.

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::binaries::Binaries;
use super::owner::Owner;
use super::place::Place;

/// Longest wait for a server that says it is starting; crash recovery takes part of it.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// A live server that answers nothing for this long has lost its socket, and is started anew.
const SILENCE_DEADLINE: Duration = Duration::from_secs(5);
/// A server may fail to start while the remains of a killed one are still dying.
const LAUNCHES: u32 = 5;
const LAUNCH_PAUSE: Duration = Duration::from_millis(300);
const POLL: Duration = Duration::from_millis(20);
const FAST_STOP: Duration = Duration::from_secs(20);
const HARD_STOP: Duration = Duration::from_secs(10);
/// Larger server logs are put aside at the next start; one old one is kept.
const LOG_LIMIT: u64 = 4 << 20;

/// The server of one cluster, running or not.
#[derive(Debug)]
pub(super) struct Server {
    place: Place,
    owner: Owner,
    binaries: Binaries,
}

enum Answer {
    Ready,
    Starting,
    Silent,
}

impl Server {
    /// Picks the binaries that can run this cluster.
    pub(super) fn new(place: Place, owner: Owner) -> anyhow::Result<Self> {
        let made_by = fs::read_to_string(place.data().join("PG_VERSION")).ok();
        let binaries = Binaries::find(made_by.and_then(|version| version.trim().parse().ok()))?;
        Ok(Self { place, owner, binaries })
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// The port only names the socket file; it is in the URL because `PGPORT` could say otherwise.
    pub(super) fn url(&self, database: &str) -> String {
        format!("postgres:///{database}?host={}&port=5432&user=postgres", self.place.socket_dir().display())
    }

    /// Makes the cluster where there is none, starts it where it does not run, waits until it answers.
    pub(super) fn ensure_running(&self) -> anyhow::Result<()> {
        if matches!(self.ask()?, Answer::Ready) {
            return Ok(());
        }
        if !self.place.data().exists() {
            self.create()?;
        }
        self.configure()?;
        let log_start = self.rotate_log();
        let deadline = Instant::now() + START_DEADLINE;
        let mut silent_since = Instant::now();
        let mut launched: Option<Pid> = None;
        let mut launches = 0;
        while Instant::now() < deadline {
            match self.ask()? {
                Answer::Ready => return Ok(()),
                Answer::Starting => silent_since = Instant::now(),
                Answer::Silent if launched.is_some_and(is_alive) || self.postmaster().is_some() => {
                    if silent_since.elapsed() > SILENCE_DEADLINE {
                        self.stop()?;
                    }
                }
                Answer::Silent if launches == LAUNCHES => break,
                Answer::Silent => {
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

    /// Makes the database `parselog` where there is none.
    pub(super) fn ensure_database(&self) -> anyhow::Result<()> {
        if self.psql("select 1 from pg_database where datname = 'parselog'")?.is_empty() {
            self.psql("create database parselog")?;
        }
        Ok(())
    }

    /// Stops the server: sessions are cut off, nothing committed is lost. Fine when it does not run.
    pub(super) fn stop(&self) -> anyhow::Result<()> {
        let Some(pid) = self.postmaster() else { return Ok(()) };
        for (signal, patience) in [(Signal::INT, FAST_STOP), (Signal::QUIT, HARD_STOP)] {
            let _ = kill_process(pid, signal); // An error means that it is gone already.
            let deadline = Instant::now() + patience;
            while Instant::now() < deadline {
                if self.postmaster() != Some(pid) && !is_alive(pid) {
                    return Ok(());
                }
                thread::sleep(POLL);
            }
        }
        bail!("the embedded database (process {}) does not stop", pid.as_raw_nonzero())
    }

    fn create(&self) -> anyhow::Result<()> {
        self.owner.check_name()?;
        let fresh = self.place.new_data(&self.owner)?;
        let mut initdb = self.owner.command(&self.binaries.path("initdb"));
        initdb.args(["-U", "postgres", "-A", "trust", "--no-locale", "-E", "UTF8", "-D"]).arg(&fresh);
        run(&mut initdb).context("failed to make the embedded database")?;
        // Written by the server's user: root does not write in a folder that another user owns.
        let mut include = self.owner.command(Path::new("/bin/sh"));
        include
            .args(["-c", "echo \"include '../parselog.conf'\" >> \"$0\""])
            .arg(fresh.join("postgresql.conf"));
        run(&mut include).context("failed to configure the embedded database")?;
        fs::rename(&fresh, self.place.data()).context("failed to put the embedded database in place")
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
            self.place.socket_dir().display()
        );
        let path = self.place.settings();
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
        let log = self.place.server_log();
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("failed to open {}", log.display()))?;
        let mut shell = self.owner.command(Path::new("/bin/sh"));
        shell
            .args(["-c", "\"$0\" -D \"$1\" >&2 & echo $!"])
            .arg(self.binaries.path("postgres"))
            .arg(self.place.data())
            .stderr(log)
            .process_group(0);
        let printed = shell.output().context("failed to start the embedded database")?.stdout;
        Ok(String::from_utf8_lossy(&printed).trim().parse().ok().and_then(Pid::from_raw))
    }

    /// The server believes any process of its user that has the id in its two lock files, be it a
    /// zombie or, after a container restart, a stranger. Where we can tell, we do. A server whose
    /// remains still use the data folder is noticed by its shared memory, with or without them.
    fn clear_stale_lock_files(&self) {
        if cfg!(target_os = "linux") && self.postmaster().is_none() {
            let _ = fs::remove_file(self.place.data().join("postmaster.pid"));
            let _ = fs::remove_file(self.place.socket_dir().join(".s.PGSQL.5432.lock"));
        }
    }

    fn ask(&self) -> anyhow::Result<Answer> {
        let status =
            self.client("pg_isready").args(["-q", "-t", "3"]).status().context("failed to run pg_isready")?;
        Ok(match status.code() {
            Some(0) => Answer::Ready,
            Some(1) => Answer::Starting,
            _ => Answer::Silent,
        })
    }

    fn psql(&self, statement: &str) -> anyhow::Result<Vec<u8>> {
        let output = run(self.client("psql").args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", statement]))?;
        Ok(output.stdout)
    }

    fn client(&self, program: &str) -> Command {
        let mut command = self.owner.command(&self.binaries.path(program));
        command.args(["-p", "5432", "-U", "postgres", "-d", "postgres", "-h"]).arg(self.place.socket_dir());
        command
    }

    /// The process that serves this cluster now, if one does.
    fn postmaster(&self) -> Option<Pid> {
        let pid = self.recorded_pid()?;
        let serves =
            if cfg!(target_os = "linux") { self.is_server(&command_line(pid)?) } else { is_alive(pid) };
        serves.then_some(pid)
    }

    /// Whether a process that was started with these words is this cluster's server.
    fn is_server(&self, command_line: &[u8]) -> bool {
        command_line.split(|byte| *byte == 0).any(|word| word == self.place.data().as_os_str().as_bytes())
    }

    fn recorded_pid(&self) -> Option<Pid> {
        let text = fs::read_to_string(self.place.data().join("postmaster.pid")).ok()?;
        Pid::from_raw(text.lines().next()?.trim().parse().ok().filter(|pid| *pid > 0)?)
    }

    /// Puts a large log aside, and returns where this start's part begins.
    fn rotate_log(&self) -> usize {
        let log = self.place.server_log();
        let length = fs::metadata(&log).map_or(0, |found| found.len());
        if length > LOG_LIMIT && fs::rename(&log, log.with_extension("log.old")).is_ok() {
            return 0;
        }
        usize::try_from(length).unwrap_or(0)
    }

    fn last_words(&self, log_start: usize) -> String {
        let log = self.place.server_log();
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
    let fatal = |line: &&str| ["FATAL:", "PANIC:", "error:"].iter().any(|word| line.contains(word));
    let mut lines = text.lines().rev().map(str::trim).filter(|line| !line.is_empty());
    lines.clone().find(fatal).or_else(|| lines.next())
}

/// Whether a process lives; a zombie does not.
fn is_alive(pid: Pid) -> bool {
    if cfg!(target_os = "linux") { command_line(pid).is_some() } else { test_kill_process(pid).is_ok() }
}

/// The words a process was started with (Linux only); `None` for a dead one. They are readable for
/// everybody, unlike its folder, which root in a container may not ask for.
fn command_line(pid: Pid) -> Option<Vec<u8>> {
    fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).ok().filter(|words| !words.is_empty())
}
