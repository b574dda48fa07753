//! No part of a worker dies in silence.

use std::fs::{self, File};
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Desk, PATIENCE, sample};
use crate::turn;

/// A worker in which a helper panics; killed when dropped.
struct Worker<'a> {
    desk: &'a Desk,
    child: Child,
}

impl<'a> Worker<'a> {
    fn start(desk: &'a Desk, fault: &str, more: &[&str]) -> Self {
        let arguments = ["worker", "--lease", "3s", "--shutdown-grace", "1h", "--poll", "100ms"];
        let mut command = desk.command(&[&arguments[..], more].concat());
        let log = File::create(desk.home.path().join("worker.log")).unwrap();
        let child = command.env("PARSELOG_FAULT_HELPER", fault).stderr(log).spawn().unwrap();
        Self { desk, child }
    }

    fn says(&self, what: &str) -> bool {
        self.log().contains(what)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.desk.home.path().join("worker.log")).unwrap()
    }

    fn end(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "the worker goes on: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn count(desk: &Desk, status: &str) -> i64 {
    sqlx::query_scalar("select count(*) from parse_file_meta where status = $1")
        .bind(status)
        .fetch_one(&desk.db.pool)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_death_of_a_vital_helper_hands_the_runs_back_and_ends_the_worker_with_a_code_of_its_own() {
    let _turn = turn().await;
    for helper in ["beat", "sync"] {
        let desk = Desk::new().await;
        desk.ok(&["submit", &sample("tanf-active-2021-q1.txt")]);
        let endless = ["--parser-for", "*/*=sleep 1000"];
        let mut worker = Worker::start(&desk, &format!("{helper}:4"), &endless);
        let status = worker.end();
        assert_eq!(status.code(), Some(5), "{helper}: {}", worker.log());
        assert!(worker.says(&format!("the helper '{helper}' died")), "{}", worker.log());
        // Handed back, or never begun on a slow machine; but nothing waits for its lease.
        assert_eq!((count(&desk, "running").await, count(&desk, "queued").await), (0, 1), "{helper}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_other_helper_that_panics_starts_again_and_the_worker_goes_on() {
    let _turn = turn().await;
    for helper in ["reap", "recover", "sweep", "problems", "batches", "ship", "listen"] {
        let desk = Desk::new().await;
        let mut worker = Worker::start(&desk, helper, &[]);
        let began = Instant::now();
        while !worker.says(&format!("the helper '{helper}' died; it starts again")) {
            assert!(began.elapsed() < PATIENCE, "{helper} died in silence: {}", worker.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        desk.ok(&["submit", &sample("tanf-active-2021-q1.txt")]);
        while count(&desk, "success").await == 0 {
            assert!(began.elapsed() < PATIENCE, "without {helper} nothing is parsed: {}", worker.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        kill_process(Pid::from_child(&worker.child), Signal::TERM).unwrap();
        assert!(worker.end().success(), "{}", worker.log());
    }
}
