//! The embedded database stays for a while after its last use, whatever is killed, and then nothing of
//! it runs. These tests run the program itself.

use std::fs;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::{Home, wait_until};

const LONG: &str = "10m";
const SHORT: &str = "1s";

impl Home {
    fn command(&self, idle: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_parselog"));
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("PARSELOG_") || name == "DATABASE_URL") {
                command.env_remove(name);
            }
        }
        command.args(arguments).env("PARSELOG_HOME", self.path()).env("PARSELOG_DB_IDLE", idle);
        command.stdin(Stdio::null());
        command
    }

    fn ok(&self, idle: &str, arguments: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.command(idle, arguments).output().unwrap();
        assert!(status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap()
    }

    fn keeper(&self) -> Option<Pid> {
        let text = fs::read_to_string(self.path().join("postgres/keeper")).ok()?;
        Pid::from_raw(text.split(' ').next()?.parse().ok()?)
    }

    fn relay(&self) -> Option<Pid> {
        let all = self.processes();
        all.iter().find(|(_, words)| words.starts_with("/bin/sh")).map(|(pid, _)| *pid)
    }

    /// Keeper, relay and server. They must be kept for LONG, or be in use: else they may be gone meanwhile.
    fn all_three(&self) -> [Pid; 3] {
        let mut all = None;
        wait_until(|| {
            // One look: what is seen at once is not looked for again.
            all = self.keeper().zip(self.relay()).zip(self.postmaster());
            all.is_some()
        });
        let ((keeper, relay), server) = all.expect("the wait has ended");
        [keeper, relay, server]
    }
}

/// Kills a process that was there; one that ended meanwhile needs it no more.
fn kill(process: Pid) {
    let _ = kill_process(process, Signal::KILL);
}

#[test]
fn a_second_command_finds_the_server_running_and_stop_ends_all_of_it() {
    let home = Home::new();
    assert_eq!(home.ok(LONG, &["db", "stop"]), "not running\n");
    assert_eq!(home.ok(LONG, &["db", "status"]), "not running\n");
    home.ok(LONG, &["runs"]);
    let first = home.all_three();
    home.ok(LONG, &["runs"]);
    assert_eq!(home.all_three(), first, "something was started again");
    let status = home.ok(LONG, &["db", "status"]);
    assert!(status.contains("not in use; it stops 10m after") && status.contains("postgres:///"), "{status}");
    assert_eq!(home.ok(LONG, &["db", "stop"]), "stopped\n");
    assert_eq!(home.processes(), [], "stop returned before the end");
    home.ok(LONG, &["runs"]);
    home.ok(LONG, &["db", "stop"]);
}

#[test]
fn what_is_used_is_not_stopped() {
    let home = Home::new();
    let mut worker = home.command(SHORT, &["worker", "--poll", "1s"]).stderr(Stdio::null()).spawn().unwrap();
    wait_until(|| home.ok(SHORT, &["db", "status"]).contains(", in use;"));
    let said = home.command(SHORT, &["db", "stop"]).output().unwrap();
    let stderr = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.code() == Some(1) && stderr.contains("perhaps a worker"), "{stderr}");
    let server = home.postmaster().unwrap();
    thread::sleep(Duration::from_millis(2500)); // Longer than it stays unused.
    assert_eq!(home.postmaster(), Some(server), "the server of a worker was stopped");
    kill_process(Pid::from_child(&worker), Signal::KILL).unwrap();
    worker.wait().unwrap();
    wait_until(|| home.processes().is_empty());
}

#[test]
fn each_use_prolongs_its_stay_and_after_it_nothing_runs() {
    let home = Home::new();
    home.ok(LONG, &["runs"]);
    let server = home.postmaster();
    assert!(server.is_some());
    home.ok(SHORT, &["runs"]); // The last use says how long.
    wait_until(|| home.processes().is_empty());
}

#[test]
fn whichever_process_is_killed_the_next_command_works_and_in_the_end_nothing_runs() {
    let home = Home::new();
    for victim in 0..3 {
        for again in [true, false] {
            home.ok(LONG, &["runs"]);
            let victim = home.all_three()[victim];
            if again {
                kill(victim);
            }
            home.ok(SHORT, &["runs"]); // The last use says how long.
            if !again {
                kill(victim);
            }
            wait_until(|| home.processes().is_empty());
        }
    }
    home.ok(LONG, &["runs"]);
    let all = home.all_three();
    for victim in all {
        kill(victim);
    }
    home.ok(LONG, &["runs"]);
    let now = home.all_three();
    assert!(all.iter().all(|before| !now.contains(before)), "{all:?} {now:?}");
    home.ok(SHORT, &["runs"]);
    wait_until(|| home.processes().is_empty());
}

#[test]
fn a_command_that_is_killed_while_the_server_starts_leaves_nothing() {
    let home = Home::new();
    for after in [5, 60, 150, 300, 600, 1200, 2400] {
        let mut command = home.command(SHORT, &["runs"]);
        let mut command = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_millis(after));
        let _ = command.kill();
        command.wait().unwrap();
    }
    home.ok(SHORT, &["runs"]);
    wait_until(|| home.processes().is_empty());
}

