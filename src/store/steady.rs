//! How long the database has answered this process without a break.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Shared by all connections of a pool. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Steady(Arc<Mutex<Option<Instant>>>);

impl Steady {
    /// The database answered, whatever it said.
    pub(super) fn answered(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Instant::now);
    }

    /// A connection broke, stayed silent, or could not be had.
    pub(super) fn broke(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// How long it has answered; zero before the first answer.
    pub(super) fn time(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).map_or(Duration::ZERO, |since| since.elapsed())
    }
}
