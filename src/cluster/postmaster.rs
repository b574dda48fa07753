//! The process that serves a cluster: which it is, and its end.
//!
//! `pg_ctl` is not used: its idea of "running" is a process id that may belong to somebody else after
//! a reboot or a kill.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::bail;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::folders::ClusterFolders;

const POLL: Duration = Duration::from_millis(20);
const FAST_STOP: Duration = Duration::from_secs(20);
const HARD_STOP: Duration = Duration::from_secs(10);

/// The process that serves this cluster now, if one does.
pub(super) fn postmaster(folders: &ClusterFolders) -> Option<Pid> {
    let pid = recorded_pid(folders)?;
    let serves = if cfg!(target_os = "linux") {
        is_server(&command_line(pid)?, folders)
    } else {
        test_kill_process(pid).is_ok()
    };
    serves.then_some(pid)
}

/// Stops the server: sessions are cut off, nothing committed is lost. Succeeds if it is not running.
/// Returns whether it did.
pub(super) fn stop(folders: &ClusterFolders) -> anyhow::Result<bool> {
    let Some(pid) = postmaster(folders) else { return Ok(false) };
    for (signal, patience) in [(Signal::INT, FAST_STOP), (Signal::QUIT, HARD_STOP)] {
        let _ = kill_process(pid, signal); // An error means that it is gone already.
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if postmaster(folders) != Some(pid) && !is_alive(pid) {
                return Ok(true);
            }
            thread::sleep(POLL);
        }
    }
    bail!("the embedded database (process {}) does not stop", pid.as_raw_nonzero())
}

/// Kills a server whose folder was removed: nothing is left to save.
pub(super) fn abandon(pid: Pid, folders: &ClusterFolders) {
    if command_line(pid).is_some_and(|words| is_server(&words, folders)) {
        let _ = kill_process(pid, Signal::QUIT);
    }
}

/// Whether a process lives; a zombie does not.
pub(super) fn is_alive(pid: Pid) -> bool {
    if cfg!(target_os = "linux") { command_line(pid).is_some() } else { test_kill_process(pid).is_ok() }
}

/// Whether a process that was started with these words is this cluster's server.
fn is_server(command_line: &[u8], folders: &ClusterFolders) -> bool {
    command_line.split(|byte| *byte == 0).any(|word| word == folders.data().as_os_str().as_bytes())
}

fn recorded_pid(folders: &ClusterFolders) -> Option<Pid> {
    let text = fs::read_to_string(folders.data().join("postmaster.pid")).ok()?;
    Pid::from_raw(text.lines().next()?.trim().parse().ok().filter(|pid| *pid > 0)?)
}

/// The words a process was started with (Linux only); `None` for a dead one. They are readable for
/// everybody, unlike its folder, which root in a container may not ask for.
fn command_line(pid: Pid) -> Option<Vec<u8>> {
    fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).ok().filter(|words| !words.is_empty())
}
