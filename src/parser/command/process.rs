//! The processes of an external parser: started as one group, and ended as one.
//!
//! On Linux, a child that left the group (`setsid`, a daemon) is found by the run id in its inherited
//! environment, or, if it dropped that too, by the run's output that it holds; elsewhere it escapes.

#[cfg(target_os = "linux")]
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, getpid, kill_process, kill_process_group, waitid};

use crate::ids::RunId;
#[cfg(target_os = "linux")]
use crate::record::STREAMS;

const POLL: Duration = Duration::from_millis(10);
/// Time for killed processes to vanish; only one that hangs in the kernel needs it.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// Marks a process of a run's parser: a variable that begins so, followed by the run's id.
#[cfg(target_os = "linux")]
const MARK: &[u8] = b"PARSELOG_RUN_ID=";

/// A program and all that it started. Dropping it kills the processes that still live.
pub(super) struct Group {
    child: Child,
    leader: Pid,
    run: RunId,
    status: Option<ExitStatus>,
}

/// Who can write to a run's output.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Writers {
    /// Processes of the group, or with the run's mark.
    pub(super) known: bool,
    /// Other processes, known only by the run's output that they hold.
    pub(super) escaped: bool,
}

impl Group {
    /// Starts the program as the leader of a group of its own.
    pub(super) fn spawn(command: &mut Command, run: RunId) -> io::Result<Self> {
        let child = command.process_group(0).spawn()?;
        let leader = Pid::from_child(&child);
        Ok(Self { child, leader, run, status: None })
    }

    /// The process that leads the group.
    pub(super) fn leader(&self) -> Pid {
        self.leader
    }

    /// The run whose parser it is.
    pub(super) fn run(&self) -> RunId {
        self.run
    }

    /// Whether the program itself has ended. It stays a zombie, so that no other group gets its id.
    pub(super) fn has_exited(&self) -> bool {
        let peek = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(waitid(WaitId::Pid(self.leader), peek), Ok(None) | Err(rustix::io::Errno::INTR))
    }

    /// Who can still write to the run's output. Where only the leader is visible, it alone counts.
    pub(super) fn writers(&self) -> Writers {
        #[cfg(target_os = "linux")]
        let writers = {
            let (mut known, mut escaped) = (false, false);
            for pid in writers_of(self.run) {
                let is_known = live_group(pid) == Some(Some(self.leader)) || run_of(pid) == Some(self.run);
                known |= is_known;
                escaped |= !is_known;
            }
            Writers { known, escaped }
        };
        #[cfg(not(target_os = "linux"))]
        let writers = Writers { known: !self.has_exited(), escaped: false };
        writers
    }

    /// Ends the processes that still live: asks, waits at most `grace`, then kills. Returns whether any
    /// lived.
    pub(super) fn end(&self, grace: Duration) -> bool {
        let mut found = false;
        for (signal, patience) in [(Signal::TERM, grace), (Signal::KILL, KILL_PATIENCE)] {
            let deadline = Instant::now() + patience;
            let mut survivors = self.survivors();
            found |= !survivors.is_empty();
            self.signal(&survivors, signal);
            while !survivors.is_empty() && Instant::now() < deadline {
                thread::sleep(POLL);
                survivors = self.survivors();
                if signal == Signal::KILL {
                    self.signal(&survivors, signal); // One may have been born in between.
                }
            }
            if survivors.is_empty() {
                // Where only the leader is visible, this ends the rest of its group.
                let _ = kill_process_group(self.leader, Signal::KILL);
                return found;
            }
        }
        tracing::error!("a process of the parser could not be ended");
        found
    }

    /// Collects the program's exit status, after [`Self::end`].
    pub(super) fn reap(&mut self) -> io::Result<ExitStatus> {
        let deadline = Instant::now() + KILL_PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                self.status = Some(status);
                return Ok(status);
            }
            if Instant::now() > deadline {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the process does not end"));
            }
            thread::sleep(POLL);
        }
    }

    fn signal(&self, survivors: &[Pid], signal: Signal) {
        // An error means that the process is gone already.
        let _ = kill_process_group(self.leader, signal);
        for pid in survivors.iter().filter(|pid| **pid != self.leader) {
            let _ = kill_process(*pid, signal);
        }
    }

    /// The living processes of the group, and those elsewhere that carry the run's mark or hold its output.
    #[cfg(target_os = "linux")]
    fn survivors(&self) -> Vec<Pid> {
        let is_ours = |pid| run_of(pid) == Some(self.run) || writes_to(pid, &[self.run]);
        living(|pid, group| group == Some(self.leader) || is_ours(pid))
    }

    #[cfg(not(target_os = "linux"))]
    fn survivors(&self) -> Vec<Pid> {
        if self.has_exited() { Vec::new() } else { vec![self.leader] }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.status.is_none() {
            self.end(Duration::ZERO);
            let _ = self.reap();
        }
    }
}

