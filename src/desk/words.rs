//! What people read of a run, whether at a terminal or on a page: counts, lengths of time, the fate of its log, and
//! why it is where it is.

use std::fmt::{self, Display};

use chrono::{DateTime, TimeDelta, Utc};

use crate::parser::Category;
use crate::store::{LogState, Run, RunStatus};

/// A count as people read it: `1,116`.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count of things: `1 run`, `2 runs`.
pub fn counted(count: u64, one: &str) -> String {
    format!("{} {one}{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// A length of time: `0.4 s`, `2 min 5 s`, `3 h 12 min` or `4 d 3 h`.
#[derive(Debug, Clone, Copy)]
pub struct Took(pub TimeDelta);

impl Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.max(TimeDelta::zero()).as_seconds_f64();
        let whole = self.0.num_seconds().max(0);
        let text = match whole {
            ..60 => format!("{:.1} s", (seconds * 10.0).floor() / 10.0),
            60..3600 => format!("{} min {} s", whole / 60, whole % 60),
            3600..86_400 => format!("{} h {} min", whole / 3600, whole / 60 % 60),
            _ => format!("{} d {} h", whole / 86_400, whole / 3600 % 24),
        };
        f.pad(&text)
    }
}

/// How long a run took, or takes until now; `-` before its start.
pub fn took(run: &Run, now: DateTime<Utc>) -> String {
    run.started_at
        .map_or_else(|| "-".to_owned(), |started| Took(run.finished_at.unwrap_or(now) - started).to_string())
}

/// A category's name and number, as a table's row begins.
pub fn category_name(number: u8) -> String {
    let known = Category::ALL.into_iter().find(|category| category.number() == number);
    known.map_or_else(|| format!("category {number}"), |category| format!("{number} {}", category.name()))
}

/// What of a record a problem is about, by record type, item and field, as far as they are there; `None` if none is.
pub fn place_in_record(names: [&str; 3]) -> Option<String> {
    let names: Vec<&str> = names.into_iter().filter(|name| !name.is_empty()).collect();
    (!names.is_empty()).then(|| names.join(" "))
}

/// The errors of a run by category, as one text: `1:2 4:7`.
pub fn errors_by_category(run: &Run) -> String {
    run.error_counts.as_ref().map_or_else(
        || "-".to_owned(),
        |counts| {
            let counts: Vec<String> =
                counts.iter().map(|(category, count)| format!("{category}:{count}")).collect();
            if counts.is_empty() { "none".to_owned() } else { counts.join(" ") }
        },
    )
}

/// What asked for a run: `submission 12`, `reparse 4 #2`.
pub fn asked_by(run: &Run) -> String {
    match run.attempt {
        1 => format!("{} {}", run.kind, run.batch_id),
        attempt => format!("{} {} #{attempt}", run.kind, run.batch_id),
    }
}

/// The location of a run's log, or its fate.
pub fn log_place(run: &Run) -> String {
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

/// The state of a run's log in a sentence, and what happens to it next.
pub fn log_story(run: &Run) -> String {
    let worker = run.worker.as_deref().unwrap_or("its worker");
    let lines = || run.log_lines.map_or(0, i64::unsigned_abs);
    match run.log_state {
        LogState::None if run.status.is_final() => "It never started, so it has no log.".to_owned(),
        LogState::None => "Its log begins when a worker takes it.".to_owned(),
        LogState::Open if run.status.is_final() => {
            format!("Its log is still open in the spool of {worker}; recovery closes and archives it.")
        }
        LogState::Open => format!("Its log is open in the spool of {worker}, and grows."),
        LogState::Sealed => {
            format!("Its log is complete in the spool of {worker}; it is being put into the object store.")
        }
        LogState::Archived => {
            format!(
                "Its log of {} is in the object store, which confirmed its checksum.",
                counted(lines(), "line")
            )
        }
        LogState::Fallback => format!(
            "The object store did not take its log ({}). It is kept in the spool of {worker}, and archived once \
             the store takes it again.",
            run.archive_error.as_deref().unwrap_or("the reason is unknown")
        ),
        LogState::Lost => format!(
            "Its log is lost: {}. Nothing can bring it back; the counts on this page stay.",
            run.archive_error.as_deref().unwrap_or("it could not be kept")
        ),
        LogState::Pruned => "Its log was deleted, as its age or a person asked. The counts stay.".to_owned(),
    }
}

/// Why a run is where it is: what failed, who has it, what it waits for, or its first error.
pub fn reason(run: &Run, now: DateTime<Utc>) -> Option<String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_their_thousands_marked_and_their_plural_right() {
        let counts = [0, 7, 999, 1000, 1_234_567];
        assert_eq!(counts.map(grouped), ["0", "7", "999", "1,000", "1,234,567"]);
        assert_eq!((counted(1, "run"), counted(1116, "run")), ("1 run".to_owned(), "1,116 runs".to_owned()));
    }

    #[test]
    fn a_length_of_time_has_the_two_units_that_matter() {
        for (milliseconds, text) in [
            (-5, "0.0 s"),
            (449, "0.4 s"),
            (59_990, "59.9 s"),
            (125_000, "2 min 5 s"),
            (11_520_000, "3 h 12 min"),
            (356_400_000, "4 d 3 h"),
        ] {
            assert_eq!(Took(TimeDelta::milliseconds(milliseconds)).to_string(), text);
        }
    }
}
