//! Chooses runs to cancel or to retry: named one by one, or all of a batch, or what failed lately.

use chrono::{DateTime, Utc};

use super::lookup::{find_reparse, find_run};
use super::{DeskError, Result};
use crate::ids::BatchId;
use crate::store::{self, PgPool, Run, RunFilter, RunStatus};

/// Most runs of one choice: a list that nobody can read is no preview.
const MOST: i64 = 10_000;

/// How somebody names runs. What is not given does not restrict; without a name something else is.
#[derive(Debug, Clone, Default)]
pub struct RunChoice {
    /// Each as [`find_run`] takes it.
    pub named: Vec<String>,
    /// A submission's batch.
    pub batch: Option<i64>,
    /// A reparse, as [`find_reparse`] takes it.
    pub reparse: Option<String>,
    /// What failed, whatever its batch.
    pub failed: bool,
    /// Ended at this moment or later.
    pub since: Option<DateTime<Utc>>,
}

impl RunChoice {
    /// Whether every run is named by itself, so that nobody has to look at a list first.
    pub fn names_each(&self) -> bool {
        self.batch.is_none() && self.reparse.is_none() && !self.failed
    }

    /// The runs that can be cancelled: queued or running. Of named runs all, whatever their state.
    ///
    /// # Errors
    /// A name is unknown or means several, or nothing matches.
    pub async fn to_cancel(&self, pool: &PgPool) -> Result<Vec<Run>> {
        self.find(pool, vec![RunStatus::Queued, RunStatus::Running], "nothing of it is queued or running")
            .await
    }

    /// The runs that can be retried: the last attempts of jobs that ended without a verdict.
    ///
    /// # Errors
    /// A name is unknown or means several, a named run can't be retried, or nothing matches.
    pub async fn to_retry(&self, pool: &PgPool) -> Result<Vec<Run>> {
        let status = vec![RunStatus::Fail, RunStatus::Crash, RunStatus::Terminate];
        let mut chosen = Vec::new();
        let nothing = match (self.batch.is_some() || self.reparse.is_some(), self.since) {
            (false, Some(_)) => "nothing failed since then",
            (false, None) => "nothing failed",
            (true, Some(_)) => "nothing of it failed since then",
            (true, None) => "nothing of it failed",
        };
        for run in self.find(pool, status, nothing).await? {
            let last = store::run::last_attempt(pool, run.id).await?;
            if last.as_ref().is_none_or(|last| last.id == run.id) {
                chosen.push(run);
            } else if self.names_each() {
                let last = last.map_or(run.id, |last| last.id);
                return Err(DeskError::Conflict(format!(
                    "run {} was tried again already, as run {last}",
                    run.id
                )));
            }
        }
        let fits = |run: &&Run| run.status.is_final() && run.status != RunStatus::Success;
        if let Some(other) = chosen.iter().find(|run| !fits(run)) {
            return Err(DeskError::Conflict(format!(
                "run {} is {}, so there is nothing to retry: `parselog reparse {}` parses its file again",
                other.id,
                other.verdict(),
                other.data_file_id
            )));
        }
        if chosen.is_empty() {
            return Err(none("everything that failed was tried again already"));
        }
        Ok(chosen)
    }

    async fn find(&self, pool: &PgPool, status: Vec<RunStatus>, nothing: &str) -> Result<Vec<Run>> {
        let mut found: Vec<Run> = Vec::new();
        for name in &self.named {
            let run = find_run(pool, name).await?;
            if found.iter().all(|known| known.id != run.id) {
                found.push(run);
            }
        }
        if self.names_each() {
            return match found.is_empty() {
                true => Err(DeskError::Invalid("say which runs: by name, --batch or --reparse".to_owned())),
                false => Ok(found),
            };
        }
        let batch = match (&self.reparse, self.batch) {
            (Some(reparse), _) => Some(find_reparse(pool, reparse).await?.id),
            (None, batch) => batch.map(BatchId),
        };
        let filter =
            RunFilter { status, batch, ended_since: self.since, limit: Some(MOST), ..RunFilter::default() };
        let more = store::find(pool, &filter).await?;
        found.extend(more);
        if found.is_empty() { Err(none(nothing)) } else { Ok(found) }
    }
}

fn none(what: &str) -> DeskError {
    DeskError::NotFound(format!("{what}: `parselog runs` lists what there is"))
}
