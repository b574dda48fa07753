//! `report --out` killed while there is a report already.

use std::fs;

use crate::oracle::{self, Losses};
use crate::world::World;
use crate::{points, turn};

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_is_killed_leaves_the_one_that_was_there_or_a_whole_one() {
    let _turn = turn().await;
    let mut world = World::in_folder().await;
    world.submit(200, 1, 0).await;
    world.drain().await;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("report.json");
    let command = ["report", "@latest", "--out", out.to_str().unwrap()];
    world.ok(&command);
    let whole = fs::read_to_string(&out).unwrap();
    for point in points::of("report-") {
        fs::write(&out, "what was there").unwrap();
        world.dies_at(&point, &command).await;
        let left = fs::read_to_string(&out).unwrap();
        assert!(left == "what was there" || left == whole, "{point}: half a report: {left}");
        world.ok(&command);
        assert_eq!(fs::read_to_string(&out).unwrap(), whole, "{point}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "{point}: something is left beside it");
    }
    oracle::check(&mut world, Losses::None, "killed reports").await;
}
