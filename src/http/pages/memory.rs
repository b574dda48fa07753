//! What the pages remember of logs that somebody reads, so that the next page of the same log costs less. None of it
//! is a log's text for longer than its run exists, and all of it can be read again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::super::error::{Answered, HttpError};
use super::watches::LogWatches;
use crate::ids::RunId;
use crate::reader::KnownBlocks;
use crate::report::ProblemGroup;

/// Logs that are remembered at once. The blocks of a log of 10 GB take about a megabyte.
const LOGS: usize = 32;

/// Logs that are read at once for pages, and how long a reader waits for its turn.
const READERS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(10);

/// What is remembered, and who reads now.
pub(in super::super) struct PageMemory {
    readers: Arc<Semaphore>,
    blocks: Mutex<Recent<KnownBlocks>>,
    problems: Mutex<Recent<Arc<Vec<ProblemGroup>>>>,
    /// The logs that somebody follows.
    pub(super) watches: LogWatches,
}

/// The values of the runs that were looked at last.
struct Recent<V>(VecDeque<(RunId, V)>);

impl<V> Default for Recent<V> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<V: Clone> Recent<V> {
    fn get(&mut self, run: RunId) -> Option<V> {
        let at = self.0.iter().position(|(known, _)| *known == run)?;
        let found = self.0.remove(at)?;
        self.0.push_back(found);
        self.0.back().map(|(_, value)| value.clone())
    }

    fn put(&mut self, run: RunId, value: V) {
        self.0.retain(|(known, _)| *known != run);
        self.0.push_back((run, value));
        if self.0.len() > LOGS {
            self.0.pop_front();
        }
    }
}

impl Default for PageMemory {
    fn default() -> Self {
        Self {
            readers: Arc::new(Semaphore::new(READERS)),
            blocks: Mutex::default(),
            problems: Mutex::default(),
            watches: LogWatches::default(),
        }
    }
}

impl PageMemory {
    /// Waits for a turn to read a log.
    ///
    /// # Errors
    /// Too many read for too long.
    pub(super) async fn turn(&self) -> Answered<OwnedSemaphorePermit> {
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.readers).acquire_owned()).await;
        turn.ok().and_then(Result::ok).ok_or_else(|| HttpError::busy("too many logs are being read now"))
    }

    /// The blocks of a run's log, as somebody left them.
    pub(super) fn blocks(&self, run: RunId) -> Option<KnownBlocks> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner).get(run)
    }

    pub(super) fn keep_blocks(&self, run: RunId, blocks: KnownBlocks) {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner).put(run, blocks);
    }

    /// The problems of a run that is over.
    pub(super) fn problems(&self, run: RunId) -> Option<Arc<Vec<ProblemGroup>>> {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner).get(run)
    }

    pub(super) fn keep_problems(&self, run: RunId, problems: Arc<Vec<ProblemGroup>>) {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner).put(run, problems);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_run_that_nobody_looked_at_for_longest_is_forgotten_first() {
        let mut recent = Recent::default();
        let runs: Vec<RunId> = (0..=LOGS).map(|_| RunId::new()).collect();
        for (nth, run) in runs.iter().enumerate().take(LOGS) {
            recent.put(*run, nth);
        }
        assert_eq!(recent.get(runs[0]), Some(0));
        recent.put(runs[LOGS], LOGS);
        assert_eq!((recent.get(runs[0]), recent.get(runs[1]), recent.get(runs[2])), (Some(0), None, Some(2)));
        recent.put(runs[0], 7);
        assert_eq!((recent.get(runs[0]), recent.0.len()), (Some(7), LOGS));
    }
}
