//! `parselog diff`: what changed between two runs of a file.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use super::diff_reparse::diff_reparse;
use super::target::{TARGET_HELP, find_reparse, find_run, previous};
use super::{Common, Exit, open, show};
use crate::diff::{self, Change, Counts, Problem};
use crate::parser::Category;
use crate::reader::LogSource;
use crate::record::Safe;
use crate::store::Run;

/// Show what changed between two runs of a file: status, counts, and the problems that appeared or
/// disappeared, matched by what they are about. Two runs without a difference print nothing.
#[derive(Debug, Args)]
pub(super) struct Diff {
    #[arg(value_name = "RUN_A|FILE", help = TARGET_HELP, required_unless_present = "reparse")]
    before: Option<String>,
    /// The run to compare it with. Without it, RUN_A is compared with the run of its file before it
    #[arg(value_name = "RUN_B|FILE")]
    after: Option<String>,
    /// Compare each file of this reparse (its id, or @latest) with its run before, as a whole.
    #[arg(long, value_name = "ID", conflicts_with = "before")]
    reparse: Option<String>,
    /// With --reparse, name at most so many files.
    #[arg(long, short = 'n', default_value_t = 20, value_name = "N", requires = "reparse")]
    limit: usize,
    /// Print one JSON object with what is compared, then one for each problem that changed.
    #[arg(long)]
    json: bool,
    /// Exit with 1 when there is a difference.
    #[arg(long)]
    exit_code: bool,
}

impl Diff {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        let system = open::open(common).await?;
        if let Some(reparse) = &self.reparse {
            let reparse = find_reparse(&system.pool, reparse).await?;
            return diff_reparse(&system, &reparse, self.limit, self.json, self.exit_code).await;
        }
        let first = find_run(&system.pool, self.before.as_deref().unwrap_or_default()).await?;
        let (before, after) = match &self.after {
            Some(after) => (first, find_run(&system.pool, after).await?),
            None => (previous(&system.pool, &first).await?, first),
        };
        let logs = LogSource::find(&before, &system.spool)
            .and_then(|one| Ok((one, LogSource::find(&after, &system.spool)?)));
        let comparison = match &logs {
            Ok((one, other)) => Some(diff::compare(&system.objects, one, other).await?),
            Err(error) => {
                show::note(&format!("only statuses and counts are compared: {error:#}"));
                None
            }
        };
        let total = comparison.as_ref().map(|comparison| comparison.total);
        let by_category = comparison.as_ref().map(|comparison| &comparison.by_category);
        let report = Report::new(&before, &after, total, by_category);

        if self.json {
            show::json(&report)?;
        } else if !report.same {
            show::line(report.text(&before))?;
        } else {
            let unchanged = total.map_or(0, |total| total.unchanged);
            show::note(&format!("no difference: {unchanged} problems are the same"));
        }
        if let (Some(comparison), Ok((one, other))) = (comparison, &logs) {
            let (json, color) = (self.json, show::color());
            let each = move |change, problem: &Problem<'_>| {
                if json {
                    show::write_json(&mut show::Out, &Entry { change, problem })
                } else {
                    writeln!(show::Out, "{}", entry(change, problem, color))
                }
            };
            diff::changes(&system.objects, comparison, (one, other), each).await?;
        }
        Ok(if self.exit_code && !report.same { Exit::Failed } else { Exit::Ok })
    }
}

/// One problem that changed, in JSON.
#[derive(Serialize)]
struct Entry<'a> {
    change: Change,
    #[serde(flatten)]
    problem: &'a Problem<'a>,
}

/// What is compared, entries aside.
#[derive(Serialize)]
struct Report<'a> {
    same: bool,
    before: Side<'a>,
    after: Side<'a>,
    /// Missing where a log can't be read.
    problems: Option<Counts>,
    categories: BTreeMap<u8, Line>,
}

#[derive(Serialize)]
struct Side<'a> {
    run: String,
    file: &'a str,
    version: &'a str,
    status: String,
    summary_status: Option<String>,
    failure: Option<&'a str>,
    records_in_file: Option<i64>,
    records_created: Option<i64>,
    /// Events that the log could not keep; the comparison may miss as many problems.
    log_dropped: i64,
}

