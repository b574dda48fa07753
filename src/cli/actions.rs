//! `parselog actions`: what happened to runs and other tasks.

use std::fmt::Display;

use anyhow::Result;
use chrono::{DateTime, Utc};
use clap::Args;
use serde::Serialize;
use serde_json::Value;

use super::database::open_database;
use super::table::Table;
use super::value::limit;
use super::{Common, Exit, show};
use crate::clock::{self, WHEN, when};
use crate::desk::lookup::find_run;
use crate::record::Safe;
use crate::store::Action;
use crate::store::action::{self, ActionCount, ActionFilter, RunAction};

/// Show what happened to runs and other tasks, the latest first.
#[derive(Debug, Args)]
pub(super) struct ActionsArgs {
    /// Only this task: parse, reparse, or another one's code.
    #[arg(long)]
    task: Option<String>,
    /// Only this action: run, success, fail, terminate, inaction, crash.
    #[arg(long)]
    action: Option<Action>,
    /// Only this run, or the latest run of this file.
    #[arg(long, value_name = "RUN|FILE")]
    run: Option<String>,
    /// Only at this time or later: a time, or how long ago, such as 2h.
    #[arg(long, value_name = WHEN, value_parser = when)]
    since: Option<DateTime<Utc>>,
    /// Only before this time.
    #[arg(long, value_name = WHEN, value_parser = when)]
    until: Option<DateTime<Utc>>,
    /// Show totals instead: how often each task had each action, and when last.
    #[arg(long)]
    counts: bool,
    /// Most actions to show.
    #[arg(long, short = 'n', default_value_t = 50, value_name = "N", value_parser = limit)]
    limit: i64,
    /// Print one JSON object per line.
    #[arg(long)]
    json: bool,
    /// Print comma-separated values under a line of headings.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

impl ActionsArgs {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        let pool = open_database(common).await?;
        let run = match &self.run {
            Some(text) => Some(find_run(&pool, text).await?.id),
            None => None,
        };
        let filter = ActionFilter {
            run,
            task: self.task.clone(),
            action: self.action,
            since: self.since,
            until: self.until,
            limit: Some(self.limit),
        };
        if self.counts {
            self.print(&action::counts(&pool, &filter).await?, counts_table)?;
        } else {
            self.print(&action::list(&pool, &filter).await?, actions_table)?;
        }
        Ok(Exit::Ok)
    }

    fn print<T: Serialize, D: Display>(&self, rows: &[T], table: impl Fn(&[T]) -> D) -> Result<()> {
        if self.json {
            return rows.iter().try_for_each(show::json);
        }
        if self.csv {
            return csv(rows);
        }
        if rows.is_empty() {
            show::note("no actions match");
            return Ok(());
        }
        show::line(table(rows))
    }
}

/// Prints comma-separated values, with control characters escaped for terminals too.
fn csv<T: Serialize>(rows: &[T]) -> Result<()> {
    let mut out = csv::Writer::from_writer(show::Out);
    for (nth, row) in rows.iter().enumerate() {
        let row = serde_json::to_value(row)?;
        let cells = row.as_object().into_iter().flatten();
        if nth == 0 {
            out.write_record(cells.clone().map(|(column, _)| column))?;
        }
        out.write_record(cells.map(|(_, cell)| match cell {
            Value::Null => String::new(),
            Value::String(text) => Safe(text).to_string(),
            other => other.to_string(),
        }))?;
    }
    Ok(out.flush()?)
}

fn actions_table(rows: &[RunAction]) -> Table<6> {
    let mut table = Table::new(["@AT", "TASK", "ACTION", "#RUN", "~?WORKER", "~DETAIL"]);
    for row in rows {
        table.row([
            &clock::millisecond(row.at),
            &row.task,
            &row.action,
            &row.run_id.map_or_else(|| "-".to_owned(), |run| run.to_string()),
            &row.worker.as_deref().unwrap_or("-"),
            &row.detail.as_deref().unwrap_or_default(),
        ]);
    }
    table
}

fn counts_table(rows: &[ActionCount]) -> Table<4> {
    let mut table = Table::new(["TASK", "ACTION", ">COUNT", "@LATEST"]);
    for row in rows {
        table.row([&row.task, &row.action, &row.count, &clock::second(row.latest_at)]);
    }
    table
}
