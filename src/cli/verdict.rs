//! The outcome of a run, as people read it.

use std::fmt::Write as _;

use super::table::Table;
use crate::parser::Category;
use crate::record::Safe;
use crate::store::{LogState, Run, RunStatus};

/// A time in a table.
pub(super) const MINUTE: &str = "%Y-%m-%d %H:%M";

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
            let _ = write!(text, "record {record}: ");
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

/// A table of runs, one line each.
pub(super) fn table(runs: &[Run]) -> Table<9> {
    let mut table = Table::new([
        "RUN",
        ">FILE",
        "TRY",
        "STATUS",
        "VERDICT",
        ">RECORDS",
        ">ERRORS",
        "QUEUED (UTC)",
        "NAME",
    ]);
    for run in runs {
        let number = |value: Option<i64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
        table.row([
            &run.id,
            &run.data_file_id,
            &format_args!("{}/{}", run.attempt, run.max_attempts),
            &run.status,
            &run.summary_status.map_or("-", |summary| summary.as_str()),
            &number(run.records_created),
            &number(run.error_count),
            &run.queued_at.format(MINUTE),
            &run.name,
        ]);
    }
    table
}
