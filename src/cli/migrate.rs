//! `parselog migrate`: bring the tables of the database up to date.

use anyhow::Result;
use clap::Args;

use super::desk::{COMMAND_SLOTS, connect, start_cluster};
use super::{Common, Exit, show};
use crate::config::Secret;
use crate::store;

/// Bring the tables of the database up to date. Safe to repeat, and from several machines at once.
#[derive(Debug, Args)]
pub(super) struct Migrate {
    /// Only say which migrations are pending.
    #[arg(long)]
    dry_run: bool,
}

impl Migrate {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        let cluster = match common.database.database_url {
            Some(_) => None,
            None => Some(start_cluster(common).await?),
        };
        let embedded = cluster.as_ref().map(crate::cluster::Cluster::url);
        let configured = common.database.database_url.as_ref().map(Secret::expose);
        let url = embedded.as_deref().or(configured).expect("one of the two is there");
        let pool = connect(common, url, COMMAND_SLOTS).await?;
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
        pool.close().await;
        Ok(Exit::Ok)
    }
}
