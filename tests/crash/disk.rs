//! A spool on a disk that is full: the parse goes on, and what was lost is counted.
//!
//! The disk is a tmpfs in a mount namespace of the worker's own, and goes with it. Where a namespace
//! may not be made, the test says so and passes.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use parselog::store::{self, LogState, Run, RunFilter, RunStatus};
use rustix::process::Signal;

use crate::TURN;
use crate::oracle::{self, Counts, Losses};
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_the_parse_goes_on_and_every_event_is_stored_or_counted() {
    let _turn = TURN.lock().await;
    if !may_mount() {
        eprintln!("not tried: no mount namespace may be made here");
        return;
    }
    for (size, slots, cap) in [
        ("1m", "3", "4GiB"),
        ("600k", "1", "4GiB"),
        ("1m", "1", "4GiB"),
        ("1m", "1", "900KiB"),
        ("64k", "2", "4GiB"),
    ] {
        let counts = with_a_disk_of(size, slots, cap).await;
        eprintln!("a disk of {size}, {slots} at once, cap {cap}: {counts:?}");
    }
}

async fn with_a_disk_of(size: &str, slots: &str, cap: &str) -> Counts {
    let mut world = World::in_folder().await;
    fs::create_dir(world.home().join("spool")).unwrap();
    // Each of them is larger than the disk.
    for _ in 0..3 {
        world.submit(3000, 2, 0).await;
    }
    let environment = [("PARSELOG_SLOTS", slots), ("PARSELOG_LOG_CAP", cap)];
    let mut worker = world.worker_on_a_small_disk(size, &environment);
    let began = Instant::now();
    loop {
        let runs = store::find(&world.db.pool, &RunFilter::default()).await.unwrap();
        let over = |run: &Run| matches!(run.log_state, LogState::Archived | LogState::Lost);
        if runs.iter().all(|run| run.finished_at.is_some() && over(run)) {
            assert!(runs.iter().all(|run| run.status == RunStatus::Success && run.attempt == 1), "{runs:?}");
            break;
        }
        if began.elapsed() > Duration::from_secs(60) {
            let states: Vec<_> =
                runs.iter().map(|run| (run.status, run.log_state, &run.archive_error)).collect();
            world.fail(&format!("a log filled a disk of {size} for ever: {states:?}"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(worker.stop(Signal::TERM).success());
    let counts = oracle::check(&mut world, Losses::AnyCounted, &format!("a disk of {size}")).await;
    assert!(counts.dropped > 0, "the disk was not full: {counts:?}");
    // What no log could take, the global log has.
    let log = world.worker_log();
    let events = log.lines().filter(|line| line.contains("acknowledged event"));
    let overflowed = events.filter(|line| !line.contains("from=")).count() as u64;
    let gone = counts.acknowledged - counts.acknowledged_stored;
    if cap == "4GiB" {
        assert_eq!(overflowed, gone, "{counts:?}");
    }
    counts
}

/// A command in a mount namespace of its own, with a disk of `size` at `folder`.
pub(crate) fn on_a_small_disk(folder: &Path, size: &str, program: &str) -> Command {
    // Root needs no namespace of users, in which it could not reach the database's socket.
    let namespaces = if rustix::process::geteuid().is_root() { "-m" } else { "-rm" };
    let script = "mount -t tmpfs -o size=$2 tmpfs \"$1\" && shift 2 && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args([namespaces, "sh", "-c", script, "sh"]).arg(folder).args([size, program]);
    command
}

fn may_mount() -> bool {
    let folder = tempfile::tempdir().unwrap();
    let mut command = on_a_small_disk(folder.path(), "64k", "true");
    command.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
