//! `parselog runs`: list runs, the newest first.

use anyhow::Result;
use chrono::Utc;
use clap::Args;
use std::time::Duration;

use super::database::open_database;
use super::value::{limit, year};
use super::{Common, Exit, show, verdict};
use crate::config::duration;
use crate::desk::lookup::find_file;
use crate::ids::BatchId;
use crate::store::{self, LogState, RunFilter, RunStatus};

/// List runs, the newest first.
#[derive(Debug, Args)]
pub(super) struct RunsArgs {
    /// Only runs of these statuses: queued, running, success, fail, terminate, inaction, crash.
    #[arg(long, value_delimiter = ',')]
    status: Vec<RunStatus>,
    /// Only runs whose log is in these states: none, open, sealed, archived, fallback, lost, pruned.
    #[arg(long, value_delimiter = ',', value_name = "STATE")]
    log_state: Vec<LogState>,
    /// Only runs of this data file: its id, name or key.
    #[arg(long)]
    file: Option<String>,
    /// Only runs of this submission or reparse.
    #[arg(long, value_name = "ID")]
    batch: Option<i64>,
    /// Only runs of this program.
    #[arg(long)]
    program: Option<String>,
    /// Only runs of this section.
    #[arg(long)]
    section: Option<String>,
    /// Only runs of this fiscal year.
    #[arg(long, value_parser = year)]
    year: Option<i32>,
    /// Only runs of this fiscal quarter.
    #[arg(long, value_parser = clap::value_parser!(i16).range(1..=4))]
    quarter: Option<i16>,
    /// Only runs of files of this state or tribe.
    #[arg(long)]
    state: Option<String>,
    /// Only runs queued within this time, such as 2h or 7d.
    #[arg(long, value_parser = duration, value_name = "TIME")]
    since: Option<Duration>,
    /// Most runs to show.
    #[arg(long, short = 'n', default_value_t = 20, value_name = "N", value_parser = limit)]
    limit: i64,
    /// Print one JSON object per run, with every column.
    #[arg(long)]
    json: bool,
}

impl RunsArgs {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        let pool = open_database(common).await?;
        let filter = RunFilter {
            data_file: match &self.file {
                Some(text) => Some(find_file(&pool, text).await?.id),
                None => None,
            },
            same_file_as: None,
            status: self.status,
            log_state: self.log_state,
            batch: self.batch.map(BatchId),
            program: self.program,
            section: self.section,
            fiscal_year: self.year,
            fiscal_quarter: self.quarter,
            state: self.state,
            since: self.since.map(|since| Utc::now() - since),
            before: None,
            limit: Some(self.limit),
        };
        let runs = store::find(&pool, &filter).await?;
        if self.json {
            runs.iter().try_for_each(show::json)?;
        } else if runs.is_empty() {
            show::note("no runs match; `parselog run FILE` makes one");
        } else {
            show::line(verdict::table(&runs))?;
        }
        Ok(Exit::Ok)
    }
}
