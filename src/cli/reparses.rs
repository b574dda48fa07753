//! The progress of reparses: `parselog reparses`, `parselog reparse status`, and the waiting for one.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::database::open_database;
use super::table::Table;
use super::value::limit;
use super::{Common, Exit, show};
use crate::clock;
use crate::desk::lookup::find_reparse;
use crate::desk::reparse as desk;
use crate::desk::status::nobody_looks;
use crate::desk::words::category_name;
use crate::ids::BatchId;
use crate::parser::Category;
use crate::record::Safe;
use crate::store::PgPool;
use crate::store::reparse::{self, Reparse as Row, Totals};

/// The widths of the tables of a status: verdict or category, and two counts.
const WIDTHS: [usize; 3] = [30, 9, 9];

/// List the latest reparses.
#[derive(Debug, Args)]
pub(super) struct ReparsesArgs {
    /// Most reparses to show.
    #[arg(long, short = 'n', default_value_t = 20, value_name = "N", value_parser = limit)]
    limit: i64,
    /// Print one JSON object per reparse.
    #[arg(long)]
    json: bool,
}

/// Show the progress of a reparse, and its changes in numbers.
#[derive(Debug, Args)]
pub(super) struct ReparseStatusArgs {
    /// The reparse id, or @latest
    #[arg(value_name = "ID")]
    reparse: String,
    /// Wait until it ends, with a progress bar; ^C ends only the wait.
    #[arg(long)]
    wait: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl ReparseStatusArgs {
    pub(super) async fn run(self, pool: &PgPool) -> Result<Exit> {
        let id = find_reparse(pool, &self.reparse).await?.id;
        if self.wait {
            wait(pool, id, interrupts()?).await?;
        }
        report(pool, id, self.json).await
    }
}

impl ReparsesArgs {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        let pool = open_database(common).await?;
        let reparses = reparse::list(&pool, self.limit).await?;
        if self.json {
            reparses.iter().try_for_each(show::json)?;
            return Ok(Exit::Ok);
        }
        if reparses.is_empty() {
            show::note("no reparses yet: `parselog reparse` makes one");
            return Ok(Exit::Ok);
        }
        let mut table = Table::new([
            ">ID",
            "@QUEUED",
            "STATE",
            ">FILES",
            "?>FINISHED",
            "?>SUCCEEDED",
            ">FAILED",
            "~?BY",
            "~REASON",
        ]);
        for row in &reparses {
            table.row([
                &row.id,
                &clock::minute(row.created_at),
                &desk::state(row),
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

/// From now on ^C ends only the wait.
pub(super) fn interrupts() -> Result<Signal> {
    signal(SignalKind::interrupt()).context("failed to listen for ^C")
}

/// Returns when nothing of the reparse is queued or running, or at ^C.
pub(super) async fn wait(pool: &PgPool, id: BatchId, mut stop: Signal) -> Result<()> {
    if let Some(why) = nobody_looks(pool).await? {
        show::note(&why);
    }
    let bar = show::bar([
        (100, "{bar:20} {pos} of {len}  {per_sec}  eta {eta}  {wide_msg}"),
        (60, "{bar:10} {pos} of {len}  {wide_msg}"),
        (0, "{pos} of {len}  {wide_msg}"),
    ]);
    let progress = |row: &Row| {
        bar.set_length(row.files.unsigned_abs());
        bar.set_position(row.finished().unsigned_abs());
        bar.set_message(format!(
            "{} succeeded, {} failed, {} running",
            row.succeeded, row.failed, row.running
        ));
    };
    let ended = tokio::select! {
        ended = desk::wait(pool, id, progress) => Some(ended),
        _ = stop.recv() => None,
    };
    bar.finish_and_clear();
    if let Some(ended) = ended {
        return Ok(ended?);
    }
    show::note(&format!("the reparse continues; wait for it with: parselog reparse status {id} --wait"));
    Ok(())
}

/// Prints the status of the reparse; once it is over, an error in any file decides the exit code.
pub(super) async fn report(pool: &PgPool, id: BatchId, json: bool) -> Result<Exit> {
    let standing = desk::standing(pool, id).await?;
    let row = &standing.row;
    if json {
        show::json(&standing)?;
    } else {
        show::line(status_text(row, &standing.totals))?;
    }
    Ok(if row.failed > 0 && row.finished_at.is_some() { Exit::Failed } else { Exit::Ok })
}

fn status_text(row: &Row, totals: &Totals) -> String {
    let time = |time: Option<DateTime<Utc>>| time.map_or_else(|| "-".to_owned(), clock::moment);
    let mut text = format!("reparse {}  {}  by {}", row.id, desk::state(row), Safe(&row.requested_by));
    if let Some(reason) = &row.reason {
        let _ = write!(text, ": {}", Safe(reason));
    }
    // Writing to a string does not fail.
    let _ = write!(
        text,
        "\n  queued    {}\n  started   {}\n  finished  {}\n  files     {}: {} succeeded, {} failed, {} \
         running, {} queued\n  records   {} before, {} after",
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
    let (before, after) = (&totals.verdicts_before.0, &totals.verdicts_after.0);
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    let mut files = Table::new(["FILES", ">BEFORE", ">AFTER"]).within(WIDTHS);
    for name in names {
        let count = |side: &BTreeMap<String, u64>| side.get(name).copied().unwrap_or_default();
        files.row([&name, &count(before), &count(after)]);
    }
    let mut errors = Table::new(["ERRORS", ">BEFORE", ">AFTER"]).within(WIDTHS);
    for category in Category::ALL {
        let [before, after] = [&totals.errors_before, &totals.errors_after]
            .map(|side| side.get(&category).copied().unwrap_or_default());
        if before + after > 0 {
            errors.row([&category_name(category.number()), &before, &after]);
        }
    }
    let tables = [files, errors].into_iter().filter(|table| !table.is_empty());
    for (table, before) in tables.zip(["\n\n", "\n"]) {
        let _ = write!(text, "{before}{table}");
    }
    text
}
