//! The events that a worker writes into a run's log itself: what was submitted first, what it came to last, and
//! nothing of another run.

use parselog::record::event::{OUTCOME, SUBMISSION};
use parselog::store::{Run, RunStatus};

use super::Losses;
use super::archive::Archive;
use super::events::{ACKNOWLEDGED, TARGET};

/// There are no more of them in a log.
pub(super) const OWN_EVENTS: usize = 8;

pub(super) fn check(run: &Run, archive: &Archive, losses: Losses) -> Result<(), String> {
    let own: Vec<_> = archive.events().filter(|line| line.text("message") != ACKNOWLEDGED).collect();
    // What a library says while it works for the run, such as of a connection that was cut, is the run's too.
    let ours = own.iter().filter(|line| line.text("target").starts_with("parselog::")).count();
    if ours > OWN_EVENTS {
        return Err(format!("{ours} events are the worker's"));
    }
    for line in &own {
        let of_another = line.json["fields"].get("run").is_some_and(|id| *id != run.id.to_string());
        if line.text("target") == TARGET || of_another {
            return Err(format!("whose event is this? {}", line.json));
        }
    }
    if losses != Losses::None {
        return Ok(());
    }
    if let Some(first) = archive.events().next()
        && (first.text("target") != SUBMISSION || first.json["fields"]["file"] != run.name)
    {
        return Err(format!("its first event does not say what was submitted: {}", first.json));
    }
    let last = archive.events().last().map(|line| line.text("target"));
    if run.status == RunStatus::Success && last != Some(OUTCOME) {
        return Err(format!("it is a success, and its last event is of {last:?}"));
    }
    Ok(())
}
