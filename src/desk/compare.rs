//! Compares two runs: verdicts, counts, and the problems that appeared or disappeared.

use std::collections::BTreeMap;
use std::io;

use serde::Serialize;

use super::lookup::{find_run, log, previous};
use super::{DeskError, Result};
use crate::diff::{self, Change, Comparison, Counts, LoggedProblem};
use crate::reader::LogSource;
use crate::store::{PgPool, Run};
use crate::system::System;

/// Two runs, and the comparison of their logs.
pub struct Compared {
    before: Run,
    after: Run,
    /// Missing where a log can't be read.
    logs: Result<(LogSource, LogSource, Comparison)>,
}

/// The differences between two runs, except single problems.
#[derive(Debug, Serialize)]
pub struct Difference<'a> {
    pub same: bool,
    pub before: Side<'a>,
    pub after: Side<'a>,
    /// Missing where a log can't be read.
    pub problems: Option<Counts>,
    pub categories: BTreeMap<u8, CategoryCounts>,
}

/// One of the two runs.
#[derive(Debug, Serialize)]
pub struct Side<'a> {
    pub run: String,
    pub file: &'a str,
    pub version: &'a str,
    pub status: String,
    pub summary_status: Option<String>,
    pub failure: Option<&'a str>,
    pub records_in_file: Option<i64>,
    pub records_created: Option<i64>,
    /// Events that the log dropped; the comparison may miss as many problems.
    pub log_dropped: i64,
}

/// One category: the counts on the rows and in the logs.
#[derive(Debug, Default, Serialize)]
pub struct CategoryCounts {
    pub before: u64,
    pub after: u64,
    pub appeared: u64,
    pub disappeared: u64,
}

/// The runs that `before` and `after` name; without `after`, the run that `before` names and the previous run
/// of its file.
///
/// # Errors
/// A name matches no run or several, or the file has no earlier run.
pub async fn runs(pool: &PgPool, before: &str, after: Option<&str>) -> Result<(Run, Run)> {
    let first = find_run(pool, before).await?;
    Ok(match after {
        Some(after) => (first, find_run(pool, after).await?),
        None => (previous(pool, &first).await?, first),
    })
}

/// Compares two runs; only verdicts and counts if a log can't be read from here.
///
/// # Errors
/// A log is damaged, or the object store fails.
pub async fn compare(system: &System, before: Run, after: Run) -> Result<Compared> {
    let both = async { Ok((log(system, &before).await?, log(system, &after).await?)) };
    let logs = match both.await {
        Ok((one, other)) => {
            let comparison = diff::compare(&system.objects, &one, &other).await?;
            Ok((one, other, comparison))
        }
        Err(error) => Err(error),
    };
    Ok(Compared { before, after, logs })
}

impl Compared {
    /// Why the problems were not compared, if so.
    pub fn unread(&self) -> Option<&DeskError> {
        self.logs.as_ref().err()
    }

    /// The differences, except single problems.
    pub fn difference(&self) -> Difference<'_> {
        let comparison = self.logs.as_ref().ok().map(|(_, _, comparison)| comparison);
        let mut categories: BTreeMap<u8, CategoryCounts> = BTreeMap::new();
        for (run, is_after) in [(&self.before, false), (&self.after, true)] {
            for (category, count) in run.error_counts.iter().flat_map(|counts| &counts.0) {
                let line = categories.entry(category.number()).or_default();
                *(if is_after { &mut line.after } else { &mut line.before }) = *count;
            }
        }
        for (category, counts) in comparison.into_iter().flat_map(|comparison| &comparison.by_category) {
            let line = categories.entry(*category).or_default();
            (line.appeared, line.disappeared) = (counts.appeared, counts.disappeared);
        }
        let (before, after) = (Side::of(&self.before), Side::of(&self.after));
        let same = before.outcome() == after.outcome()
            && (before.records_in_file, before.records_created)
                == (after.records_in_file, after.records_created)
            && categories
                .values()
                .all(|line| line.before == line.after && line.appeared == 0 && line.disappeared == 0);
        Difference {
            same,
            before,
            after,
            problems: comparison.map(|comparison| comparison.total),
            categories,
        }
    }

    /// Calls `each` with the problems that appeared or disappeared, in the order of records.
    ///
    /// # Errors
    /// A log can't be read, or `each` fails.
    pub async fn changes(
        self,
        system: &System,
        each: impl FnMut(Change, &LoggedProblem<'_>) -> io::Result<()> + Send + 'static,
    ) -> Result<()> {
        let Ok((one, other, comparison)) = self.logs else { return Ok(()) };
        Ok(diff::changes(&system.objects, comparison, (&one, &other), each).await?)
    }
}

impl<'a> Side<'a> {
    fn of(run: &'a Run) -> Self {
        Self {
            run: run.id.to_string(),
            file: &run.key,
            version: &run.version_id,
            status: run.status.to_string(),
            summary_status: run.summary_status.map(|summary| summary.to_string()),
            failure: run.failure.as_deref(),
            records_in_file: run.records_in_file,
            records_created: run.records_created,
            log_dropped: run.log_dropped.unwrap_or_default(),
        }
    }

    /// The outcome of the run, with the reason if it failed.
    pub fn outcome(&self) -> String {
        match (&self.summary_status, self.failure) {
            (Some(summary), _) => summary.clone(),
            (None, Some(failure)) => format!("{}: {failure}", self.status),
            (None, None) => self.status.clone(),
        }
    }
}
