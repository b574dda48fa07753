//! An external parser does not go on beside the next attempt when its worker is dead.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use parselog::store::{self, RunFilter, RunStatus};
use rustix::process::{Pid, Signal, test_kill_process};

use crate::support::PATIENCE;
use crate::turn;
use crate::world::World;

/// Says who it is, then goes on for ever the first time, and ends at once the second time.
const PARSER: &str =
    "sh -c 'echo $$ >> \"$ACKS/pids\"; [ $(wc -l < \"$ACKS/pids\") -gt 1 ] || exec sleep 1000'";

#[tokio::test(flavor = "multi_thread")]
async fn the_parser_of_a_killed_worker_is_ended_before_the_next_attempt() {
    let _turn = turn().await;
    let mut world = World::in_folder().await;
    world.submit(1, 1, 0).await;
    let pids = world.acks().join("pids");
    let rule = format!("*/*={}", PARSER.replace("$ACKS", world.acks().to_str().unwrap()));
    let environment = [("PARSELOG_PARSERS", rule.as_str())];
    let mut worker = world.worker(None, &environment);
    let parser = first_pid(&pids).await;
    worker.stop(Signal::KILL);
    assert!(test_kill_process(parser).is_ok(), "it lives on");

    let mut worker = world.worker(None, &environment);
    let began = Instant::now();
    while world.unfinished().await > 0 {
        world.db.make_due().await;
        assert!(began.elapsed() < PATIENCE, "the second attempt does not end");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!lives(parser), "the first parser outlived the second attempt");
    worker.stop(Signal::TERM);
    let runs = store::find(&world.db.pool, &RunFilter::default()).await.unwrap();
    let statuses: Vec<_> = runs.iter().map(|run| run.status).collect();
    assert_eq!(statuses, [RunStatus::Success, RunStatus::Crash]);
}

/// The first attempt goes on for ever; the second says whether it met the first alive.
const WITNESS: &str = r#"sh -c 'cd $ACKS; if [ -e pids ]; then touch second; ! grep -q "^State:.[RSD]" "/proc/$(cat pids)/status" || touch met; else echo $$ > pids; exec sleep 1000; fi'"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_next_attempt_meets_no_parser_of_the_one_before_though_nobody_recovered_it() {
    let _turn = turn().await;
    let mut world = World::in_folder().await;
    world.submit(1, 1, 0).await;
    let pids = world.acks().join("pids");
    let rule = format!("*/*={}", WITNESS.replace("$ACKS", world.acks().to_str().unwrap()));
    let mut worker = world.worker(None, &[("PARSELOG_PARSERS", rule.as_str())]);
    let parser = first_pid(&pids).await;
    worker.stop(Signal::KILL);
    assert!(test_kill_process(parser).is_ok(), "it lives on");

    // A worker with a spool of its own finds nothing of the dead one; only the lease tells.
    let spool = world.home().join("another-spool");
    let mut worker = world
        .worker(None, &[("PARSELOG_PARSERS", rule.as_str()), ("PARSELOG_SPOOL", spool.to_str().unwrap())]);
    let began = Instant::now();
    while world.unfinished().await > 0 {
        world.let_time_pass(&worker.name).await;
        assert!(began.elapsed() < PATIENCE, "the second attempt does not end");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(world.acks().join("second").exists(), "there was no second attempt");
    assert!(!world.acks().join("met").exists(), "two parsers were at one file");
    assert!(!lives(parser));
    worker.stop(Signal::TERM);
}

async fn first_pid(file: &Path) -> Pid {
    let began = Instant::now();
    loop {
        let text = fs::read_to_string(file).unwrap_or_default();
        if text.ends_with('\n') {
            return Pid::from_raw(text.trim().parse().unwrap()).unwrap();
        }
        assert!(began.elapsed() < PATIENCE, "the parser never began");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Whether a process is there and no zombie: here nobody may collect an orphan's status.
fn lives(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}
