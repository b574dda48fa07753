//! Counts the problems that an external parser logs, for an outcome it does not state itself.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use super::super::{Category, FirstError, Problem, Progress};

/// The count, shared by the threads that read the program's output.
#[derive(Debug, Default, Clone)]
pub(super) struct Tally(Arc<Mutex<Counted>>);

/// What was counted.
#[derive(Debug, Default)]
pub(super) struct Counted {
    pub(super) errors: BTreeMap<Category, u64>,
    pub(super) deprecated_errors: u64,
    pub(super) errors_by_month: BTreeMap<String, BTreeMap<Category, u64>>,
    pub(super) first_error: Option<FirstError>,
    /// The line of the last exception that was printed.
    pub(super) exception: Option<String>,
    /// The highest record number that was named.
    last_record: u64,
}

impl Tally {
    /// Counts a problem; one whose rule no longer counts stands apart.
    pub(super) fn problem(&self, problem: &Problem<'_>) {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if problem.deprecated {
            counted.deprecated_errors += 1;
            return;
        }
        *counted.errors.entry(problem.category).or_default() += 1;
        if is_month(problem.month) {
            let of_month = counted.errors_by_month.entry(problem.month.to_owned()).or_default();
            *of_month.entry(problem.category).or_default() += 1;
        }
        // Two pipes have no common order, and a program may report out of order. As in a report, a problem
        // of the whole file comes first only where no record has one.
        let rank = |record: Option<u64>| record.unwrap_or(u64::MAX);
        if counted.first_error.as_ref().is_none_or(|first| rank(problem.record) < rank(first.record)) {
            let message = problem.message.to_owned();
            counted.first_error = Some(FirstError { record: problem.record, message });
        }
    }

    /// Keeps the last line of an exception, which says what it is.
    pub(super) fn exception(&self, text: &str) {
        let line = text.lines().rfind(|line| !line.trim().is_empty()).map(ToOwned::to_owned);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).exception = line;
    }

    pub(super) fn record(&self, number: u64) {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counted.last_record = counted.last_record.max(number);
    }

    /// Tells the progress what is known only from the program's lines.
    pub(super) fn show(&self, progress: &Progress) {
        let counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        progress.records.store(counted.last_record, Ordering::Relaxed);
        progress.problems.store(counted.errors.values().sum::<u64>(), Ordering::Relaxed);
    }

    pub(super) fn take(&self) -> Counted {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Months are counted by name, so that names must be few.
fn is_month(text: &str) -> bool {
    text.len() == 6 && text.bytes().all(|byte| byte.is_ascii_digit()) && ("01".."13").contains(&&text[4..])
}
