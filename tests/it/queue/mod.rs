//! The queue: claims, leases, endings, and what happens when workers die or come too late.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod claims;
mod endings;
mod waking;

use parselog::ids::DataFileId;
use parselog::queue::Ending;
use parselog::store::{self, RunFilter};

use crate::support::{TestDb, outcome};

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
