//! The outcome of a run, as people read it.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};

use super::Exit;
use super::table::Table;
use crate::clock;
use crate::desk::words::{counted, grouped, log_place, reason, took};
use crate::parser::{Category, SummaryStatus};
use crate::record::Safe;
use crate::store::{Run, RunStatus};

/// The outcome of a run for a person: verdict, counts, first error, and the location of its log.
pub(super) fn outcome(run: &Run) -> String {
    let mut text = format!("{}  {}", Safe(&run.name), run.verdict());
    match (run.records_in_file, run.records_created) {
        (Some(file), Some(created)) => {
            let [created, file] = [created, file].map(|count| grouped(count.unsigned_abs()));
            let _ = write!(text, "  {created} of {file} records");
        }
        _ if run.status == RunStatus::Success => text.push_str("  records not reported"),
        _ => {}
    }
    if let Some(counts) = &run.error_counts {
        let total: u64 = counts.0.values().sum();
        let _ = write!(text, "  {}", counted(total, "error"));
        let name = |(category, count): (&Category, &u64)| format!("{} {}", grouped(*count), category.name());
        let by_category: Vec<String> = counts.0.iter().map(name).collect();
        if !by_category.is_empty() {
            let _ = write!(text, " ({})", by_category.join(", "));
        }
    }
    if let Some(failure) = &run.failure {
        let _ = write!(text, "\n  reason       {}", Safe(failure));
    }
    if let Some(message) = &run.first_error {
        text.push_str("\n  first error  ");
        if let Some(record) = run.first_error_record {
            let _ = write!(text, "line {record}: ");
        }
        let _ = write!(text, "{}", Safe(message));
    }
    let _ = write!(text, "\n  run          {}\n  log          {}", run.id, Safe(log_place(run)));
    text
}

/// A table of runs, one line each, as of now.
pub(super) fn table(runs: &[Run], now: DateTime<Utc>) -> Table<10> {
    let mut table = Table::new([
        "#RUN",
        "??>FILE",
        "??TRY",
        "~OUTCOME",
        "??>RECORDS",
        "?>ERRORS",
        "@QUEUED",
        "?>TOOK",
        "~NAME",
        "~?REASON",
    ]);
    for run in runs {
        let number = |value: Option<i64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
        table.row([
            &run.id,
            &run.data_file_id,
            &format_args!("{}/{}", run.attempt, run.max_attempts),
            &run.verdict(),
            &number(run.records_created),
            &number(run.error_count),
            &clock::minute(run.queued_at),
            &took(run, now),
            &run.name,
            &reason(run, now).unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    table
}

/// The exit code of several runs, with one more: the worst decides.
pub(super) fn worse(exit: Exit, run: &Run) -> Exit {
    match (run.status, run.summary_status) {
        (RunStatus::Success, Some(SummaryStatus::Rejected)) if exit == Exit::Ok => Exit::Rejected,
        (RunStatus::Success, Some(SummaryStatus::NoVerdict)) if exit == Exit::Ok => Exit::NoVerdict,
        (RunStatus::Success, _) => exit,
        _ => Exit::Failed,
    }
}
