//! Counts the problems of runs that were archived before problems were counted, or whose counting failed.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;

use super::{Result, lookup};
use crate::archive::ProblemCounter;
use crate::ids::RunId;
use crate::reader::Selection;
use crate::store;
use crate::store::problem;
use crate::system::System;

/// Runs to look up at once.
const PAGE: i64 = 500;

/// What came of runs whose problems were not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backfilled {
    pub counted: u64,
    /// Their logs can't be read.
    pub failed: u64,
}

/// Counts the problems of every archived run that is not counted, the oldest first; what was counted stays counted
/// wherever it ends. `begin` gets their number, `each` a run and, if its log can't be read, why.
///
/// # Errors
/// The database fails.
pub async fn backfill(
    system: &System,
    begin: impl FnOnce(u64),
    mut each: impl FnMut(RunId, Option<&str>),
) -> Result<Backfilled> {
    begin(problem::count_uncounted(&system.pool).await?.unsigned_abs());
    let (mut done, mut after) = (Backfilled::default(), None);
    loop {
        let page = problem::uncounted(&system.pool, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(done) };
        after = Some(*last);
        for run in page {
            let failed = match count(system, run).await {
                Ok(()) => {
                    done.counted += 1;
                    None
                }
                Err(error) if store::passes(&error) => return Err(error.into()),
                Err(error) => {
                    done.failed += 1;
                    Some(format!("{error:#}"))
                }
            };
            each(run, failed.as_deref());
        }
    }
}

/// Counts the problems of one run from its archive; a log that was let go meanwhile has none.
async fn count(system: &System, run: RunId) -> anyhow::Result<()> {
    let row = store::run::get(&system.pool, run).await?.context("the run is gone from the database")?;
    let log = lookup::log(system, &row)?;
    let counter = Arc::new(Mutex::new(ProblemCounter::new(system.redactor.clone())));
    let filled = Arc::clone(&counter);
    let each = move |line: &[u8]| filled.lock().unwrap_or_else(PoisonError::into_inner).line(line);
    log.read(&system.objects, Selection::default(), each).await?;
    let counter = Arc::into_inner(counter).context("the log is still being read")?;
    let found = counter.into_inner().unwrap_or_else(PoisonError::into_inner).finish();
    problem::count(&system.pool, run, &found).await?;
    Ok(())
}
