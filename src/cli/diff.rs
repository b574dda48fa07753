//! `parselog diff`: what changed between two runs of a file.

use std::fmt::Write as _;
use std::io::Write;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use super::diff_reparse::diff_reparse;
use super::table::Table;
use super::value::TARGET_HELP;
use super::{Common, Exit, open, show};
use crate::desk::compare::{self, Difference, Side};
use crate::desk::lookup::find_reparse;
use crate::desk::words::{category_name, counted};
use crate::diff::{Change, LoggedProblem};
use crate::record::Safe;

/// Show what changed between two runs of a file: status, counts, and the problems that appeared or
/// disappeared, matched by their subject. Two runs without a difference print nothing.
#[derive(Debug, Args)]
pub(super) struct DiffArgs {
    #[arg(value_name = "RUN_A|FILE", help = TARGET_HELP, required_unless_present = "reparse")]
    before: Option<String>,
    /// The run to compare it with. Without it, RUN_A is compared with the run of its file before it
    #[arg(value_name = "RUN_B|FILE")]
    after: Option<String>,
    /// Compare a whole reparse (its id, or @latest): each file with its run before.
    #[arg(long, value_name = "ID", conflicts_with = "before")]
    reparse: Option<String>,
    /// With --reparse, most files to name.
    #[arg(long, short = 'n', default_value_t = 20, value_name = "N", requires = "reparse")]
    limit: usize,
    /// Print one JSON object for the comparison, then one for each problem that changed.
    #[arg(long)]
    json: bool,
    /// Exit with 1 when there is a difference.
    #[arg(long)]
    exit_code: bool,
}

impl DiffArgs {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        let system = open::open(common).await?;
        if let Some(reparse) = &self.reparse {
            let reparse = find_reparse(&system.pool, reparse).await?;
            return diff_reparse(&system, &reparse, self.limit, self.json, self.exit_code).await;
        }
        let before = self.before.as_deref().unwrap_or_default();
        let (before, after) = compare::runs(&system.pool, before, self.after.as_deref()).await?;
        let name = Safe(&before.name).to_string();
        let compared = compare::compare(&system, before, after).await?;
        if let Some(error) = compared.unread() {
            show::note(&format!("only statuses and counts are compared: {error:#}"));
        }
        let difference = compared.difference();
        let same = difference.same;
        if self.json {
            show::json(&difference)?;
        } else if !same {
            show::line(text(&name, &difference))?;
        } else {
            let unchanged = difference.problems.map_or(0, |total| total.unchanged);
            show::note(&format!("no difference: {} unchanged", counted(unchanged, "problem")));
        }
        let (json, color) = (self.json, show::color());
        let each = move |change, problem: &LoggedProblem<'_>| {
            if json {
                show::write_json(&mut show::Out, &ChangedProblem { change, problem })
            } else {
                writeln!(show::Out, "{}", entry(change, problem, color))
            }
        };
        compared.changes(&system, each).await?;
        Ok(if self.exit_code && !same { Exit::Failed } else { Exit::Ok })
    }
}

/// One problem that changed, in JSON.
#[derive(Serialize)]
struct ChangedProblem<'a> {
    change: Change,
    #[serde(flatten)]
    problem: &'a LoggedProblem<'a>,
}

fn text(name: &str, difference: &Difference<'_>) -> String {
    let Difference { before, after, .. } = difference;
    let mut text = format!("{name}\n  run        {} -> {}", before.run, after.run);
    changed(&mut text, "status", &before.outcome(), &after.outcome());
    changed(&mut text, "records", &records(before), &records(after));
    let columns = ["ERRORS", ">BEFORE", ">AFTER", ">APPEARED", ">DISAPPEARED"];
    let mut table = Table::new(columns).within([20, 9, 9, 9, 11]);
    for (category, line) in &difference.categories {
        let name = category_name(*category);
        table.row([&name, &line.before, &line.after, &line.appeared, &line.disappeared]);
    }
    let _ = write!(text, "\n\n{table}");
    if let Some(counts) = difference.problems {
        let _ = write!(
            text,
            "\n\n{} appeared, {} disappeared, {} unchanged",
            counts.appeared, counts.disappeared, counts.unchanged
        );
    }
    for (which, side) in [("first", before), ("second", after)] {
        if side.log_dropped > 0 {
            let _ = write!(
                text,
                "\nthe {which} log could not keep {} events, so some may be missing here",
                side.log_dropped
            );
        }
    }
    text
}

fn records(side: &Side<'_>) -> String {
    match (side.records_created, side.records_in_file) {
        (Some(created), Some(read)) => format!("{created} of {read}"),
        _ => "none".to_owned(),
    }
}

fn changed(text: &mut String, what: &str, before: &str, after: &str) {
    if before != after {
        let _ = write!(text, "\n  {what:9}  {} -> {}", Safe(before), Safe(after));
    }
}

/// One problem that changed: `+ line 2: T1: message`, in git's colours.
fn entry(change: Change, problem: &LoggedProblem<'_>, color: bool) -> String {
    let (sign, paint) = match change {
        Change::Appeared => ('+', "\x1b[32m"),
        Change::Disappeared => ('-', "\x1b[31m"),
    };
    let mut text = if color { format!("{paint}{sign}") } else { sign.to_string() };
    if let Some(record) = problem.record {
        let _ = write!(text, " line {record}:");
    }
    for part in [&problem.record_type, &problem.message] {
        if !part.is_empty() {
            let _ = write!(text, " {}", Safe(part));
        }
    }
    let _ = write!(text, " [{}]", problem.category);
    if !problem.month.is_empty() {
        let _ = write!(text, " {}", Safe(&problem.month));
    }
    if color {
        text.push_str("\x1b[0m");
    }
    text
}