/// Kills the external parsers that still run although their runs are over; the error is a process that did
/// not end. Only Linux shows the run of a process; elsewhere this does nothing.
#[cfg(target_os = "linux")]
pub(super) fn end_orphans(runs: &[RunId]) -> Result<(), Pid> {
    let is_orphan =
        |pid| pid != getpid() && (run_of(pid).is_some_and(|run| runs.contains(&run)) || writes_to(pid, runs));
    let deadline = Instant::now() + KILL_PATIENCE;
    loop {
        let orphans = living(|pid, _| is_orphan(pid));
        let Some(first) = orphans.first() else { return Ok(()) };
        if Instant::now() > deadline {
            return Err(*first);
        }
        for pid in &orphans {
            tracing::warn!(pid = pid.as_raw_nonzero().get(), "ending what a dead worker's parser left");
            let _ = kill_process(*pid, Signal::KILL);
        }
        thread::sleep(POLL);
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn end_orphans(_: &[RunId]) -> Result<(), Pid> {
    Ok(())
}

/// The living processes that can write to a run's output.
#[cfg(target_os = "linux")]
pub(super) fn writers_of(run: RunId) -> Vec<Pid> {
    living(|pid, _| writes_to(pid, &[run]))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn writers_of(_: RunId) -> Vec<Pid> {
    Vec::new()
}

/// How a program ended, in words.
pub(super) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("the parser exited with code {code}"),
        (None, Some(signal)) => {
            let name = match signal {
                6 => " (SIGABRT)",
                9 => " (SIGKILL: by hand, or for lack of memory)",
                11 => " (SIGSEGV)",
                13 => " (SIGPIPE)",
                15 => " (SIGTERM)",
                _ => "",
            };
            format!("the parser was killed by signal {signal}{name}")
        }
        (None, None) => "the parser ended in an unknown way".to_owned(),
    }
}

/// The living processes that `fits` chooses by id and group.
#[cfg(target_os = "linux")]
fn living(fits: impl Fn(Pid, Option<Pid>) -> bool) -> Vec<Pid> {
    let numbers = fs::read_dir("/proc").into_iter().flatten().flatten();
    numbers
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw))
        .filter(|pid| live_group(*pid).is_some_and(|group| fits(*pid, group)))
        .collect()
}

/// The group of a living process; a zombie does not count as alive. The group is 0 if its leader is outside
/// of our process namespace.
#[cfg(target_os = "linux")]
fn live_group(pid: Pid) -> Option<Option<Pid>> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // `pid (name) state ppid pgrp …`; the name may hold blanks and parentheses.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    // A process that is just going has the group -1.
    let group = Pid::from_raw(fields.nth(1)?.parse().ok().filter(|group| *group >= 0)?);
    (!matches!(state, "Z" | "X")).then_some(group)
}

/// Whether a process has the output of one of the runs open for writing; the files are named by the run.
/// Processes of our own program do not count: a child forked for another run has our descriptors until it
/// becomes that run's program.
#[cfg(target_os = "linux")]
fn writes_to(pid: Pid, runs: &[RunId]) -> bool {
    let folder = format!("/proc/{}/fd", pid.as_raw_nonzero());
    let holds = fs::read_dir(folder).into_iter().flatten().flatten().any(|descriptor| {
        let link = descriptor.path();
        let Some(run) = fs::read_link(&link).ok().and_then(|target| output_of(target.to_str()?)) else {
            return false;
        };
        // The permissions of the link are those of the descriptor.
        runs.contains(&run) && link.symlink_metadata().is_ok_and(|found| found.mode() & 0o200 != 0)
    });
    holds && pid != getpid() && !is_of_our_program(pid)
}

/// The run whose output this is, by the path that the system shows for it.
#[cfg(target_os = "linux")]
fn output_of(path: &str) -> Option<RunId> {
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    let name = path.strip_prefix("/memfd:").unwrap_or_else(|| path.rsplit('/').next().unwrap_or(path));
    let (run, ending) = name.split_once('.')?;
    STREAMS.contains(&ending).then(|| run.parse().ok())?
}

#[cfg(target_os = "linux")]
fn is_of_our_program(pid: Pid) -> bool {
    let program = |process: &str| fs::read_link(format!("/proc/{process}/exe")).ok();
    program("self").is_some_and(|ours| program(&pid.as_raw_nonzero().to_string()) == Some(ours))
}

/// The run to whose parser a process belongs, by the variable that it inherited.
#[cfg(target_os = "linux")]
fn run_of(pid: Pid) -> Option<RunId> {
    let environment = fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).ok()?;
    let run = environment.split(|byte| *byte == 0).find_map(|variable| variable.strip_prefix(MARK))?;
    str::from_utf8(run).ok()?.parse().ok()
}
