//! Counts the problems of runs that were archived before problems were counted, or whose counting failed, and writes
//! the Parquet files anew.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;

use super::{Result, lookup};
use crate::archive::ProblemCounter;
use crate::config::PROBLEM_FILES;
use crate::dataset::ProblemFiles;
use crate::ids::RunId;
use crate::reader::Selection;
use crate::store;
use crate::store::{problem, problem_file, problem_file_run};
use crate::system::System;

/// Runs to look up at once.
const PAGE: i64 = 500;

/// Runs to find the files of at once.
const FILED: i32 = 2000;

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

/// Writes the Parquet files of all counted runs, whether they changed or not. `begin` gets their number, `left` how many
/// are still to be written, after each. Files that another process writes now are left to it. Returns how many were
/// written.
///
/// # Errors
/// The database fails, or a file can't be written: workers try again.
pub async fn write_files(system: &System, begin: impl FnOnce(u64), left: impl FnMut(u64)) -> Result<u64> {
    let (pool, mut reached) = (&system.pool, None);
    loop {
        reached = problem_file_run::file_counted(pool, reached, FILED).await?;
        if reached.is_none() {
            break;
        }
    }
    let files = ProblemFiles::new(system, PROBLEM_FILES);
    files.collect().await?;
    problem_file::change_all(pool).await?;
    begin(problem_file::count_changed(pool).await?.unsigned_abs());
    Ok(files.write_due(true, left).await?)
}

/// Counts the problems of one run from its archive; a log that was let go meanwhile has none.
async fn count(system: &System, run: RunId) -> anyhow::Result<()> {
    let row = store::run::get(&system.pool, run).await?.context("the run is gone from the database")?;
    let log = lookup::log(system, &row).await?;
    let counter = Arc::new(Mutex::new(ProblemCounter::new(system.redactor.clone())));
    let filled = Arc::clone(&counter);
    let each = move |line: &[u8]| filled.lock().unwrap_or_else(PoisonError::into_inner).line(line);
    log.read(&system.objects, Selection::default(), each).await?;
    let counter = Arc::into_inner(counter).context("the log is still being read")?;
    let found = counter.into_inner().unwrap_or_else(PoisonError::into_inner).finish();
    problem::count(&system.pool, run, &found).await?;
    Ok(())
}
