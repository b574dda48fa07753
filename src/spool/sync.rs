//! Makes open logs durable against power loss, at most a second late.

use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use super::journal::{Journal, Unsynced};
use crate::durable::{self, Synced};
use crate::{carry, faults};

/// How old an event may grow before it is on stable storage.
pub const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// A journal that threads share; `None` once it is sealed.
pub(super) type Shared = Mutex<Option<Journal>>;

/// One thread that syncs every open log of the process each second; stops when dropped.
#[derive(Debug)]
pub struct Syncer {
    state: Arc<State>,
    thread: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct State {
    journals: Mutex<(Vec<Weak<Shared>>, bool)>,
    wake: Condvar,
}

impl Syncer {
    /// Starts the thread.
    pub fn start() -> Self {
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let thread = carry::thread(move || run(&shared));
        Self { state, thread }
    }

    /// Whether the thread is there. Without it nothing is made durable before it is sealed.
    pub fn is_alive(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Watches one more log, for as long as it is open.
    pub fn watch(&self, journal: &Arc<Shared>) {
        let mut guard = self.state.journals.lock().unwrap_or_else(PoisonError::into_inner);
        guard.0.push(Arc::downgrade(journal));
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.state.journals.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
        self.state.wake.notify_all();
    }
}

fn run(state: &State) {
    loop {
        let guard = state.journals.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut guard, _) = state
            .wake
            .wait_timeout_while(guard, SYNC_INTERVAL, |(_, stopped)| !*stopped)
            .unwrap_or_else(PoisonError::into_inner);
        if guard.1 {
            return;
        }
        faults::helper("sync");
        guard.0.retain(|journal| journal.strong_count() > 0);
        let journals: Vec<_> = guard.0.iter().filter_map(Weak::upgrade).collect();
        drop(guard);
        for journal in journals {
            sync(&journal);
        }
    }
}

/// Makes durable what was appended to one log until now. The sync itself runs outside the lock, so that no
/// log call waits for it.
pub fn sync(journal: &Mutex<Option<Journal>>) {
    let unsynced =
        journal.lock().unwrap_or_else(PoisonError::into_inner).as_mut().map(Journal::take_unsynced);
    let Unsynced { files, folder } = unsynced.unwrap_or_default();
    let files = files.iter().map(|file| durable::data(file, Synced::Events));
    // The kernel tells a failure to the first who asks, so the seal would not hear of it.
    for error in
        files.chain(folder.iter().map(|folder| folder.sync(Synced::SegmentNames))).filter_map(Result::err)
    {
        doubt(journal, &error);
    }
}

fn doubt(journal: &Shared, error: &std::io::Error) {
    let mut guard = journal.lock().unwrap_or_else(PoisonError::into_inner);
    let run = guard.as_mut().and_then(|journal| journal.doubt().then(|| journal.run()));
    drop(guard);
    if let Some(run) = run {
        tracing::warn!(%run, "the disk of the spool does not take the log for good: {error}");
    }
}
