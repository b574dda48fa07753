//! `parselog history`: every parse of a file over time.

use anyhow::Result;
use chrono::Utc;
use clap::Args;

use super::database::open_database;
use super::table::Table;
use super::value::limit;
use super::{Common, Exit, show};
use crate::clock;
use crate::desk::lookup::history;
use crate::desk::words;
use crate::store::Run;

/// Show every parse of a file over time, in all its versions: when, why, and with what outcome.
#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    /// Data file id, file name or key
    #[arg(value_name = "FILE")]
    file: String,
    /// Most runs to show, the newest.
    #[arg(long, short = 'n', value_name = "N", value_parser = limit)]
    limit: Option<i64>,
    /// Print one JSON object per run, with every column.
    #[arg(long)]
    json: bool,
}

impl HistoryArgs {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        let pool = open_database(common).await?;
        let runs = history(&pool, &self.file, self.limit).await?;
        if self.json {
            runs.iter().try_for_each(show::json)?;
        } else if runs.is_empty() {
            show::note("the file was never parsed");
        } else {
            show::line(table(&runs))?;
        }
        Ok(Exit::Ok)
    }
}

fn table(runs: &[Run]) -> Table<8> {
    let mut table = Table::new([
        "@QUEUED",
        "WHY",
        "?>FILE",
        "~OUTCOME",
        "~?ERRORS BY CATEGORY",
        "?>TOOK",
        "#RUN",
        "~?LOG",
    ]);
    for run in runs {
        table.row([
            &clock::second(run.queued_at),
            &words::asked_by(run),
            &run.data_file_id,
            &run.verdict(),
            &words::errors_by_category(run),
            &words::took(run, Utc::now()),
            &run.id,
            &words::log_place(run),
        ]);
        if let Some(reason) = &run.reason {
            table.more(reason);
        }
    }
    table
}
