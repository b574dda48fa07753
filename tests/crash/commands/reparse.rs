//! `reparse` killed before and after it is queued.

use crate::oracle::{self, Losses};
use crate::world::World;
use crate::{points, turn};

const COMMAND: [&str; 5] = ["reparse", "--all", "--yes", "--reason", "new rules"];

#[tokio::test(flavor = "multi_thread")]
async fn a_reparse_that_is_killed_is_queued_whole_or_not_at_all_and_never_twice() {
    let _turn = turn().await;
    for point in points::of("reparse-") {
        let mut world = World::in_folder().await;
        for _ in 0..3 {
            world.submit(20, 1, 0).await;
        }
        world.drain().await;
        world.dies_at(&point, &COMMAND).await;
        let queued = world.waiting().await;
        assert!(queued == 0 || queued == 3, "{point}: {queued} of 3 files are queued");
        let again = world.give(&COMMAND);
        if queued == 0 {
            assert_eq!(again.code, Some(0), "{point}: {}", again.err);
        } else {
            assert_eq!(again.code, Some(1), "{point}: {}", again.err);
            assert!(again.err.contains("is unfinished"), "{point}: {}", again.err);
        }
        assert_eq!(world.count("select count(*) from parse_meta where kind = 'reparse'").await, 1, "{point}");
        world.drain().await;
        let counts = oracle::check(&mut world, Losses::None, &point).await;
        assert_eq!((counts.runs, counts.acknowledged), (6, 120), "{point}");
    }
}
