//! A worker that is stopped for longer than its lease, and goes on when another has done its work.

use std::time::{Duration, Instant};

use parselog::store::{self, LogState, Run, RunFilter, RunStatus};
use rustix::process::Signal;

use crate::oracle::{self, Losses};
use crate::support::PATIENCE;
use crate::turn;
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_slept_through_its_lease_is_fenced_and_its_log_is_kept() {
    let _turn = turn().await;
    for point in
        ["claimed", "scope-opened", "fetched", "acknowledged:100", "parsed", "before-seal", "before-finish"]
    {
        let passage = if point.contains(':') { "" } else { ":1" };
        sleeps_at(&format!("{point}{passage}:stop")).await;
    }
}

async fn sleeps_at(fault: &str) {
    let mut world = World::in_folder().await;
    world.submit(200, 1, 200).await;
    let mut sleeper = world.worker(Some(fault), &[]);
    until(&mut world, "the worker sleeps", async |_| sleeper.is_stopped()).await;

    // The sleeper still holds the parser's lock on the file, so the second worker has its own.
    let acks = world.more_acks();
    let mut second = world.worker(None, &[("PARSELOG_TEST_ACKS", acks.to_str().unwrap())]);
    let name = second.name.clone();
    until(&mut world, "the second attempt succeeds", async |world| {
        world.let_time_pass(&name).await;
        runs(world).await.first().is_some_and(|run| run.status == RunStatus::Success)
    })
    .await;

    sleeper.signal(Signal::CONT);
    until(&mut world, "the sleeper's log is archived", async |world| {
        runs(world).await.iter().all(|run| run.log_state == LogState::Archived)
    })
    .await;
    assert!(sleeper.stop(Signal::TERM).success(), "{fault}");
    assert!(second.stop(Signal::TERM).success(), "{fault}");
    let runs = runs(&world).await;
    let statuses: Vec<_> = runs.iter().map(|run| run.status).collect();
    assert_eq!(statuses, [RunStatus::Success, RunStatus::Crash], "{fault}");
    let entries = store::entry::of_run(&world.db.pool, runs[1].id).await.unwrap();
    assert!(entries.iter().any(|entry| entry.entry == "fenced"), "{fault}: {entries:?}");
    oracle::check(&mut world, Losses::None, fault).await;
}

async fn runs(world: &World) -> Vec<Run> {
    store::find(&world.db.pool, &RunFilter::default()).await.unwrap()
}

async fn until(world: &mut World, what: &str, mut holds: impl AsyncFnMut(&mut World) -> bool) {
    let began = Instant::now();
    while !holds(world).await {
        if began.elapsed() > PATIENCE {
            world.fail(&format!("never: {what}"));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
