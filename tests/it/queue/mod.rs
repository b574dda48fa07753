//! The queue: claims, leases, endings, and what happens when workers die or come too late.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod claims;
mod endings;
mod waking;

use std::time::{Duration, Instant};

use parselog::ids::DataFileId;
use parselog::queue::Ending;
use parselog::store::{self, RunFilter};

use crate::support::{PATIENCE, TestDb, outcome};

fn failure() -> Ending {
    Ending::Fail { reason: "it broke".to_owned(), retry: true }
}

fn success() -> Ending {
    Ending::Success(outcome())
}

/// The file's runs, oldest first.
async fn runs_of(db: &TestDb, file: DataFileId) -> Vec<store::Run> {
    let filter = RunFilter { data_file: Some(file), ..Default::default() };
    let mut runs = store::find(&db.pool, &filter).await.unwrap();
    runs.reverse();
    runs
}

/// Returns when a statement waits for a lock of another.
async fn until_somebody_waits_for_a_lock(db: &TestDb) {
    let began = Instant::now();
    loop {
        let waiting: bool = sqlx::query_scalar(
            "select exists (select 1 from pg_stat_activity
                            where datname = current_database() and wait_event_type = 'Lock')",
        )
        .fetch_one(&db.pool)
        .await
        .unwrap();
        if waiting {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "nobody waits for a lock");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
