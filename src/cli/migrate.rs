//! `parselog migrate`: bring the tables of the database up to date.

use anyhow::Result;
use clap::Args;

use super::database::{COMMAND_SLOTS, connect};
use super::{Common, Exit, show};
use crate::store;

/// Bring the tables of the database up to date. Safe to repeat, and from several machines at once.
#[derive(Debug, Args)]
pub(super) struct MigrateArgs {
    /// Only list the pending migrations.
    #[arg(long)]
    dry_run: bool,
}

impl MigrateArgs {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        let pool = connect(common, COMMAND_SLOTS).await?;
        let pending = store::pending(&pool).await?;
        if !self.dry_run {
            store::migrate(&pool).await?;
        }
        if pending.is_empty() {
            show::line("the database is up to date")?;
            return Ok(Exit::Ok);
        }
        let done = if self.dry_run { "pending" } else { "applied" };
        pending.iter().try_for_each(|migration| show::line(format_args!("{done}  {migration}")))?;
        Ok(Exit::Ok)
    }
}
