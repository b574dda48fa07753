//! `parselog cancel`: stop a run, or remove it from the queue.

use anyhow::Result;
use clap::Args;

use super::database::open_database;
use super::submit::user;
use super::value::TARGET_HELP;
use super::{CliError, Common, Exit, show};
use crate::desk::lookup::find_run;
use crate::queue::{self, Cancelled};

/// Stop a run, or remove it from the queue. Its log stays.
#[derive(Debug, Args)]
pub(super) struct CancelArgs {
    #[arg(value_name = "RUN|FILE", help = TARGET_HELP)]
    target: String,
    /// Who asks; by default the user's name.
    #[arg(long, value_name = "WHO")]
    by: Option<String>,
}

impl CancelArgs {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        let pool = open_database(common).await?;
        let run = find_run(&pool, &self.target).await?;
        let by = self.by.unwrap_or_else(user);
        match queue::cancel(&pool, run.id, &by).await? {
            Cancelled::BeforeStart => show::line(format_args!("{}  removed from the queue", run.id))?,
            Cancelled::Requested => {
                show::line(format_args!("{}  asked to stop; its worker reacts within seconds", run.id))?;
            }
            Cancelled::HadEnded(status) => {
                show::line(format_args!("{}  already ended as {status}; nothing to do", run.id))?;
            }
            Cancelled::Unknown => return Err(CliError::not_found(format!("run {} not found", run.id))),
        }
        Ok(Exit::Ok)
    }
}