/// One category: the counts on the rows, and what the logs say.
#[derive(Default, Serialize)]
struct Line {
    before: u64,
    after: u64,
    appeared: u64,
    disappeared: u64,
}

impl<'a> Report<'a> {
    fn new(
        before: &'a Run,
        after: &'a Run,
        problems: Option<Counts>,
        by_category: Option<&BTreeMap<u8, Counts>>,
    ) -> Self {
        let mut categories: BTreeMap<u8, Line> = BTreeMap::new();
        for (run, is_after) in [(before, false), (after, true)] {
            for (category, count) in run.error_counts.iter().flat_map(|counts| &counts.0) {
                let line = categories.entry(category.number()).or_default();
                *(if is_after { &mut line.after } else { &mut line.before }) = *count;
            }
        }
        for (category, counts) in by_category.into_iter().flatten() {
            let line = categories.entry(*category).or_default();
            (line.appeared, line.disappeared) = (counts.appeared, counts.disappeared);
        }
        let (before, after) = (Side::of(before), Side::of(after));
        let same = before.verdict() == after.verdict()
            && (before.records_in_file, before.records_created)
                == (after.records_in_file, after.records_created)
            && categories
                .values()
                .all(|line| line.before == line.after && line.appeared == 0 && line.disappeared == 0);
        Self { same, before, after, problems, categories }
    }

    fn text(&self, run: &Run) -> String {
        let mut text = Safe(&run.name).to_string();
        let (before, after) = (&self.before, &self.after);
        let _ = write!(text, "\n  run        {} -> {}", before.run, after.run);
        changed(&mut text, "status", &before.verdict(), &after.verdict());
        changed(&mut text, "records", &before.records(), &after.records());
        let _ = write!(
            text,
            "\n\n  {:20}  {:>9}  {:>9}  {:>9}  {:>11}",
            "ERRORS", "BEFORE", "AFTER", "APPEARED", "DISAPPEARED"
        );
        for (category, line) in &self.categories {
            let Line { before, after, appeared, disappeared } = line;
            let name = category_name(*category);
            let _ = write!(text, "\n  {name:20}  {before:>9}  {after:>9}  {appeared:>9}  {disappeared:>11}");
        }
        if let Some(counts) = self.problems {
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
}

impl<'a> Side<'a> {
    fn of(run: &'a Run) -> Self {
        Self {
            run: run.id.to_string(),
            file: &run.key,
            version: &run.version_id,
            status: run.status.to_string(),
            summary_status: run.summary_status.map(|summary| summary.to_string()),
            failure: run.failure.as_deref(),
            records_in_file: run.records_in_file,
            records_created: run.records_created,
            log_dropped: run.log_dropped.unwrap_or_default(),
        }
    }

    fn verdict(&self) -> String {
        match (&self.summary_status, self.failure) {
            (Some(summary), _) => summary.clone(),
            (None, Some(failure)) => format!("{}: {failure}", self.status),
            (None, None) => self.status.clone(),
        }
    }

    fn records(&self) -> String {
        match (self.records_created, self.records_in_file) {
            (Some(created), Some(read)) => format!("{created} of {read}"),
            _ => "none".to_owned(),
        }
    }
}

/// A category's name and number, as a table's row begins.
pub(super) fn category_name(number: u8) -> String {
    let known = Category::ALL.into_iter().find(|category| category.number() == number);
    known.map_or_else(|| format!("category {number}"), |category| format!("{number} {}", category.name()))
}

fn changed(text: &mut String, what: &str, before: &str, after: &str) {
    if before != after {
        let _ = write!(text, "\n  {what:9}  {} -> {}", Safe(before), Safe(after));
    }
}

/// One problem that changed: `+ record 2: T1: message`.
fn entry(change: Change, problem: &Problem<'_>, color: bool) -> String {
    let (sign, paint) = match change {
        Change::Appeared => ('+', "\x1b[31m"),
        Change::Disappeared => ('-', "\x1b[32m"),
    };
    let mut text = if color { format!("{paint}{sign}") } else { sign.to_string() };
    if let Some(record) = problem.record {
        let _ = write!(text, " record {record}:");
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
