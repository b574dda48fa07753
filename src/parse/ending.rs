//! The words for a run's end: in its own log, in the global log, and in the log's tail.

use crate::ids::RunId;
use crate::parser::LAST_WORDS;
use crate::queue::Ending;
use crate::record;

/// Logs the last events of the run's own log. Those that a report needs have their own target.
pub(super) fn log_ending(ending: &Ending) {
    match ending {
        Ending::Success(outcome) => outcome.log(),
        other => tracing::error!("{}", tail_words(other).1.unwrap_or_default()),
    }
}

/// Logs the line of the global log: only ids and counts.
pub fn lifecycle(run: RunId, ending: &Ending) {
    match ending {
        Ending::Success(outcome) => tracing::info!(
            %run,
            summary = outcome.summary.as_str(),
            records = outcome.records_reported.then_some(outcome.records_created),
            errors = outcome.error_count(),
            "finished"
        ),
        other => {
            let reason = tail_words(other).1.unwrap_or_default();
            // A program's last words stay in its log and on its row.
            let reason = reason.split_once(LAST_WORDS).map_or(reason.as_str(), |(reason, _)| reason);
            tracing::warn!(%run, "ended as {}: {reason}", other.status());
        }
    }
}

/// The words for the log's last record.
pub fn tail_words(ending: &Ending) -> (record::LogEnding, Option<String>) {
    match ending {
        Ending::Success(outcome) => (record::LogEnding::Success, Some(outcome.summary.to_string())),
        Ending::Fail { reason, .. } => (record::LogEnding::Fail, Some(reason.clone())),
        Ending::Terminate { reason } => (record::LogEnding::Terminate, Some(reason.clone())),
        Ending::HandBack => {
            (record::LogEnding::Terminate, Some("handed back: the worker shut down".to_owned()))
        }
        Ending::Crash { reason } => (record::LogEnding::Crash, Some(reason.clone())),
    }
}
