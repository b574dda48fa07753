//! `prune` and `erase` killed between row and object, and a hold that comes in between.

use std::process::Stdio;
use std::time::{Duration, Instant};

use parselog::store::{self, LogState, Run, RunFilter};
use rustix::process::{Pid, Signal, kill_process};

use crate::oracle::{self, Losses};
use crate::support::PATIENCE;
use crate::world::World;
use crate::{points, turn};

const PRUNE: [&str; 5] = ["prune", "--older-than", "0s", "--force", "--yes"];

/// A world in which so many runs ended, each with a log and a report on it.
async fn with_runs(runs: usize) -> World {
    let mut world = World::in_folder().await;
    world.tell("PARSELOG_REPORTS", "csv");
    for _ in 0..runs {
        world.submit(20, 1, 0).await;
    }
    world.drain().await;
    world
}

async fn runs(world: &World) -> Vec<Run> {
    store::find(&world.db.pool, &RunFilter::default()).await.unwrap()
}

/// Logs and reports in the object store, of all runs or of one.
fn stored(world: &World, run: &str) -> usize {
    let keys = world.objects_in_folder();
    keys.iter().filter(|key| key.contains("parsing_logs/") && key.contains(run)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prune_that_is_killed_leaves_no_row_without_its_object_and_the_doctor_ends_it() {
    let _turn = turn().await;
    let mut world = with_runs(3).await;
    assert_eq!(stored(&world, ""), 6, "no reports were stored");
    for point in points::of("let-go-") {
        world.dies_at(&point, &PRUNE).await;
        let pruned = runs(&world).await.iter().filter(|run| run.log_state == LogState::Pruned).count();
        let left = if point == "let-go-on-row" || point == "let-go-reports-deleted" { 1 } else { 0 };
        let named = world.findings(&[]);
        assert_eq!(named, vec!["object-without-row"; left], "{point}");
        assert_eq!(world.findings(&["--fix"]), [""; 0], "{point}");
        assert_eq!(stored(&world, ""), 2 * (3 - pruned), "{point}");
    }
    world.ok(&PRUNE);
    assert_eq!(stored(&world, ""), 0);
    let counts = oracle::check(&mut world, Losses::None, "killed prunes").await;
    assert_eq!(counts.let_go, 3, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erase_that_is_killed_is_finished_by_repeating_it() {
    let _turn = turn().await;
    let points = points::of("let-go-");
    let mut world = with_runs(points.len()).await;
    for (point, run) in points.iter().zip(runs(&world).await) {
        let id = run.id.to_string();
        let command = ["erase", &id, "--yes", "--reason", "a name in it"];
        world.dies_at(point, &command).await;
        let again = world.give(&command);
        // Where nothing was left to do, that is what it says.
        let done = point == "let-go-log-deleted";
        assert_eq!(again.code, Some(i32::from(done)), "{point}: {}", again.err);
        assert_eq!(stored(&world, &id), 0, "{point}");
        let entries = world.db.entries(run.id).await;
        assert!(entries.ends_with(&["deleting".to_owned(), "erased".to_owned()]), "{point}: {entries:?}");
    }
    assert_eq!(world.findings(&[]), [""; 0]);
    oracle::check(&mut world, Losses::None, "killed erases").await;
}

/// The hold comes when `prune` has listed the log, and is about to let it go.
#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_is_set_while_logs_are_pruned_or_erased_is_honoured() {
    let _turn = turn().await;
    let mut world = with_runs(1).await;
    let run = runs(&world).await.remove(0);
    for command in [PRUNE.to_vec(), vec!["erase", "@latest", "--yes"]] {
        let mut stopped = world.command(Some("let-go-begun:1:stop"), &command);
        let mut stopped = stopped.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let began = Instant::now();
        while !crate::worker::is_stopped(stopped.id()) {
            assert!(began.elapsed() < PATIENCE, "{command:?} does not come to its point");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        world.ok(&["hold", &run.data_file_id.to_string()]);
        kill_process(Pid::from_child(&stopped), Signal::CONT).unwrap();
        stopped.wait().unwrap();
        world.look_at_all_rows("a hold in between").await;
        assert_eq!(runs(&world).await[0].log_state, LogState::Archived, "{command:?}");
        assert_eq!(stored(&world, ""), 2, "{command:?}");
        world.ok(&["hold", "--release", &run.data_file_id.to_string()]);
    }
    oracle::check(&mut world, Losses::None, "held in between").await;
}

/// A worker died between the row and the removal, so the spool has the log that is erased.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_erased_before_it_left_the_spool_is_never_stored_again() {
    let _turn = turn().await;
    let mut world = World::in_folder().await;
    world.submit(20, 1, 0).await;
    let mut worker = world.worker(Some("after-row"), &[]);
    assert!(worker.dies_within(PATIENCE).await, "no log was archived");
    world.ok(&["erase", "@latest", "--yes"]);
    assert_eq!(stored(&world, ""), 0);
    world.drain().await;
    assert_eq!(stored(&world, ""), 0, "the sweep stored what was erased");
    assert_eq!(world.findings(&[]), [""; 0]);
    oracle::check(&mut world, Losses::None, "erased while in the spool").await;
}
