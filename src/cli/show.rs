//! What runs look like on a terminal and to scripts.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use anyhow::Result;
use chrono::{DateTime, Utc};
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use serde::Serialize;

use crate::record::{push_json_escaped, write_safe};
use crate::store::{LogState, Run, RunStatus};

/// Whether to colour stdout: only a terminal, and not where `NO_COLOR` is set.
pub(super) fn color() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Prints one line to stdout.
pub(super) fn line(text: &str) -> Result<()> {
    Ok(writeln!(io::stdout().lock(), "{text}")?)
}

/// Prints one line to stderr; for what is not the command's data.
pub(super) fn note(text: &str) {
    // Nobody reads a stderr that can't be written to.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// A progress bar on stderr, of indicatif's `template`; it shows itself on a terminal only.
pub(super) fn bar(template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::no_length().with_style(style).with_finish(ProgressFinish::AndClear)
}

/// Prints a value as JSON on one line, for scripts.
pub(super) fn json(value: &impl Serialize) -> Result<()> {
    Ok(write_json(&mut io::stdout().lock(), value)?)
}

/// Writes a value as JSON on one line. A terminal is safe from it too: what reorders text or moves a
/// cursor is escaped.
pub(super) fn write_json(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    let mut text = Vec::new();
    push_json_escaped(&mut text, &serde_json::to_string(value)?);
    text.push(b'\n');
    out.write_all(&text)
}

/// What a run came to, for a person: verdict, counts, first error, and where its log is.
pub(super) fn outcome(run: &Run) -> String {
    let mut text = String::new();
    let _ = write_safe(&mut text, &run.name);
    let _ = write!(text, "  {}", verdict(run));
    if let (Some(file), Some(created)) = (run.records_in_file, run.records_created) {
        let _ = write!(text, "  {created} of {file} records");
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
        text.push_str("\n  reason       ");
        let _ = write_safe(&mut text, failure);
    }
    if let Some(message) = &run.first_error {
        text.push_str("\n  first error  ");
        if let Some(record) = run.first_error_record {
            let _ = write!(text, "record {record}: ");
        }
        let _ = write_safe(&mut text, message);
    }
    let _ = write!(text, "\n  run          {}\n  log          {}", run.id, log_place(run));
    text
}

/// Where the log of a run is, or what became of it.
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

/// The verdict of a run that succeeded, else its status.
pub(super) fn verdict(run: &Run) -> String {
    run.summary_status.map_or_else(|| run.status.to_string(), |summary| summary.to_string())
}

/// A table of runs, one line each, under a line of headings.
pub(super) fn table(runs: &[Run]) -> String {
    let mut text = format!(
        "{:36}  {:>6}  {:4}  {:9}  {:30}  {:>7}  {:>7}  {:16}  FILE\n",
        "RUN", "FILE", "TRY", "STATUS", "VERDICT", "RECORDS", "ERRORS", "QUEUED (UTC)"
    );
    for run in runs {
        let number = |value: Option<i64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
        let _ = write!(
            text,
            "{:36}  {:>6}  {:4}  {:9}  {:30}  {:>7}  {:>7}  {:16}  ",
            run.id.to_string(),
            run.data_file_id.to_string(),
            format!("{}/{}", run.attempt, run.max_attempts),
            run.status,
            run.summary_status.map_or("-", |summary| summary.as_str()),
            number(run.records_created),
            number(run.error_count),
            minute(run.queued_at),
        );
        let _ = write_safe(&mut text, &run.name);
        text.push('\n');
    }
    text
}

/// Whether the run has ended and nothing more will come of it but its log.
pub(super) fn has_ended(run: &Run) -> bool {
    !matches!(run.status, RunStatus::Queued | RunStatus::Running)
}

fn minute(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M").to_string()
}
