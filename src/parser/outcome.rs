//! The outcome of a parse.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Category, Problem};
use crate::record::event::OutcomeEvent;

/// The largest count on a row. No file has so many records, and the sum over thousands of rows still fits.
pub const LARGEST_COUNT: u64 = 1_000_000_000_000_000;

/// The outcome of a parse: the facts for the run's row.
///
/// A parser begins with [`Outcome::default`], which has no records and no problems, and adds what it reads
/// and finds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The verdict.
    pub summary: SummaryStatus,
    /// Whether the parser counted records at all. If not, the counts of records are 0 and the row has
    /// none.
    #[serde(default = "reported")]
    pub records_reported: bool,
    /// Records read from the file. A line can hold several; a line that a pre-check refused has none.
    pub records_in_file: u64,
    /// Records accepted, all types.
    pub records_created: u64,
    /// Records accepted by type, for instance `{"T1": 2, "T2": 3}`.
    #[serde(default)]
    pub created_by_type: BTreeMap<String, u64>,
    /// Cases by result; no month if the section has no cases.
    #[serde(default)]
    pub cases: CaseTotals,
    /// Problems by category, without those of deprecated rules.
    #[serde(default)]
    pub errors: BTreeMap<Category, u64>,
    /// Problems by reporting month (`YYYYMM`) and category, for problems that have a month.
    #[serde(default)]
    pub errors_by_month: BTreeMap<String, BTreeMap<Category, u64>>,
    /// Problems of deprecated rules: reported, but without effect on the verdict.
    #[serde(default)]
    pub deprecated_errors: u64,
    /// The first problem in record order.
    #[serde(default)]
    pub first_error: Option<FirstError>,
}

fn reported() -> bool {
    true
}

impl Default for Outcome {
    fn default() -> Self {
        Self {
            summary: SummaryStatus::Accepted,
            records_reported: true,
            records_in_file: 0,
            records_created: 0,
            created_by_type: BTreeMap::new(),
            cases: CaseTotals::default(),
            errors: BTreeMap::new(),
            errors_by_month: BTreeMap::new(),
            deprecated_errors: 0,
            first_error: None,
        }
    }
}

impl Outcome {
    /// Counts one accepted record. A rejected file has none.
    pub fn accept(&mut self, record_type: &str) {
        self.records_in_file += 1;
        if self.summary != SummaryStatus::Rejected {
            self.records_created += 1;
            *self.created_by_type.entry(record_type.to_owned()).or_default() += 1;
        }
    }

    /// Counts one refused record; a problem says why.
    pub fn refuse(&mut self) {
        self.records_in_file += 1;
    }

    /// Logs a problem, counts it, and lowers the verdict accordingly.
    pub fn tell(&mut self, problem: &Problem<'_>) {
        problem.log();
        self.count(problem);
        if problem.deprecated {
            return;
        }
        let leaves = match problem.category {
            Category::File => SummaryStatus::Rejected,
            Category::Case | Category::Record => SummaryStatus::PartiallyAccepted,
            Category::Field | Category::CrossField => SummaryStatus::AcceptedWithErrors,
        };
        self.summary = self.summary.max(leaves);
        if self.summary == SummaryStatus::Rejected {
            self.records_created = 0;
            self.created_by_type.clear();
        }
    }

    /// Counts a problem that is already logged; those of deprecated rules count separately.
    pub(super) fn count(&mut self, problem: &Problem<'_>) {
        if problem.deprecated {
            self.deprecated_errors += 1;
            return;
        }
        *self.errors.entry(problem.category).or_default() += 1;
        if is_month(problem.month) {
            let of_month = self.errors_by_month.entry(problem.month.to_owned()).or_default();
            *of_month.entry(problem.category).or_default() += 1;
        }
        // A parser may find problems out of order, and two pipes have none. As in a report, a problem of the
        // whole file comes first only where no record has one.
        let rank = |record: Option<u64>| record.unwrap_or(u64::MAX);
        if self.first_error.as_ref().is_none_or(|first| rank(problem.record) < rank(first.record)) {
            let message = problem.message.to_owned();
            self.first_error = Some(FirstError { record: problem.record, message });
        }
    }

    /// Problems of all categories.
    pub fn error_count(&self) -> u64 {
        self.errors.values().fold(0, |total, count| total.saturating_add(*count))
    }

    /// Logs the events that a report needs.
    pub(crate) fn log(&self) {
        for (record_type, records) in &self.created_by_type {
            OutcomeEvent::Accepted { record_type, records: *records }.log();
        }
        for (month, cases) in &self.cases.months {
            let MonthCases { accepted_without_errors, accepted_with_errors } = *cases;
            OutcomeEvent::Cases { month, accepted_without_errors, accepted_with_errors }.log();
        }
        let parsed = OutcomeEvent::Parsed {
            summary: Some(self.summary.as_str()),
            records_in_file: self.records_reported.then_some(self.records_in_file),
            records_created: self.records_reported.then_some(self.records_created),
            lines_rejected: self.cases.rejected,
            errors: self.error_count(),
        };
        parsed.log();
    }
}

/// The counts have months as keys, so there must be few of them.
fn is_month(text: &str) -> bool {
    text.len() == 6 && text.bytes().all(|byte| byte.is_ascii_digit()) && ("01".."13").contains(&&text[4..])
}

/// Cases by result: what the real system shows its users first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseTotals {
    /// Lines with a problem that refuses something (categories 1, 4 and 7).
    pub rejected: u64,
    /// Stored cases by reporting month (`YYYYMM`); empty for a rejected file.
    pub months: BTreeMap<String, MonthCases>,
}

/// Cases stored for one month.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonthCases {
    /// Cases without a problem.
    pub accepted_without_errors: u64,
    /// Cases with a problem.
    pub accepted_with_errors: u64,
}

/// The first problem of a parse; holds no value from the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstError {
    /// Line or row number in the submitted file, from 1; `None` for the whole file.
    pub record: Option<u64>,
    /// What is wrong, for a data analyst.
    pub message: String,
}

/// The verdict on a submission, in the words of the real system; a worse one is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SummaryStatus {
    /// No problem found.
    #[serde(rename = "Accepted")]
    Accepted,
    /// Every record stored, problems found.
    #[serde(rename = "Accepted with Errors")]
    AcceptedWithErrors,
    /// Some records dropped.
    #[serde(rename = "Partially Accepted with Errors")]
    PartiallyAccepted,
    /// Nothing stored.
    #[serde(rename = "Rejected")]
    Rejected,
    /// The parser finished without a verdict on the submission.
    #[serde(rename = "No Verdict")]
    NoVerdict,
}

impl SummaryStatus {
    /// All verdicts, best first, and none last.
    pub const ALL: [Self; 5] =
        [Self::Accepted, Self::AcceptedWithErrors, Self::PartiallyAccepted, Self::Rejected, Self::NoVerdict];

    /// The verdict, as people read it and as the row holds it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::AcceptedWithErrors => "Accepted with Errors",
            Self::PartiallyAccepted => "Partially Accepted with Errors",
            Self::Rejected => "Rejected",
            Self::NoVerdict => "No Verdict",
        }
    }
}

impl std::fmt::Display for SummaryStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}
