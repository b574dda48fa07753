//! The row of a claimed run, in the database: it takes the news of the parse, and retries for long.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use uuid::Uuid;

use crate::faults;
use crate::ids::{DataFileId, RunId};
use crate::parse::{RunRow, lifecycle};
use crate::queue::{self, ClaimedRun, Ending, Finished};
use crate::store::{self, FirstSeen, PgPool};

/// Seconds between attempts to write the ending while the database does not answer, three minutes in all.
/// They stay short, since the run occupies its slot meanwhile.
const FINISH_PAUSES: [u64; 3] = [1, 2, 4];
const LAST_FINISH_PAUSE: (u64, usize) = (5, 35);

/// Seconds between attempts to update the file's row while the database does not answer.
const NOTE_PAUSES: [u64; 7] = [1, 2, 4, 8, 15, 30, 60];

/// The row of a claimed run.
pub(super) struct ClaimedRow {
    pool: PgPool,
    run: RunId,
    data_file: DataFileId,
    lease_token: Uuid,
    /// The spool of its log, if the log is to outlive the machine.
    spool: Option<Uuid>,
}

impl ClaimedRow {
    pub(super) fn new(pool: PgPool, claimed: &ClaimedRun, spool: Option<Uuid>) -> Self {
        let ClaimedRun { run, lease_token, .. } = claimed;
        Self { pool, run: run.id, data_file: run.data_file_id, lease_token: *lease_token, spool }
    }
}

impl RunRow for ClaimedRow {
    async fn opened(&self, _: Option<Arc<File>>) {
        if let Err(error) = store::log::opened_in(&self.pool, self.run.into(), self.spool).await {
            tracing::warn!(run = %self.run, "the row does not say yet where the log is: {error:#}");
        }
    }

    /// A sweep that saves some events corrects it later.
    async fn lost(&self, reason: &str, dropped: Option<u64>) {
        if let Err(error) = store::log::lost(&self.pool, self.run.into(), reason, dropped).await {
            tracing::warn!(run = %self.run, "the row does not say how many events its log misses: {error:#}");
        }
    }

    async fn first_seen(&self, seen: &FirstSeen) -> Result<bool> {
        for seconds in NOTE_PAUSES {
            match store::data_file::first_seen(&self.pool, self.data_file, seen).await {
                Err(error) => {
                    tracing::warn!(run = %self.run, "what was fetched is not on the row yet: {error:#}");
                    tokio::time::sleep(Duration::from_secs(seconds)).await;
                }
                noted => return noted,
            }
        }
        store::data_file::first_seen(&self.pool, self.data_file, seen).await
    }

    /// Writes the ending and retries for long: the run must not stay open because of a short outage of the
    /// database.
    async fn ended(&self, ending: &Ending) {
        let run = self.run;
        let (last, times) = LAST_FINISH_PAUSE;
        let mut pauses = FINISH_PAUSES.into_iter().chain(std::iter::repeat_n(last, times));
        loop {
            faults::point("before-finish");
            match queue::finish(&self.pool, run, self.lease_token, ending).await {
                Ok(Finished::Yes) => {
                    faults::point("after-finish");
                    return lifecycle(run, ending);
                }
                Ok(Finished::Fenced) => {
                    return tracing::warn!(%run, "fenced: the run was another attempt's by now, its result is refused");
                }
                Ok(Finished::Refused) => return,
                Err(error) if store::refusal(&error).is_some() => {
                    return tracing::error!(%run, "the database refuses every ending; the run's lease runs out: {error:#}");
                }
                Err(error) => match pauses.next() {
                    Some(seconds) => {
                        tracing::warn!(%run, "the ending is not on the row yet: {error:#}");
                        tokio::time::sleep(Duration::from_secs(seconds)).await;
                    }
                    None => {
                        return tracing::error!(%run, "the ending could not be recorded; the run's lease runs out: {error:#}");
                    }
                },
            }
        }
    }
}
