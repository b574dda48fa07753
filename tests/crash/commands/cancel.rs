//! `cancel` killed when its request is on the row.

use std::time::{Duration, Instant};

use parselog::store::{self, RunFilter, RunStatus};

use crate::oracle::{self, Losses};
use crate::support::PATIENCE;
use crate::world::World;
use crate::{points, turn};

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_is_killed_holds_for_a_run_that_waits_and_for_one_that_runs() {
    let _turn = turn().await;
    let mut world = World::in_folder().await;
    for point in points::of("cancel-") {
        world.submit(20, 1, 0).await;
        world.dies_at(&point, &["cancel", "@latest"]).await;
        let waited = store::latest(&world.db.pool, &RunFilter::default()).await.unwrap().unwrap();
        assert_eq!(waited.status, RunStatus::Inaction, "{point}");
        assert!(world.give(&["cancel", &waited.id.to_string()]).code.is_some(), "it is said, not done twice");

        // Several heartbeats long: its parser ends by itself, and not at the cancel.
        world.submit(400, 1, 10_000).await;
        let mut worker = world.worker(None, &[("PARSELOG_LEASE", "3s")]);
        let began = Instant::now();
        while world.running().await == 0 {
            assert!(began.elapsed() < PATIENCE, "nothing runs");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        world.dies_at(&point, &["cancel", "@latest"]).await;
        while world.running().await > 0 {
            assert!(began.elapsed() < PATIENCE, "the run goes on");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let ran = store::latest(&world.db.pool, &RunFilter::default()).await.unwrap().unwrap();
        assert_eq!((ran.status, ran.attempt), (RunStatus::Terminate, 1), "{point}");
        world.wants_no_more_of(&mut worker);
    }
    world.drain().await;
    let counts = oracle::check(&mut world, Losses::None, "killed cancels").await;
    assert!(counts.acknowledged > 0, "{counts:?}");
}
