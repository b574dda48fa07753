//! `worker --drain` ends when nothing is left to do, and leaves nothing behind.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Desk, PATIENCE, Said, sample};

/// A place where a worker was killed in the middle of a run.
struct Killed {
    desk: Desk,
    embedded: bool,
    rule: String,
}

impl Killed {
    async fn at(embedded: bool) -> Self {
        let desk = Desk::new().await;
        // The server's user must reach it when the tests run as root.
        fs::set_permissions(desk.home.path(), Permissions::from_mode(0o755)).unwrap();
        let begun = desk.path("begun");
        let rule = format!("*/*=sh -c 'if [ -e {begun} ]; then exit 0; fi; touch {begun}; exec sleep 1000'");
        let killed = Self { desk, embedded, rule };
        killed.ok(&["submit", &sample("tanf-active-2021-q1.txt")]);
        let mut worker = killed.worker(&["--lease", "3s"]).spawn().unwrap();
        wait_for(|| fs::exists(&begun).unwrap(), "the parser never began");
        worker.kill().unwrap();
        worker.wait().unwrap();
        assert_eq!(killed.statuses(), ["running"]);
        assert_eq!(killed.spool().len(), 3, "the log, and the two files of the parser's output");
        killed
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.desk.command(arguments);
        if self.embedded {
            command.env_remove("DATABASE_URL");
        }
        command
    }

    fn worker(&self, more: &[&str]) -> Command {
        let arguments = ["worker", "--parser-for", self.rule.as_str()];
        self.command(&[&arguments[..], more].concat())
    }

    fn ok(&self, arguments: &[&str]) -> Said {
        let said = Said::of(self.command(arguments).output().unwrap());
        assert_eq!(said.code, 0, "{}{}", said.out, said.err);
        said
    }

    /// The states of all runs, the newest first.
    fn statuses(&self) -> Vec<String> {
        let runs = self.ok(&["runs", "--json"]).out;
        let runs = runs.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        runs.map(|run| run["status"].as_str().unwrap().to_owned()).collect()
    }

    fn spool(&self) -> Vec<String> {
        self.desk.files("spool")
    }

    fn lose_the_log(&self) {
        fs::remove_dir_all(self.desk.home.path().join("spool")).unwrap();
    }

    fn drain(&self) {
        // It trusts its connection after one lease, and keeps its own run on a machine that stands still for a while.
        let mut draining = self.worker(&["--drain", "--lease", "9s"]).spawn().unwrap();
        assert!(ended(&mut draining), "the drain does not end");
        assert!(draining.wait().unwrap().success());
        assert_eq!(self.statuses(), ["success", "crash"]);
        assert_eq!(self.spool(), [""; 0]);
    }
}

fn ended(child: &mut Child) -> bool {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if child.try_wait().unwrap().is_some() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = child.kill();
    let _ = child.wait();
    false
}

fn wait_for(condition: impl Fn() -> bool, otherwise: &str) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < PATIENCE, "{otherwise}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_after_a_kill_leaves_nothing_queued_running_or_in_the_spool() {
    Killed::at(false).await.drain();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_ends_a_run_of_which_only_the_lease_is_left_and_the_doctor_names_it_before() {
    let killed = Killed::at(false).await;
    killed.lose_the_log();
    sqlx::query("update parse_file_meta set lease_until = now() - interval '10 s' where status = 'running'")
        .execute(&killed.desk.db.pool)
        .await
        .unwrap();
    let said = Said::of(killed.command(&["doctor", "--json"]).output().unwrap());
    assert!(said.code == 1 && said.out.contains("lease-over"), "{}{}", said.out, said.err);
    killed.drain();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_with_the_embedded_database_ends_a_run_of_which_only_the_lease_is_left() {
    let killed = Killed::at(true).await;
    killed.lose_the_log();
    killed.drain();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_names_the_retry_for_which_it_does_not_wait() {
    let desk = Desk::new().await;
    desk.ok(&["submit", &sample("tanf-active-2021-q1.txt")]);
    let said = desk.ok(&["worker", "--drain", "--drain-wait", "1s", "--parser-for", "*/*=false"]);
    let runs = desk.ok(&["runs", "--json"]).out;
    let queued: Value = serde_json::from_str(runs.lines().next().unwrap()).unwrap();
    assert_eq!(queued["status"], "queued");
    let named = said
        .err
        .lines()
        .any(|line| line.contains("left to other workers") && line.contains(queued["id"].as_str().unwrap()));
    assert!(named, "{}", said.err);
}
