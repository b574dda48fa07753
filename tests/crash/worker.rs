//! The real program in a world: workers that are killed, stopped and left alone.

use std::fs::{self, OpenOptions};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::disk::on_a_disk;
use crate::world::World;

const PROGRAM: &str = env!("CARGO_BIN_EXE_parselog");

/// A worker process; killed when dropped.
pub(crate) struct Worker {
    child: Child,
    pub(crate) name: String,
}

impl World {
    /// Starts a worker; `fault` is where it kills itself, as `name:n`.
    pub(crate) fn worker(&mut self, fault: Option<&str>, extra: &[(&str, &str)]) -> Worker {
        self.start(faulty(Command::new(PROGRAM), fault), extra)
    }

    /// Starts a worker whose spool is on the disk that `mount` mounts; see [`on_a_disk`].
    pub(crate) fn worker_on_a_disk(
        &mut self,
        mount: &str,
        fault: Option<&str>,
        extra: &[(&str, &str)],
    ) -> Worker {
        self.start(faulty(on_a_disk(&self.home().join("spool"), mount, PROGRAM), fault), extra)
    }

    /// A command that a person gives; `fault` is where it kills itself.
    pub(crate) fn command(&self, fault: Option<&str>, arguments: &[&str]) -> Command {
        let mut command = faulty(Command::new(PROGRAM), fault);
        command.args(arguments).envs(self.environment()).env("USER", "ann").stdin(Stdio::null());
        command
    }

    fn start(&mut self, mut command: Command, extra: &[(&str, &str)]) -> Worker {
        let name = self.next_name();
        let log = OpenOptions::new().append(true).create(true).open(self.home().join("worker.log")).unwrap();
        command
            .arg("worker")
            .envs(self.environment())
            .env("PARSELOG_TEST_ACKS", self.acks())
            .env("PARSELOG_WORKER_NAME", &name)
            .env("PARSELOG_LEASE", "10s")
            .env("PARSELOG_POLL", "50ms")
            .env("PARSELOG_SWEEP", "100ms")
            .env("PARSELOG_SLOTS", "3")
            // They have kills of their own.
            .env("PARSELOG_PROBLEM_FILES", "off")
            .envs(extra.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        Worker { child: command.spawn().unwrap(), name }
    }

    /// The global log of all workers so far.
    pub(crate) fn worker_log(&self) -> String {
        fs::read_to_string(self.home().join("worker.log")).unwrap_or_default()
    }

    /// Whether the worker has said that it started.
    pub(crate) fn says(&self, worker: &Worker) -> bool {
        let log = self.worker_log();
        let name = format!("worker={} ", worker.name);
        log.lines().any(|line| line.contains("worker started") && line.contains(&name))
    }
}

impl Worker {
    pub(crate) fn poll(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// The process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it was stopped by SIGSTOP.
    pub(crate) fn is_stopped(&self) -> bool {
        is_stopped(self.child.id())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        // It may have ended by itself a moment ago.
        let _ = kill_process(Pid::from_child(&self.child), signal);
        if signal == Signal::CONT {
            // A point stops a parse process together with its worker.
            for process in self.parse_processes() {
                let _ = kill_process(process, signal);
            }
        }
    }

    /// Its parse processes that are there now.
    pub(crate) fn parse_processes(&self) -> Vec<Pid> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id())).into_iter().flatten().flatten();
        let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
        let children: Vec<String> = lists.collect();
        let pids = children.iter().flat_map(|list| list.split_whitespace());
        pids.filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
    }

    /// Stops it with its parse processes, as a machine that is cut off stands still for all others.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
        for process in self.parse_processes() {
            let _ = kill_process(process, Signal::STOP);
        }
    }

    pub(crate) fn stop(&mut self, signal: Signal) -> ExitStatus {
        self.signal(signal);
        self.child.wait().unwrap()
    }

    /// Waits until it dies by its fault point; false when it does not in this time, and then it is
    /// killed anyway.
    pub(crate) async fn dies_within(&mut self, patience: Duration) -> bool {
        let began = Instant::now();
        while began.elapsed() < patience {
            if let Some(status) = self.poll() {
                assert_eq!(status.signal(), Some(9), "the worker ended by itself: {status}");
                return true;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        self.stop(Signal::KILL);
        false
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a process was stopped by SIGSTOP.
pub(crate) fn is_stopped(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T'))
}

/// The program, which dies where `fault` says, and knows of no bucket but that of its world.
fn faulty(mut command: Command, fault: Option<&str>) -> Command {
    command.env_remove("PARSELOG_FAULT").envs(fault.map(|fault| ("PARSELOG_FAULT", fault)));
    command.env_remove("PARSELOG_BUCKET");
    command
}
