//! The outcome of a run, as people read it.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};

use super::Exit;
use super::clock::{self, Took};
use super::table::Table;
use crate::parser::{Category, SummaryStatus};
use crate::record::Safe;
use crate::store::{LogState, Run, RunStatus};

/// The outcome of a run for a person: verdict, counts, first error, and the location of its log.
pub(super) fn outcome(run: &Run) -> String {
    let mut text = format!("{}  {}", Safe(&run.name), run.verdict());
    match (run.records_in_file, run.records_created) {
        (Some(file), Some(created)) => {
            let _ = write!(text, "  {created} of {file} records");
        }
        _ if run.status == RunStatus::Success => text.push_str("  records not reported"),
        _ => {}
    }
    if let Some(counts) = &run.error_counts {
        let total: u64 = counts.0.values().sum();
        let _ = write!(text, "  {total} error{}", if total == 1 { "" } else { "s" });
        let by_category: Vec<String> =
            counts.0.iter().map(|(category, count)| format!("{count} {}", category.name())).collect();
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

/// The location of a run's log, or its fate.
pub(super) fn log_place(run: &Run) -> String {
    match (&run.logs_uri, run.log_state) {
        (Some(uri), _) => uri.clone(),
        (None, LogState::Fallback) => {
            format!(
                "kept in the spool, archived later: {}",
                run.archive_error.as_deref().unwrap_or("unknown")
            )
        }
        (None, state) => state.to_string(),
    }
}

/// A category's name and number, as a table's row begins.
pub(super) fn category_name(number: u8) -> String {
    let known = Category::ALL.into_iter().find(|category| category.number() == number);
    known.map_or_else(|| format!("category {number}"), |category| format!("{number} {}", category.name()))
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

/// How long a run took, or takes until now; `-` before its start.
pub(super) fn took(run: &Run, now: DateTime<Utc>) -> String {
    run.started_at
        .map_or_else(|| "-".to_owned(), |started| Took(run.finished_at.unwrap_or(now) - started).to_string())
}

/// Why a run is where it is: what failed, who has it, what it waits for, or its first error.
pub(super) fn reason(run: &Run, now: DateTime<Utc>) -> Option<String> {
    if let (Some(worker), Some(heartbeat)) =
        (&run.worker, run.heartbeat_at.filter(|_| !run.status.is_final()))
    {
        let stops = if run.cancel_requested_at.is_some() { "; it is asked to stop" } else { "" };
        return Some(format!("on {worker}, heartbeat {} ago{stops}", Took(now - heartbeat)));
    }
    if run.status == RunStatus::Queued && run.run_after > now {
        return Some(format!("waits for {}", Took(run.run_after - now)));
    }
    run.failure.clone().or_else(|| run.first_error.clone())
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
