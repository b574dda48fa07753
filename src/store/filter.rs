//! What a list of runs is restricted to, and its order.

use std::str::FromStr;

use chrono::{DateTime, Utc};

use super::{LogState, RunStatus};
use crate::ids::{BatchId, DataFileId, RunId};
use crate::parser::SummaryStatus;

/// Selects runs; a `None` or empty field does not restrict.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// Any of these, or of the verdicts.
    pub status: Vec<RunStatus>,
    /// Any of these, or of the statuses.
    pub verdict: Vec<SummaryStatus>,
    /// Any of these.
    pub log_state: Vec<LogState>,
    pub data_file: Option<DataFileId>,
    /// Any submission of the same file over time as this one.
    pub same_file_as: Option<DataFileId>,
    /// A submission's batch, or a reparse id.
    pub batch: Option<BatchId>,
    pub program: Option<String>,
    /// Any of these.
    pub programs: Vec<String>,
    pub section: Option<String>,
    pub fiscal_year: Option<i32>,
    pub fiscal_quarter: Option<i16>,
    pub state: Option<String>,
    /// A part of the file's name, whatever its case.
    pub name: Option<String>,
    /// Who asked for the run.
    pub requested_by: Option<String>,
    /// Queued at this moment or later.
    pub since: Option<DateTime<Utc>>,
    /// Ended at this moment or later.
    pub ended_since: Option<DateTime<Utc>>,
    /// Older than this run: the previous run of a file.
    pub before: Option<RunId>,
    pub order: RunOrder,
    /// Behind this run, in the order: the next page.
    pub after: Option<RunId>,
    /// At most so many.
    pub limit: Option<i64>,
}

/// The order of a list of runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RunOrder {
    pub by: RunSort,
    /// The other way round.
    pub reversed: bool,
}

/// What a list of runs is sorted by: names from A to Z, all else from the latest, longest or largest on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RunSort {
    #[default]
    Queued,
    Started,
    Finished,
    Took,
    Size,
    Errors,
    Name,
}

impl FromStr for RunSort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "queued" => Self::Queued,
            "started" => Self::Started,
            "finished" => Self::Finished,
            "took" => Self::Took,
            "size" => Self::Size,
            "errors" => Self::Errors,
            "name" => Self::Name,
            _ => return Err("expected queued, started, finished, took, size, errors or name".to_owned()),
        })
    }
}

impl RunSort {
    /// What the rows have of it, as SQL over a run and its file; never null, so that a page can begin behind any row.
    /// `None` for the order of queuing, which is that of the ids.
    pub(super) fn key(self, run: &str, file: &str) -> Option<String> {
        Some(match self {
            Self::Queued => return None,
            Self::Started => format!("coalesce({run}.started_at, '-infinity')"),
            Self::Finished => format!("coalesce({run}.finished_at, '-infinity')"),
            Self::Took => {
                format!("coalesce(coalesce({run}.finished_at, now()) - {run}.started_at, '0')")
            }
            Self::Size => format!("coalesce({file}.size_bytes, -1)"),
            Self::Errors => format!("coalesce({run}.error_count, -1)"),
            Self::Name => format!("lower({file}.name)"),
        })
    }

    pub(super) fn is_of_files(self) -> bool {
        matches!(self, Self::Size | Self::Name)
    }
}

impl RunOrder {
    /// Whether the least comes first.
    pub(super) fn ascends(self) -> bool {
        (self.by == RunSort::Name) != self.reversed
    }
}
