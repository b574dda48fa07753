//! The facts about a run as a whole.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::ReportedProblem;
use crate::ids::{DataFileId, RunId};
use crate::parser::{CaseTotals, MonthCases};
use crate::record::LogEnding;

/// Most names of record types and months to count; the rest counts as [`OTHER`].
const MOST_NAMES: usize = 1000;
const OTHER: &str = "other";

/// The facts about a run as a whole; `None` if the log does not have them (yet).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Name of the submitted file.
    pub file: Option<String>,
    /// Program code.
    pub program: Option<String>,
    /// Section code.
    pub section: Option<String>,
    /// Fiscal year.
    pub fiscal_year: Option<u64>,
    /// Fiscal quarter.
    pub fiscal_quarter: Option<u64>,
    /// How the run ended; `None` while its log is open.
    pub ending: Option<LogEnding>,
    /// The verdict, if the parser gave one.
    pub verdict: Option<String>,
    /// Why the run has no verdict.
    pub reason: Option<String>,
    /// The first problem in record order that counts.
    pub first_error: Option<ReportedProblem>,
    /// Problems that count.
    pub problems: u64,
    /// Problems of deprecated rules.
    pub deprecated: u64,
    /// Problems by number of the category.
    pub by_category: BTreeMap<u8, u64>,
    /// Problems by month and category number, for problems that have a month.
    pub by_month: BTreeMap<String, BTreeMap<u8, u64>>,
    /// Records read.
    pub records_in_file: Option<u64>,
    /// Records accepted.
    pub records_created: Option<u64>,
    /// Records accepted, by type.
    pub created_by_type: BTreeMap<String, u64>,
    /// Lines refused, and cases stored by month.
    pub cases: CaseTotals,
    /// Events that the log could not keep; problems may be among them.
    pub missing_events: u64,
    /// The run.
    pub run: Option<RunId>,
    /// Which attempt of the job it was.
    pub attempt: Option<i32>,
    /// The data file.
    pub data_file: Option<DataFileId>,
    /// When the run was started.
    pub started: Option<DateTime<Utc>>,
    /// Key of the log, for those who keep the report beside it.
    #[serde(skip)]
    pub log_key: Option<String>,
    /// Where the log is, once it is archived.
    pub log: Option<String>,
}

impl Summary {
    /// Counts one problem.
    pub(super) fn count(&mut self, problem: &ReportedProblem) {
        if problem.deprecated {
            self.deprecated += 1;
            return;
        }
        self.problems += 1;
        *self.by_category.entry(problem.category).or_default() += 1;
        if !problem.month.is_empty() {
            let month = few(&mut self.by_month, &problem.month);
            *month.entry(problem.category).or_default() += 1;
        }
        // A problem of the whole file comes first only if no record has one.
        let rank = |problem: &ReportedProblem| problem.record.unwrap_or(u64::MAX);
        if self.first_error.as_ref().is_none_or(|first| rank(problem) < rank(first)) {
            self.first_error = Some(problem.clone());
        }
    }

    /// Adds accepted records of a type.
    pub(super) fn accepted(&mut self, record_type: &str, records: u64) {
        *few(&mut self.created_by_type, record_type) += records;
    }

    /// Sets the cases of a month.
    pub(super) fn cases(&mut self, month: &str, cases: MonthCases) {
        *few(&mut self.cases.months, month) = cases;
    }

    /// The facts with a single value, by name, in the order of interest; `time` writes a time.
    pub(super) fn facts(&self, time: fn(DateTime<Utc>) -> String) -> Vec<(&'static str, String)> {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let number = |number: Option<u64>| number.map_or_else(String::new, |number| number.to_string());
        let first = self.first_error.as_ref();
        vec![
            ("file", text(&self.file)),
            ("program", text(&self.program)),
            ("section", text(&self.section)),
            ("fiscal year", number(self.fiscal_year)),
            ("fiscal quarter", number(self.fiscal_quarter)),
            ("verdict", self.verdict.clone().unwrap_or_else(|| self.no_verdict())),
            ("first error", first.map_or_else(String::new, |first| first.message.clone())),
            ("first error in record", number(first.and_then(|first| first.record))),
            ("problems", self.problems.to_string()),
            ("problems of deprecated rules", self.deprecated.to_string()),
            ("records in file", number(self.records_in_file)),
            ("records created", number(self.records_created)),
            ("lines rejected", number(self.records_in_file.map(|_| self.cases.rejected))),
            ("events missing in the log", self.missing_events.to_string()),
            ("run", self.run.map_or_else(String::new, |run| run.to_string())),
            ("attempt", self.attempt.map_or_else(String::new, |attempt| attempt.to_string())),
            ("data file", self.data_file.map_or_else(String::new, |file| file.to_string())),
            ("started", self.started.map_or_else(String::new, time)),
            ("log", self.log.clone().unwrap_or_else(|| "not archived yet".to_owned())),
        ]
    }

    fn no_verdict(&self) -> String {
        let ending = match self.ending {
            None => "the run has not ended",
            Some(LogEnding::Success) => "not in the log",
            Some(LogEnding::Fail) => "none: the run failed",
            Some(LogEnding::Terminate) => "none: the run was stopped",
            Some(LogEnding::Crash) => "none: the worker died",
        };
        self.reason.as_ref().map_or_else(|| ending.to_owned(), |reason| format!("{ending}: {reason}"))
    }
}

/// The entry of `name`, or of all further names once there are too many.
fn few<'m, V: Default>(counts: &'m mut BTreeMap<String, V>, name: &str) -> &'m mut V {
    let name = if counts.len() < MOST_NAMES || counts.contains_key(name) { name } else { OTHER };
    counts.entry(name.to_owned()).or_default()
}
