//! `parselog migrate`: bring the tables of the database up to date.

use anyhow::Result;
use clap::Args;

use super::desk::start_cluster;
use super::{Common, Exit, show};
use crate::config::default_worker_name;
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
        let cluster = match common.place.database_url {
            Some(_) => None,
            None => Some(start_cluster(common).await?),
        };
        let embedded = cluster.as_ref().map(crate::cluster::Cluster::url);
        let url = embedded.as_ref().or(common.place.database_url.as_ref()).expect("one of the two is there");
        let pool = store::connect(url, &format!("parselog-{}", default_worker_name())).await?;
        let pending = store::pending(&pool).await?;
        if pending.is_empty() {
            show::line("the database is up to date")?;
            return Ok(Exit::Ok);
        }
        if !self.dry_run {
            store::migrate(&pool).await?;
        }
        let done = if self.dry_run { "pending" } else { "applied" };
        pending.iter().try_for_each(|migration| show::line(&format!("{done}  {migration}")))?;
        pool.close().await;
        Ok(Exit::Ok)
    }
}
