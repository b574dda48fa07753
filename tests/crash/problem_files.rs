//! Who writes the Parquet files of problems is killed on the way: the next one writes them.

use std::os::unix::process::ExitStatusExt as _;

use crate::points;
use crate::support::{Desk, sample};
use crate::turn;

async fn count(desk: &Desk, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(&desk.db.pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_point_leaves_a_file_of_problems_due_and_the_next_worker_writes_it() {
    let _turn = turn().await;
    let desk = Desk::new().await;
    let file = sample("tanf-active-2021-q1.txt");
    desk.ok(&["submit", &file]);
    desk.ok(&["worker", "--drain"]);
    let versions = || desk.files("objects/files/.versions/problems");
    for (point, state) in points::of("problems-").iter().zip(["AK", "AL", "AZ"]) {
        desk.ok(&["submit", "--state", state, &file]);
        let mut command = desk.command(&["worker", "--drain"]);
        let output = command.env("PARSELOG_FAULT", point).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.signal(), Some(9), "never came to {point}: {said}");
        let due = "select count(*) from problem_file where due_at is not null and lease_token is not null";
        assert_eq!(count(&desk, due).await, 1, "{point}");
        let before = versions();
        // Its lease is its own until it is over.
        desk.ok(&["worker", "--drain"]);
        assert_eq!(versions(), before, "{point}");
        sqlx::query("update problem_file set lease_until = now()").execute(&desk.db.pool).await.unwrap();
        desk.ok(&["worker", "--drain"]);
        let after = versions();
        assert!(after.len() == 1 && !before.contains(&after[0]), "{point}: {after:?}");
        let runs = "select count(*) from problem_tally";
        let written = "select runs from problem_file where lease_token is null";
        assert_eq!(count(&desk, written).await, count(&desk, runs).await, "{point}");
        assert_eq!(desk.files("scratch").len(), 0, "{point}");
    }
}
