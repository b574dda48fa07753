//! Counts problems as they are logged, and makes the outcome of them.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use super::period::Period;
use crate::parser::{CaseTotals, Category, MonthCases, Outcome, Problem, Progress, SummaryStatus};

/// Everything that is counted in one parse.
pub(super) struct ParseTally<'p> {
    period: Period,
    progress: &'p Progress,
    /// The problems so far.
    found: Outcome,
    refused: bool,
    dropped: bool,
    /// Lines with a problem that refuses something, and the last one counted.
    rejected: u64,
    last_rejected: Option<u64>,
    /// Records read, accepted or not.
    pub records_in_file: u64,
    created: BTreeMap<String, u64>,
    /// Cases of each month without and with problems, in sections that have cases.
    cases: Option<[(u64, u64); 3]>,
}

impl<'p> ParseTally<'p> {
    pub(super) fn new(period: Period, progress: &'p Progress) -> Self {
        Self {
            period,
            progress,
            found: Outcome::default(),
            refused: false,
            dropped: false,
            rejected: 0,
            last_rejected: None,
            records_in_file: 0,
            created: BTreeMap::new(),
            cases: None,
        }
    }

    /// Logs and counts one problem.
    pub(super) fn log(&mut self, problem: &Problem<'_>) {
        problem.log();
        self.progress.problems.fetch_add(1, Ordering::Relaxed);
        let is_of_period = (0..3).any(|nth| self.period.month(nth).0.to_string() == problem.month);
        self.found
            .count(&Problem { month: if is_of_period { problem.month } else { "" }, ..problem.clone() });
        if problem.deprecated {
            return;
        }
        match problem.category {
            Category::File => self.refused = true,
            Category::Case | Category::Record => self.dropped = true,
            Category::Field | Category::CrossField => {}
        }
        let rejects = matches!(problem.category, Category::File | Category::Case | Category::Record);
        if rejects && problem.record.is_some() && problem.record != self.last_rejected {
            self.last_rejected = problem.record;
            self.rejected += 1;
        }
    }

    /// Logs a problem of the file as a whole, or of one line that refuses the whole file.
    pub(super) fn refuse(&mut self, record: Option<u64>, message: &str) {
        self.log(&Problem { category: Category::File, record, message, ..Problem::new(Category::File) });
    }

    /// Notes that the whole file is refused, by a problem that was logged.
    pub(super) fn is_refused(&mut self) {
        self.refused = true;
    }

    /// Counts accepted records of one type.
    pub(super) fn accept(&mut self, record_type: &str, records: u64) {
        if records > 0 {
            *self.created.entry(record_type.to_owned()).or_default() += records;
        }
    }

    /// Adds cases of each month without and with problems.
    pub(super) fn count_cases(&mut self, cases: [(u64, u64); 3]) {
        for (total, (sound, unsound)) in self.cases.get_or_insert_default().iter_mut().zip(cases) {
            *total = (total.0 + sound, total.1 + unsound);
        }
    }

    /// Records accepted, all types.
    pub(super) fn records_created(&self) -> u64 {
        self.created.values().sum()
    }

    pub(super) fn into_outcome(self) -> Outcome {
        let summary = match () {
            () if self.refused => SummaryStatus::Rejected,
            () if self.found.errors.is_empty() => SummaryStatus::Accepted,
            () if self.dropped => SummaryStatus::PartiallyAccepted,
            () => SummaryStatus::AcceptedWithErrors,
        };
        let cases = self.cases.filter(|_| !self.refused);
        let months = cases.iter().flatten().zip(0..).map(|(&(sound, unsound), nth)| {
            let cases = MonthCases { accepted_without_errors: sound, accepted_with_errors: unsound };
            (self.period.month(nth).0.to_string(), cases)
        });
        Outcome {
            summary,
            records_in_file: self.records_in_file,
            records_created: if self.refused { 0 } else { self.records_created() },
            cases: CaseTotals { rejected: self.rejected, months: months.collect() },
            created_by_type: if self.refused { BTreeMap::new() } else { self.created },
            ..self.found
        }
    }
}
