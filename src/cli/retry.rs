//! `parselog retry`: another attempt at jobs that ended without a verdict.

use anyhow::Result;
use chrono::{DateTime, Utc};
use clap::Args;

use super::database::open_database;
use super::submit::user;
use super::value::TARGET_HELP;
use super::{Common, Exit, show, verdict};
use crate::clock::{WHEN, when};
use crate::desk::choose::RunChoice;
use crate::desk::words::counted;
use crate::queue;

/// Try runs again that failed, crashed or were stopped: each gets another attempt at once, in its batch.
///
/// Named runs are queued at once; the others are listed first. What has a verdict is parsed again by `reparse`.
#[derive(Debug, Args)]
pub(super) struct RetryArgs {
    #[arg(value_name = "RUN|FILE", help = TARGET_HELP, required_unless_present_any = ["batch", "reparse", "failed"])]
    targets: Vec<String>,
    /// What failed of this submission.
    #[arg(long, value_name = "ID", conflicts_with = "targets")]
    batch: Option<i64>,
    /// What failed of this reparse: its id, or @latest.
    #[arg(long, value_name = "ID", conflicts_with_all = ["targets", "batch"])]
    reparse: Option<String>,
    /// Everything that failed; with --since, lately.
    #[arg(long, conflicts_with = "targets")]
    failed: bool,
    /// Only what ended at this time or later: a time, or how long ago, such as 1h.
    #[arg(long, value_name = WHEN, value_parser = when, conflicts_with = "targets")]
    since: Option<DateTime<Utc>>,
    /// Do not ask.
    #[arg(long, short = 'y')]
    yes: bool,
    /// Only list the runs.
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Who asks; by default the user's name.
    #[arg(long, value_name = "WHO")]
    by: Option<String>,
    /// Print one JSON object per queued run.
    #[arg(long)]
    json: bool,
}

impl RetryArgs {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        let pool = open_database(common).await?;
        let choice = RunChoice {
            named: self.targets,
            batch: self.batch,
            reparse: self.reparse,
            failed: self.failed,
            since: self.since,
        };
        let runs = choice.to_retry(&pool).await?;
        if self.dry_run || !choice.names_each() {
            if !self.json || self.dry_run {
                show::line(verdict::table(&runs, Utc::now()))?;
            }
            let question = format!("Try {} again?", counted(runs.len() as u64, "run"));
            if self.dry_run {
                return Ok(Exit::Ok);
            }
            if !self.yes && !show::agrees(&question, "nothing was queued")? {
                show::note("nothing was queued");
                return Ok(Exit::Ok);
            }
        }
        let ids: Vec<_> = runs.iter().map(|run| run.id).collect();
        let retried = queue::retry(&pool, &ids, &self.by.unwrap_or_else(user)).await?;
        for one in &retried {
            if self.json {
                show::json(one)?;
            } else {
                show::line(format_args!("{}  queued again, as run {}", one.before, one.run))?;
            }
        }
        if retried.len() < ids.len() {
            let others = counted((ids.len() - retried.len()) as u64, "run");
            show::note(&format!("{others} were tried again by somebody else meanwhile"));
        }
        Ok(Exit::Ok)
    }
}
