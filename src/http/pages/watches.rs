//! What comes to logs which somebody follows, for all who follow: batches of lines, each as an event already.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use tokio::sync::broadcast::{self, Receiver, Sender};

use crate::ids::RunId;
use crate::reader::Selection;

/// Batches that a slow follower may be behind before it reads by itself.
const BATCHES: usize = 32;

/// The last words to a follower: it need not ask again.
pub(super) const END: &[u8] = b"event: end\ndata: {}\n\n";

/// The logs that are followed.
#[derive(Default)]
pub(super) struct LogWatches {
    watched: Mutex<HashMap<RunId, Sender<Arc<LineBatch>>>>,
}

/// Lines that came to a log at once.
#[derive(Debug)]
pub(super) struct LineBatch {
    /// The number of the first line, from 0.
    pub(super) from: u64,
    /// The number of the next line behind the last.
    pub(super) to: u64,
    /// Whether the log has ended with these lines.
    pub(super) has_ended: bool,
    lines: Vec<WatchedLine>,
    /// The events of all of them.
    all: Bytes,
}

/// A line, as it stands in the log and as an event.
#[derive(Debug)]
pub(super) struct WatchedLine {
    pub(super) stored: Box<[u8]>,
    pub(super) event: Bytes,
}

impl LineBatch {
    /// Lines from this number on, with nothing left out between.
    pub(super) fn new(from: u64, lines: Vec<WatchedLine>, has_ended: bool) -> Self {
        let mut all = Vec::new();
        for line in &lines {
            all.extend_from_slice(&line.event);
        }
        if has_ended {
            all.extend_from_slice(END);
        }
        Self { from, to: from + lines.len() as u64, has_ended, lines, all: all.into() }
    }

    /// The events of its lines from this number on, which is not before its first; of those that are selected, if not
    /// of all.
    pub(super) fn events(&self, from: u64, selection: Option<&Selection>) -> Bytes {
        if from == self.from && selection.is_none() {
            return self.all.clone();
        }
        let known = usize::try_from(from - self.from).unwrap_or(usize::MAX);
        let mut events = Vec::new();
        for line in self.lines.iter().skip(known) {
            if selection.is_none_or(|selection| selection.wants(&line.stored)) {
                events.extend_from_slice(&line.event);
            }
        }
        if self.has_ended {
            events.extend_from_slice(END);
        }
        events.into()
    }
}

impl LogWatches {
    /// What comes to a log, and, if nobody reads it for all yet, where whoever does that hands it on.
    pub(super) fn watch(&self, run: RunId) -> (Receiver<Arc<LineBatch>>, Option<Sender<Arc<LineBatch>>>) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = watched.get(&run) {
            return (sender.subscribe(), None);
        }
        let (sender, receiver) = broadcast::channel(BATCHES);
        watched.insert(run, sender.clone());
        (receiver, Some(sender))
    }

    /// Forgets a log that nobody follows any more; true if so.
    pub(super) fn forget_if_alone(&self, run: RunId, sender: &Sender<Arc<LineBatch>>) -> bool {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody can begin to follow it while this is locked.
        let is_alone = sender.receiver_count() == 0;
        if is_alone {
            watched.remove(&run);
        }
        is_alone
    }

    /// Forgets a log that is not read for all any more.
    pub(super) fn forget(&self, run: RunId) {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).remove(&run);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Level;

    #[test]
    fn a_follower_gets_what_it_lacks_of_a_batch_and_the_end() {
        let line = |text: &str| {
            WatchedLine {
            stored: format!(
                "{{\"timestamp\":\"2026-11-21T06:30:00.500000Z\",\"seq\":1,\"level\":\"{text}\",\"message\":\"x\"}}\n"
            )
            .into_bytes()
            .into(),
            event: Bytes::from(format!("{text}\n")),
        }
        };
        let batch = LineBatch::new(7, vec![line("INFO"), line("ERROR"), line("WARN")], true);
        let text = |from, selection: Option<&Selection>| {
            String::from_utf8(batch.events(from, selection).to_vec()).expect("text")
        };
        let end = String::from_utf8_lossy(END);
        assert_eq!((batch.to, text(7, None)), (10, format!("INFO\nERROR\nWARN\n{end}")));
        assert_eq!((text(9, None), text(12, None)), (format!("WARN\n{end}"), end.clone().into_owned()));
        let errors = Selection { level: Some(Level::Error), ..Selection::default() };
        assert_eq!(text(7, Some(&errors)), format!("ERROR\n{end}"));
    }

    #[test]
    fn a_log_is_read_once_for_all_until_nobody_follows_it() {
        let (watches, run) = (LogWatches::default(), RunId::new());
        let (first, sender) = watches.watch(run);
        let (second, none) = watches.watch(run);
        let sender = sender.expect("the first one begins");
        assert!(none.is_none() && !watches.forget_if_alone(run, &sender));
        drop((first, second));
        assert!(watches.forget_if_alone(run, &sender));
        assert!(watches.watch(run).1.is_some());
    }
}
