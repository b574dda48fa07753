//! How far reparses are: `parselog reparses`, `parselog reparse status`, and the waiting for one.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::database::open_database;
use super::diff::category_name;
use super::table::Table;
use super::target::find_reparse;
use super::value::limit;
use super::verdict::MINUTE;
use super::{Common, Exit, show};
use crate::ids::BatchId;
use crate::parser::Category;
use crate::record::Safe;
use crate::store::PgPool;
use crate::store::reparse::{self, Reparse as Row, Totals};

/// How often the waiting looks.
const TICK: Duration = Duration::from_millis(500);

/// List the latest reparses.
#[derive(Debug, Args)]
pub(super) struct Reparses {
    /// At most so many.
    #[arg(long, short = 'n', default_value_t = 20, value_name = "N", value_parser = limit)]
    limit: i64,
    /// Print one JSON object per reparse.
    #[arg(long)]
    json: bool,
}

/// Say how far a reparse is, and what it changed in numbers.
#[derive(Debug, Args)]
pub(super) struct Status {
    /// The reparse id, or @latest
    #[arg(value_name = "ID")]
    reparse: String,
    /// Wait for its end, with a progress bar; ^C ends the waiting only.
    #[arg(long)]
    wait: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(super) async fn run(self, pool: &PgPool) -> Result<Exit> {
        let id = find_reparse(pool, &self.reparse).await?.id;
        if self.wait {
            wait(pool, id, interrupts()?).await?;
        }
        report(pool, id, self.json).await
    }
}

impl Reparses {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        let pool = open_database(common).await?;
        let reparses = reparse::list(&pool, self.limit).await?;
        if self.json {
            reparses.iter().try_for_each(show::json)?;
            return Ok(Exit::Ok);
        }
        let mut table = Table::new([
            ">ID",
            "QUEUED (UTC)",
            "STATE",
            ">FILES",
            ">FINISHED",
            ">SUCCEEDED",
            ">FAILED",
            "BY",
            "REASON",
        ]);
        for row in &reparses {
            table.row([
                &row.id,
                &row.created_at.format(MINUTE),
                &state(row),
                &row.files,
                &row.finished(),
                &row.succeeded,
                &row.failed,
                &row.requested_by,
                &row.reason.as_deref().unwrap_or_default(),
            ]);
        }
        show::line(table)?;
        Ok(Exit::Ok)
    }
}

/// From now on ^C ends no more than the waiting.
pub(super) fn interrupts() -> Result<Signal> {
    signal(SignalKind::interrupt()).context("failed to listen for ^C")
}

/// Returns when nothing of the reparse is queued or running, or at ^C.
pub(super) async fn wait(pool: &PgPool, id: BatchId, mut stop: Signal) -> Result<()> {
    let bar = show::bar("{bar:30} {pos}/{len}  {per_sec}  eta {eta}  {msg}");
    loop {
        let row = get(pool, id).await?;
        bar.set_length(row.files.unsigned_abs());
        bar.set_position(row.finished().unsigned_abs());
        bar.set_message(format!(
            "{} succeeded, {} failed, {} running",
            row.succeeded, row.failed, row.running
        ));
        if row.finished_at.is_some() {
            bar.finish_and_clear();
            return Ok(());
        }
        tokio::select! {
            _ = stop.recv() => {
                bar.finish_and_clear();
                show::note(&format!(
                    "the reparse goes on; wait for it with: parselog reparse status {id} --wait"
                ));
                return Ok(());
            }
            () = tokio::time::sleep(TICK) => {}
        }
    }
}

/// Prints where the reparse stands; an error in any of its files is the exit code once it is over.
pub(super) async fn report(pool: &PgPool, id: BatchId, json: bool) -> Result<Exit> {
    let row = get(pool, id).await?;
    let totals = reparse::totals(pool, id).await?;
    if json {
        let mut all = serde_json::to_value(&row)?;
        let more = serde_json::to_value(&totals)?;
        if let (Some(all), Some(more)) = (all.as_object_mut(), more.as_object()) {
            all.extend(more.clone());
        }
        show::json(&all)?;
    } else {
        show::line(status_text(&row, &totals))?;
    }
    Ok(if row.failed > 0 && row.finished_at.is_some() { Exit::Failed } else { Exit::Ok })
}

fn status_text(row: &Row, totals: &Totals) -> String {
    let time = |time: Option<DateTime<Utc>>| {
        time.map_or_else(|| "-".to_owned(), |time| time.format("%Y-%m-%d %H:%M:%S").to_string())
    };
    let mut text = format!("reparse {}  {}  by {}", row.id, state(row), Safe(&row.requested_by));
    if let Some(reason) = &row.reason {
        let _ = write!(text, ": {}", Safe(reason));
    }
    let _ = write!(
        text,
        "\n  queued    {}\n  started   {}\n  finished  {}\n  files     {}: {} succeeded, {} failed, {} \
         running, {} queued\n  records   {} before, {} after\n",
        time(Some(row.created_at)),
        time(row.started_at),
        time(row.finished_at),
        row.files,
        row.succeeded,
        row.failed,
        row.running,
        row.queued,
        totals.records_before,
        totals.records_after
    );
    let _ = write!(text, "\n  {:30}  {:>9}  {:>9}", "FILES", "BEFORE", "AFTER");
    let (before, after) = (&totals.verdicts_before.0, &totals.verdicts_after.0);
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    for name in names {
        let count = |side: &BTreeMap<String, u64>| side.get(name).copied().unwrap_or_default();
        let _ = write!(text, "\n  {:30}  {:>9}  {:>9}", Safe(name), count(before), count(after));
    }
    let _ = write!(text, "\n  {:30}  {:>9}  {:>9}", "ERRORS", "BEFORE", "AFTER");
    for category in Category::ALL {
        let [before, after] = [&totals.errors_before, &totals.errors_after]
            .map(|side| side.get(&category).copied().unwrap_or_default());
        if before + after > 0 {
            let _ = write!(text, "\n  {:30}  {before:>9}  {after:>9}", category_name(category.number()));
        }
    }
    text
}

fn state(row: &Row) -> &'static str {
    match (row.finished_at, row.started_at) {
        (Some(_), _) => "finished",
        (None, _) if row.deadline.is_some_and(|deadline| deadline < Utc::now()) => "overdue",
        (None, Some(_)) => "running",
        (None, None) => "queued",
    }
}

async fn get(pool: &PgPool, id: BatchId) -> Result<Row> {
    reparse::get(pool, id).await?.with_context(|| format!("reparse {id} is gone from the database"))
}
