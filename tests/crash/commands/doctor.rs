//! `doctor --fix` killed between two repairs.

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use parselog::ids::RunId;
use parselog::store::{self, RunFilter};

use crate::oracle::{self, Losses};
use crate::support::PATIENCE;
use crate::world::World;
use crate::{points, turn};

const FIX: [&str; 4] = ["doctor", "--fix", "--grace", "0s"];

#[tokio::test(flavor = "multi_thread")]
async fn a_doctor_that_is_killed_between_two_repairs_is_finished_by_repeating_it() {
    let _turn = turn().await;
    let mut world = World::in_folder().await;
    for point in points::of("doctor-") {
        damage(&mut world).await;
        let kinds = [
            "lease-over",
            "lease-over",
            "object-without-row",
            "spool-abandoned",
            "spool-stray",
            "stale-upload",
        ];
        let mut found = world.findings(&[]);
        found.sort();
        assert_eq!(found, kinds, "{point}");
        world.dies_at(&point, &FIX).await;
        assert_eq!(world.findings(&["--fix"]), [""; 0], "{point}");
        world.drain().await;
        oracle::check(&mut world, Losses::None, &point).await;
    }
}

/// One of everything that the doctor repairs: the log of a dead worker, a run of one that left no log, a log
/// that was let go and not deleted, a stray, and an upload without an end.
async fn damage(world: &mut World) {
    world.submit(20, 1, 0).await;
    world.drain().await;
    world.dies_at("let-go-on-row", &["erase", "@latest", "--yes"]).await;
    let erased = store::latest(&world.db.pool, &RunFilter::default()).await.unwrap().unwrap();

    world.submit(200, 2, 50).await;
    let mut worker = world.worker(Some("acknowledged:350"), &[]);
    assert!(worker.dies_within(PATIENCE).await, "no crash to recover from");
    world.submit(20, 1, 0).await;
    world.db.claim_and_die("nobody").await;
    world.end_leases().await;

    let long_ago = SystemTime::now() - Duration::from_secs(48 * 3600);
    let stray = world.home().join("spool").join(format!("{}.tail-0", RunId::new()));
    let log = format!("parsing_logs/parse-datafile-1-20260101T000000Z-{}.log.gz", erased.id);
    let upload = world.home().join("objects/files/.versions").join(&world.prefix).join(log);
    let upload = upload.join(format!("{}.part", RunId::new()));
    for file in [stray, upload] {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        File::create(file).unwrap().set_modified(long_ago).unwrap();
    }
}
