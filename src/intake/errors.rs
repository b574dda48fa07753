//! Errors in streams, counted by who wrote them, until the database has the counts. Operators are told from there.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Result;

use crate::ids::ServiceName;
use crate::redact::Redactor;
use crate::store::PgPool;
use crate::store::stream_error::{self, NewErrors};

/// The most conditions that are counted apart; further ones count as one.
const MOST: usize = 500;

/// The most bytes of a logger's name that matter.
const LONGEST: usize = 256;

/// Errors that the database does not know yet, by stream and logger. They are in their streams: a count that dies with
/// its process delays a mail.
#[derive(Debug)]
pub(super) struct ErrorCounts {
    redactor: Redactor,
    counts: Mutex<HashMap<(String, String), u64>>,
}

impl ErrorCounts {
    /// No errors yet. The names of loggers leave by mail and webhook, so they pass through the redactor.
    pub(super) fn new(redactor: Redactor) -> Self {
        Self { redactor, counts: Mutex::default() }
    }

    /// Counts an error of a logger in a stream.
    pub(super) fn note(&self, stream: &str, logger: &str) {
        let logger = self.redactor.redact(&logger[..logger.floor_char_boundary(LONGEST)]);
        let mut counts = self.lock();
        let mut key = (stream.to_owned(), logger.into_owned());
        if counts.len() >= MOST && !counts.contains_key(&key) {
            key = (ServiceName::overflow().as_str().to_owned(), String::new());
        }
        *counts.entry(key).or_default() += 1;
    }

    /// Tells the database.
    ///
    /// # Errors
    /// The database fails; then the counts are still here.
    pub(super) async fn tell(&self, pool: &PgPool) -> Result<()> {
        let errors: Vec<NewErrors> = self
            .lock()
            .iter()
            .map(|((service, logger), count)| NewErrors {
                service: service.clone(),
                logger: logger.clone(),
                count: *count,
            })
            .collect();
        if errors.is_empty() {
            return Ok(());
        }
        stream_error::add(pool, &errors).await?;
        let mut counts = self.lock();
        for NewErrors { service, logger, count } in errors {
            let key = (service, logger);
            // More may have come meanwhile.
            let rest = counts.get(&key).map_or(0, |now| now.saturating_sub(count));
            match rest {
                0 => drop(counts.remove(&key)),
                rest => drop(counts.insert(key, rest)),
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), u64>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_loggers_as_a_sender_likes_take_bounded_memory_and_no_error_is_uncounted() {
        let counts = ErrorCounts::new(Redactor::default());
        let long = "é".repeat(LONGEST);
        for number in 0..2 * MOST {
            counts.note("celery", &format!("{number}{long}"));
        }
        let counted = counts.lock();
        assert_eq!(counted.len(), MOST + 1);
        assert_eq!(counted.values().sum::<u64>(), 2 * MOST as u64);
        assert!(counted.keys().all(|(_, logger)| logger.len() <= LONGEST));
    }

    #[test]
    fn a_private_value_in_the_name_of_a_logger_is_not_told() {
        let counts = ErrorCounts::new(Redactor::default());
        counts.note("web", "client 123-45-6789");
        let counted = counts.lock();
        assert!(counted.keys().all(|(_, logger)| logger.starts_with("client ") && !logger.contains("6789")));
    }
}
