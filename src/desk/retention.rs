//! Deletes logs, and protects them from deletion. The row lets a log go first, then the objects go.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};

use super::lookup::find_file;
use super::{DeskError, Result};
use crate::archive::{self, Removed};
use crate::config::PROBLEM_FILES;
use crate::dataset::ProblemFiles;
use crate::faults;
use crate::ids::{LogId, RunId, ServiceName};
use crate::store::retention::{self, OldLog};
use crate::store::{self, DataFile, LogState, PgPool, Run, data_file, problem_file_run};
use crate::system::System;

/// Logs to look up at once.
const PAGE: i64 = 1000;

/// A number of logs, and their size in the object store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extent {
    pub logs: u64,
    pub bytes: u64,
}

/// A log that may be erased.
#[derive(Debug)]
pub struct Erasable {
    run: Run,
}

impl Extent {
    fn add(&mut self, log: &OldLog) {
        self.logs += 1;
        self.bytes += log.log_gzip_bytes.unsigned_abs();
    }
}

/// The time at which logs have this age.
///
/// # Errors
/// The age is too long.
pub fn cut(older_than: Duration) -> Result<DateTime<Utc>> {
    let age = chrono::Duration::from_std(older_than).ok();
    age.and_then(|age| Utc::now().checked_sub_signed(age))
        .ok_or_else(|| DeskError::Invalid("that is too long ago".to_owned()))
}

/// Calls `each` with pages of the deletable logs archived before the cut, of runs, or of the stream; returns the
/// totals.
///
/// # Errors
/// The database or `each` fails.
pub async fn old_logs(
    pool: &PgPool,
    stream: Option<&ServiceName>,
    cut: DateTime<Utc>,
    mut each: impl FnMut(&[OldLog]) -> anyhow::Result<()>,
) -> Result<Extent> {
    let (mut extent, mut last) = (Extent::default(), None);
    while let Some(page) = page_after(pool, stream, cut, &mut last).await? {
        each(&page)?;
        page.iter().for_each(|log| extent.add(log));
    }
    Ok(extent)
}

/// Deletes the logs archived before the cut: of runs, with their reports and their problems, or of the stream. Returns
/// the totals. Logs on legal hold stay.
///
/// # Errors
/// The database or the object store fails; some may be gone by then.
pub async fn prune(
    system: &System,
    stream: Option<&ServiceName>,
    cut: DateTime<Utc>,
    by: &str,
    reason: &str,
) -> Result<Extent> {
    let (mut extent, mut last, mut files) = (Extent::default(), None, BTreeSet::new());
    while let Some(page) = page_after(&system.pool, stream, cut, &mut last).await? {
        for log in &page {
            let deleted = match stream {
                Some(_) => archive::remove_segment(system, log.id, by, reason).await?,
                None => {
                    let run = log.id.as_run();
                    files.extend(problem_file_run::files_of(&system.pool, run).await?);
                    delete(system, run, by, "pruned", Some(reason), false).await?
                }
            };
            if deleted {
                extent.add(log);
            }
        }
    }
    ProblemFiles::new(system, PROBLEM_FILES).write_without(files).await?;
    Ok(extent)
}

/// Protects the logs of the file named `file`, in all its versions, from deletion; with `hold` false, ends the
/// protection. Returns the file, and how many versions changed.
///
/// # Errors
/// No file has this name, or several have.
pub async fn hold(
    pool: &PgPool,
    file: &str,
    hold: bool,
    by: &str,
    reason: Option<&str>,
) -> Result<(DataFile, usize)> {
    let file = find_file(pool, file).await?;
    let changed = retention::hold(pool, &file, hold, by, reason).await?;
    Ok((file, changed.len()))
}

/// Whether the log of a run may be erased.
///
/// # Errors
/// Its file is on legal hold, or it is not archived yet.
pub async fn erasable(system: &System, run: Run) -> Result<Erasable> {
    let file = data_file::get(&system.pool, run.data_file_id).await?.context("the run has no data file")?;
    if file.legal_hold {
        return Err(DeskError::OnHold(format!(
            "data file {} is on legal hold: release it first with `parselog hold --release {}`",
            file.id, file.id
        )));
    }
    if !matches!(run.log_state, LogState::Archived | LogState::Pruned) {
        let state = run.log_state;
        return Err(DeskError::Conflict(format!(
            "the log of run {} is {state}: it can be erased once it is archived",
            run.id
        )));
    }
    Ok(Erasable { run })
}

impl Erasable {
    /// The run whose log it is.
    pub fn run(&self) -> RunId {
        self.run.id
    }

    /// Deletes the log, its reports, its problems, and the texts on its row. It completes an earlier, interrupted erasure.
    ///
    /// # Errors
    /// There was nothing to delete, a hold came in between, or the object store fails.
    pub async fn erase(self, system: &System, by: &str, reason: Option<&str>) -> Result<()> {
        let run = self.run;
        let files = problem_file_run::files_of(&system.pool, run.id).await?;
        let deleted = match run.log_state {
            // A killed command may have changed only the row.
            LogState::Pruned => archive::remove(&system.objects, &run, None).await? == Removed::Yes,
            _ => delete(system, run.id, by, "erased", reason, true).await?,
        };
        ProblemFiles::new(system, PROBLEM_FILES).write_without(files).await?;
        if deleted {
            return Ok(());
        }
        Err(DeskError::Gone(format!(
            "the log of run {} was not deleted: it is deleted already, or on legal hold by now",
            run.id
        )))
    }
}

/// The next page of old logs.
async fn page_after(
    pool: &PgPool,
    stream: Option<&ServiceName>,
    cut: DateTime<Utc>,
    last: &mut Option<LogId>,
) -> Result<Option<Vec<OldLog>>> {
    let page = match stream {
        Some(service) => retention::segments_before(pool, service, cut, *last, PAGE).await?,
        None => retention::archived_before(pool, cut, *last, PAGE).await?,
    };
    let Some(end) = page.last() else { return Ok(None) };
    *last = Some(end.id);
    Ok(Some(page))
}

/// Lets a log go, the row first, then deletes it and its reports; false if the file is on hold by now, or the
/// log is gone.
async fn delete(
    system: &System,
    run: RunId,
    by: &str,
    done: &str,
    reason: Option<&str>,
    texts: bool,
) -> Result<bool> {
    let row = store::run::get(&system.pool, run).await?.context("the run is gone from the database")?;
    faults::point("let-go-begun");
    let uri = retention::let_go(&system.pool, run, by, done, reason, texts).await?;
    faults::point("let-go-on-row");
    let Some(uri) = uri else { return Ok(false) };
    archive::remove(&system.objects, &row, Some(&uri)).await?;
    Ok(true)
}
