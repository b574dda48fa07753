//! Counts the problems that an external parser logs, for an outcome it does not state itself.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use super::super::{Outcome, Problem, Progress};

/// The count, shared by the threads that read the program's output.
#[derive(Debug, Default, Clone)]
pub(super) struct Tally(Arc<Mutex<Counted>>);

/// What was counted.
#[derive(Debug, Default)]
pub(super) struct Counted {
    pub(super) outcome: Outcome,
    /// The line of the last exception that was printed.
    pub(super) exception: Option<String>,
    /// The last line of warnings and errors on stderr.
    pub(super) complaint: Option<String>,
    /// The highest record number that was named.
    last_record: u64,
}

impl Tally {
    /// Counts a problem that the program reported.
    pub(super) fn problem(&self, problem: &Problem<'_>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).outcome.count(problem);
    }

    /// Keeps the last line of an exception, which says what it is.
    pub(super) fn exception(&self, text: &str) {
        let line = text.lines().rfind(|line| !line.trim().is_empty()).map(ToOwned::to_owned);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).exception = line;
    }

    /// Keeps the last line of what was said on stderr: a program that does not even start says there why.
    pub(super) fn complaint(&self, text: &str) {
        let line = text.lines().rfind(|line| !line.trim().is_empty()).map(ToOwned::to_owned);
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counted.complaint = line.or(counted.complaint.take());
    }

    pub(super) fn record(&self, number: u64) {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counted.last_record = counted.last_record.max(number);
    }

    /// Shows in the progress what only the program's lines tell.
    pub(super) fn show(&self, progress: &Progress) {
        let counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        progress.records.store(counted.last_record, Ordering::Relaxed);
        progress.problems.store(counted.outcome.error_count(), Ordering::Relaxed);
    }

    pub(super) fn take(&self) -> Counted {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
