//! `parselog db`: the embedded database, which stays up for a while after its last use.

use anyhow::Result;
use clap::{Args, Subcommand};

use super::{Common, Exit, show};
use crate::cluster;

/// Show or stop the embedded database, which stays up for a while after its last use.
#[derive(Debug, Args)]
pub(super) struct DbArgs {
    #[command(subcommand)]
    command: DbCommand,
}

#[derive(Debug, Subcommand)]
enum DbCommand {
    /// Show whether the embedded database is running, and where.
    Status,
    /// Stop the embedded database now; the data stays.
    Stop,
    /// Be the process that starts and stops the embedded database.
    #[command(hide = true)]
    Keep {
        #[arg(long)]
        detached: bool,
    },
}

impl DbArgs {
    pub(super) fn run(self, common: &Common) -> Result<Exit> {
        let home = common.place.home();
        match self.command {
            DbCommand::Keep { detached } => cluster::keep(&home, detached)?,
            DbCommand::Stop => {
                let ran = cluster::stop(&home)?;
                show::line(if ran { "stopped" } else { "not running" })?;
            }
            DbCommand::Status => show::line(text(&cluster::status(&home)?))?,
        }
        Ok(Exit::Ok)
    }
}

fn text(status: &cluster::ClusterStatus) -> String {
    let Some((server, url)) = &status.server else { return "not running".to_owned() };
    let use_of_it = if status.in_use { "in use" } else { "not in use" };
    let idle = humantime::format_duration(status.idle);
    format!("running   process {server}, {use_of_it}; it stops {idle} after its last use\nurl       {url}")
}
