//! The folder of the spool can't be synced: a log may have lost its name with the power, and nothing else.

use parselog::store::{self, LogState, RunFilter, RunStatus};

use crate::support::{Desk, Said, sample};
use crate::turn;

#[tokio::test(flavor = "multi_thread")]
async fn a_log_whose_name_can_not_be_made_durable_is_kept_and_its_run_is_not_taken_for_dead() {
    let _turn = turn().await;
    let desk = Desk::new().await;
    desk.ok(&["submit", &sample("tanf-active-2021-q1.txt")]);
    // Longer than it takes to look through the spool for logs that nobody holds.
    let mut worker = desk.command(&["worker", "--drain", "--parser-for", "*/*=sleep 3"]);
    let said = Said::of(worker.env("PARSELOG_FAULT_IO", "log-name").output().unwrap());
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.err.contains("may not keep the log's name"), "the fault was not met: {}", said.err);

    let runs = store::find(&desk.db.pool, &RunFilter::default()).await.unwrap();
    let ends: Vec<_> = runs.iter().map(|run| (run.attempt, run.status, run.log_state)).collect();
    assert_eq!(ends, [(1, RunStatus::Success, LogState::Archived)]);
}