#[test]
fn what_stays_holds_no_terminal_no_descriptor_and_no_lock_of_the_command() {
    let home = Home::new();
    let lock = home.path().join("callers-lock");
    let script = "exec 9>\"$0\"; flock -n 9; exec 123<\"$0\"; exec \"$@\"";
    let command = home.command(LONG, &["runs"]);
    let mut shell = Command::new("/bin/bash");
    shell.args(["-c", script]).arg(&lock).arg(command.get_program()).args(command.get_args());
    shell.env("PARSELOG_HOME", home.path()).env("PARSELOG_DB_IDLE", LONG).env_remove("DATABASE_URL");
    let output = shell.stdin(Stdio::null()).output().unwrap(); // Ends only if nobody keeps its pipes.
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::File::open(&lock).unwrap().try_lock().expect("the caller's lock is free");
    // Session and terminal. A session is 0 where its leader is out of sight; getsid takes that for an error.
    let session = |of: &str| -> [String; 2] {
        let stat = fs::read_to_string(format!("{of}/stat")).unwrap();
        let mut fields = stat.rsplit_once(')').unwrap().1.split_whitespace().skip(3).map(ToOwned::to_owned);
        [fields.next().unwrap(), fields.next().unwrap()]
    };
    let [own, _] = session("/proc/self");
    for pid in home.all_three() {
        let of = format!("/proc/{}", pid.as_raw_nonzero());
        let held: Vec<_> = fs::read_dir(format!("{of}/fd")).unwrap().flatten().collect();
        let paths = held.iter().filter_map(|entry| fs::read_link(entry.path()).ok());
        assert!(paths.into_iter().all(|path| path != lock), "{of} holds the caller's file");
        let [session, terminal] = session(&of);
        assert_ne!(session, own, "{of} is in our session");
        assert_eq!(terminal, "0", "{of} has a terminal");
    }
    home.ok(LONG, &["db", "stop"]);
}

#[test]
fn a_keeper_of_another_version_makes_room_unless_it_is_in_use() {
    let home = Home::new();
    home.ok(LONG, &["runs"]);
    let old = home.all_three();
    let pretend = |pid: Pid| {
        fs::write(home.path().join("postgres/keeper"), format!("{} 0.0.0\n", pid.as_raw_nonzero())).unwrap();
    };
    pretend(old[0]);
    home.ok(LONG, &["runs"]);
    let new = home.all_three();
    assert!(old.iter().all(|before| !new.contains(before)), "{old:?} {new:?}");

    let mut worker = home.command(LONG, &["worker"]).stderr(Stdio::null()).spawn().unwrap();
    wait_until(|| home.ok(LONG, &["db", "status"]).contains(", in use;"));
    pretend(new[0]);
    home.ok(SHORT, &["runs"]);
    assert_eq!(home.all_three(), new, "a server in use was taken away");
    kill_process(Pid::from_child(&worker), Signal::TERM).unwrap();
    assert!(worker.wait().unwrap().success());
    wait_until(|| home.processes().is_empty());
}

#[test]
fn a_program_that_was_removed_leaves_a_keeper_that_ends_all_the_same() {
    let home = Home::new();
    let copy = home.path().join("parselog");
    // By another process: a program that this one writes can't be started while a child of another test has
    // its file open.
    assert!(Command::new("cp").arg(env!("CARGO_BIN_EXE_parselog")).arg(&copy).status().unwrap().success());
    let mut command = Command::new(&copy);
    command.args(["runs"]).env("PARSELOG_HOME", home.path()).env("PARSELOG_DB_IDLE", LONG);
    assert!(command.env_remove("DATABASE_URL").status().unwrap().success());
    let all = home.all_three();
    fs::remove_file(copy).unwrap();
    home.ok(LONG, &["runs"]);
    assert_eq!(home.all_three(), all);
    home.ok(SHORT, &["runs"]);
    wait_until(|| home.processes().is_empty());
}

#[test]
fn a_home_that_is_removed_takes_its_server_with_it() {
    let home = Home::new();
    home.ok(LONG, &["runs"]);
    home.all_three();
    // Once more where the server made a file meanwhile.
    while home.path().join("postgres").exists() {
        let _ = fs::remove_dir_all(home.path().join("postgres"));
    }
    wait_until(|| home.processes().is_empty());
}

#[test]
fn a_worker_says_nothing_of_the_database_at_its_end_and_gets_a_killed_server_back() {
    let home = Home::new();
    home.ok(SHORT, &["submit", &crate::support::sample("tanf-active-2021-q1.txt")]);
    let output = home.command("0s", &["worker", "--drain"]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(!stderr.contains("WARN") && !stderr.contains("on-release"), "{stderr}");

    let log = home.path().join("worker.log");
    let mut worker = home.command(SHORT, &["worker", "--poll", "1s"]);
    let mut worker = worker.stderr(fs::File::create(&log).unwrap()).spawn().unwrap();
    wait_until(|| fs::read_to_string(&log).unwrap().contains("worker started"));
    let server = home.postmaster().unwrap();
    kill_process(server, Signal::KILL).unwrap();
    wait_until(|| home.postmaster().is_some_and(|now| now != server));
    home.ok(SHORT, &["submit", &crate::support::sample("tanf-active-2021-q1.txt")]);
    wait_until(|| home.ok(SHORT, &["runs", "--status", "success", "--json"]).lines().count() == 2);
    kill_process(Pid::from_child(&worker), Signal::TERM).unwrap();
    assert!(worker.wait().unwrap().success());
    wait_until(|| home.processes().is_empty());
}
