//! The sweep: logs in the spool that nobody works on are closed, archived and recorded.

use anyhow::Result;
use serde::Serialize;

use super::{Archived, Archiver};
use crate::parser;
use crate::queue::{self, Finished};
use crate::spool::Entry;
use crate::{carry, faults};

/// After so many failures of the object store in a row the sweep gives up until the next time.
const PATIENCE: u32 = 3;

/// What a sweep found and did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// Logs of dead processes that it closed.
    pub recovered: u64,
    /// Logs that are archived now.
    pub archived: u64,
    /// Logs that stay in the spool.
    pub kept: u64,
}

impl Archiver {
    /// Goes once through the spool: closes the logs of dead processes with a `crash` tail, ends their
    /// runs, and archives every complete log that nobody works on.
    ///
    /// # Errors
    /// When the spool can't be listed. What fails for one log is logged, and the next is tried.
    pub async fn sweep(&self) -> Result<Swept> {
        let mut swept = Swept::default();
        let mut failures = 0;
        for entry in self.spool.list()? {
            match self.sweep_one(&entry, &mut swept).await {
                Ok(true) => failures += 1,
                Ok(false) => failures = 0,
                Err(error) => {
                    swept.kept += 1;
                    tracing::error!(run = %entry.run, "the sweep could not handle a log: {error:#}");
                }
            }
            if failures == PATIENCE {
                tracing::warn!("the object store does not answer: the sweep goes on later");
                break;
            }
        }
        Ok(swept)
    }

    /// Returns whether the object store failed.
    async fn sweep_one(&self, entry: &Entry, swept: &mut Swept) -> Result<bool> {
        let (spool, taken) = (self.spool.clone(), entry.clone());
        let Some(log) = carry::spawn_blocking(move || spool.take_abandoned(&taken)).await?? else {
            return Ok(false);
        };
        if !entry.sealed {
            swept.recovered += 1;
            // Before the next attempt may begin.
            let run = entry.run;
            carry::spawn_blocking(move || parser::clear_after(run)).await?;
            faults::point("recovered");
            match queue::crashed(&self.pool, entry.run).await {
                Ok(Finished::Yes) => tracing::warn!(run = %entry.run, "crashed: its worker is gone"),
                Ok(Finished::Fenced) => {}
                // Its lease runs out, and a worker that reaches the database ends it then.
                Err(error) => tracing::warn!(run = %entry.run, "a crash could not be recorded: {error:#}"),
            }
        }
        faults::point("crash-on-row");
        Ok(match self.archive(log).await {
            Archived::Yes { .. } => {
                swept.archived += 1;
                false
            }
            Archived::Kept { store_is_down, .. } => {
                swept.kept += 1;
                store_is_down
            }
        })
    }
}
