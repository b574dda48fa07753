//! Which logs wait before they are tried again: one that failed again and again is tried after one sweep,
//! then after two, four and so on. Known to one process alone, which is enough: what it costs to forget
//! it is one more try.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::ids::LogId;

/// The most sweeps between two tries: a quarter of an hour at the default setting.
const MOST: u32 = 32;

/// The logs that failed before. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Waiting(Arc<Mutex<HashMap<LogId, Turn>>>);

#[derive(Debug, Default)]
struct Turn {
    /// Sweeps from the last try to the next.
    pause: u32,
    /// Sweeps that passed since the last try.
    passed: u32,
}

impl Waiting {
    /// Counts one more sweep; whether it is the one to try this log again.
    pub(super) fn is_due(&self, log: LogId) -> bool {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        turns.get_mut(&log).is_none_or(|turn| {
            turn.passed += 1;
            turn.passed >= turn.pause
        })
    }

    /// A log failed: it is tried again later than the last time.
    pub(super) fn failed(&self, log: LogId) {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = turns.entry(log).or_default();
        *turn = Turn { pause: (turn.pause * 2).clamp(1, MOST), passed: 0 };
    }

    /// A log was archived, so the store is well: all others are tried again at once.
    pub(super) fn end(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
