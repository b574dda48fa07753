//! `parselog cancel`: stop runs, or remove them from the queue.

use anyhow::Result;
use chrono::Utc;
use clap::Args;

use super::database::open_database;
use super::submit::user;
use super::value::TARGET_HELP;
use super::{CliError, Common, Exit, show, verdict};
use crate::desk::choose::RunChoice;
use crate::desk::words::counted;
use crate::queue::{self, Cancelled};
use crate::store::{PgPool, Run};

/// Stop runs, or remove them from the queue. Their logs stay.
///
/// Named runs stop at once; the runs of a batch are listed first.
#[derive(Debug, Args)]
pub(super) struct CancelArgs {
    #[arg(value_name = "RUN|FILE", help = TARGET_HELP, required_unless_present_any = ["batch", "reparse"])]
    targets: Vec<String>,
    /// Everything queued or running of this submission.
    #[arg(long, value_name = "ID", conflicts_with = "targets")]
    batch: Option<i64>,
    /// Everything queued or running of this reparse: its id, or @latest.
    #[arg(long, value_name = "ID", conflicts_with_all = ["targets", "batch"])]
    reparse: Option<String>,
    /// Do not ask.
    #[arg(long, short = 'y')]
    yes: bool,
    /// Only list the runs.
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Who asks; by default the user's name.
    #[arg(long, value_name = "WHO")]
    by: Option<String>,
}

impl CancelArgs {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        let pool = open_database(common).await?;
        let choice = RunChoice {
            named: self.targets,
            batch: self.batch,
            reparse: self.reparse,
            ..RunChoice::default()
        };
        let runs = choice.to_cancel(&pool).await?;
        if self.dry_run || !choice.names_each() {
            show::line(verdict::table(&runs, Utc::now()))?;
            let question = format!("Cancel {}?", counted(runs.len() as u64, "run"));
            if self.dry_run {
                return Ok(Exit::Ok);
            }
            if !self.yes && !show::agrees(&question, "nothing was cancelled")? {
                show::note("nothing was cancelled");
                return Ok(Exit::Ok);
            }
        }
        let by = self.by.unwrap_or_else(user);
        for run in &runs {
            cancel(&pool, run, &by).await?;
        }
        Ok(Exit::Ok)
    }
}

async fn cancel(pool: &PgPool, run: &Run, by: &str) -> Result<()> {
    let id = run.id;
    match queue::cancel(pool, id, by).await? {
        Cancelled::BeforeStart => show::line(format_args!("{id}  removed from the queue")),
        Cancelled::Requested => {
            show::line(format_args!("{id}  asked to stop; its worker reacts within seconds"))
        }
        // One that ended since it was looked up has no verdict here yet.
        Cancelled::HadEnded(status) if status != run.status => {
            show::line(format_args!("{id}  already ended as {status}; nothing to do"))
        }
        Cancelled::HadEnded(_) => {
            show::line(format_args!("{id}  already ended as {}; nothing to do", run.verdict()))
        }
        Cancelled::Unknown => Err(CliError::not_found(format!("run {id} not found"))),
    }
}
