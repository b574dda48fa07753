//! Recovery: mends what dead processes left in the spool of this machine, and what machines left that are gone.
//!
//! The first step needs no object store, and does what others wait for: it kills orphaned parsers, closes the logs
//! of the dead, and ends their runs, which queues the next attempts. The second archives the complete logs that nobody
//! works on, and stops for now when the store fails. The third composes the logs of machines that are gone from their
//! remote tails. The spool knows how to close or compose a log, `archive` how to archive it; the callers decide when.

mod dead;
mod elsewhere;

pub use dead::close_dead;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use anyhow::{Context, Result};
use serde::Serialize;
use tokio::sync::Mutex;

use crate::archive::{Archived, Archiver};
use crate::carry;
use crate::ids::LogId;
use crate::spool::SpooledLog;
use crate::system::System;

/// After so many failures of the object store in a row, the other logs wait for the next call.
const PATIENCE: u32 = 3;

/// Recovers one spool. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Recovery {
    system: System,
    archiver: Archiver,
    /// One lock for each step: a second caller waits and then does the whole step, since the first may still have
    /// had a log in hand.
    turns: Arc<[Mutex<()>; 3]>,
    waiting: Waiting,
}

/// What recovery found and did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// Logs of dead processes that it closed.
    pub recovered: u64,
    /// Logs that are archived now.
    pub archived: u64,
    /// Logs that stay in the spool.
    pub kept: u64,
}

impl Recovery {
    /// Recovers the system's spool; `archiver` takes logs from that same spool.
    pub fn new(system: System, archiver: Archiver) -> Self {
        Self { system, archiver, turns: Arc::default(), waiting: Waiting::default() }
    }

    /// Both steps, once.
    ///
    /// # Errors
    /// The spool can't be listed. A failure of one log is logged, and the next log is tried.
    pub async fn sweep(&self) -> Result<Swept> {
        let recovered = self.recover().await?;
        Ok(Swept { recovered, ..self.archive_left().await? })
    }

    /// The second step: archives every complete log on which no process works, the oldest first.
    ///
    /// # Errors
    /// As [`Self::sweep`].
    pub async fn archive_left(&self) -> Result<Swept> {
        self.archive_each(|_| true).await
    }

    /// As [`Self::archive_left`], for a caller that comes back: it tries a log that fails repeatedly less and less
    /// often.
    ///
    /// # Errors
    /// As [`Self::sweep`].
    pub async fn archive_due(&self) -> Result<Swept> {
        self.archive_each(|entry| self.waiting.is_due(entry.log)).await
    }

    async fn archive_each(&self, mut is_due: impl FnMut(&SpooledLog) -> bool) -> Result<Swept> {
        let _turn = self.turns[1].lock().await;
        let mut swept = Swept::default();
        let mut failures = 0;
        for entry in self.list().await?.into_iter().filter(|entry| entry.sealed && is_due(entry)) {
            match self.archive_one(&entry).await {
                Ok(None) => {}
                Ok(Some(Archived::Yes { .. } | Archived::LetGo)) => {
                    swept.archived += 1;
                    failures = 0;
                    self.waiting.end();
                }
                Ok(Some(Archived::Kept { store_is_down, .. })) => {
                    swept.kept += 1;
                    self.waiting.failed(entry.log);
                    failures = if store_is_down { failures + 1 } else { 0 };
                }
                Err(error) => {
                    swept.kept += 1;
                    self.waiting.failed(entry.log);
                    tracing::error!(log = %entry.log, "a log in the spool could not be archived: {error:#}");
                }
            }
            if failures == PATIENCE {
                tracing::warn!(
                    "the object store does not answer: the logs in the spool are tried again later"
                );
                break;
            }
        }
        Ok(swept)
    }

    /// `None` if a process works on the log, or the log is gone.
    async fn archive_one(&self, entry: &SpooledLog) -> Result<Option<Archived>> {
        let (spool, sealed) = (self.system.spool.clone(), entry.clone());
        let log = carry::spawn_blocking(move || spool.take_sealed(&sealed, None)).await??;
        Ok(match log {
            Some(log) => Some(self.archiver.archive(log).await),
            None => None,
        })
    }

    async fn list(&self) -> Result<Vec<SpooledLog>> {
        let spool = self.system.spool.clone();
        carry::spawn_blocking(move || spool.list()).await.context("listing the spool panicked")?
    }
}

/// The most sweeps between two tries of a log: a quarter of an hour at the default setting.
const MOST: u32 = 32;

/// The logs that failed before: one that failed again and again is tried after one sweep, then after two, four and
/// so on. Known to one process alone, which is enough: forgetting it costs one more try. Cheap to clone.
#[derive(Debug, Clone, Default)]
struct Waiting(Arc<std::sync::Mutex<HashMap<LogId, Turn>>>);

#[derive(Debug, Default)]
struct Turn {
    /// Sweeps from the last try to the next.
    pause: u32,
    /// Sweeps that passed since the last try.
    passed: u32,
}

impl Waiting {
    /// Counts a sweep; returns whether to try this log now.
    fn is_due(&self, log: LogId) -> bool {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        turns.get_mut(&log).is_none_or(|turn| {
            turn.passed += 1;
            turn.passed >= turn.pause
        })
    }

    /// Waits longer for this log than the last time.
    fn failed(&self, log: LogId) {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = turns.entry(log).or_default();
        *turn = Turn { pause: (turn.pause * 2).clamp(1, MOST), passed: 0 };
    }

    /// Forgets all waits: a log was archived, so the store works.
    fn end(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
