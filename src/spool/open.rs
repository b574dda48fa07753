//! The open logs of this process: one handle per log, shared by the threads that log to it.

use std::fs::File;
use std::hint;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};

use super::files::Unsynced;
use super::journal::Journal;
use super::{SealedLog, Stored};
use crate::durable::{self, Synced};
use crate::record::{Level, LogEnding, micros_now};

/// So often an event asks for the lock before it sleeps: a few events of other threads long.
const SPINS: u32 = 100;

/// An open log. Cheap to clone; all clones are the same log, and sealing one closes it for all.
#[derive(Debug, Clone)]
pub struct OpenLog(Arc<SharedJournal>);

/// A journal that threads share; `None` once it is sealed.
type SharedJournal = Mutex<Option<Journal>>;

/// All open logs of this process. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct OpenLogs(Arc<Mutex<Vec<Weak<SharedJournal>>>>);

impl OpenLog {
    /// Shares a log; only this handle may write to it.
    pub fn new(journal: Journal) -> Self {
        Self(Arc::new(Mutex::new(Some(journal))))
    }

    /// Appends one event as [`Journal::append`] does; `None` once the log is closed.
    pub fn append(&self, level: Level, body: &[u8]) -> Option<Stored> {
        // The clock is read before the lock, which is held as short as can be.
        let micros = micros_now();
        self.lock_soon().as_mut().map(|journal| journal.append_at(micros, level, body))
    }

    /// Appends one event, and gives its whole line.
    pub fn append_line(&self, level: Level, body: &[u8]) -> Option<(Stored, Vec<u8>)> {
        self.lock().as_mut().map(|journal| {
            let stored = journal.append(level, body);
            (stored, [journal.prefix(), body].concat())
        })
    }

    /// Counts events that are lost before anybody could append them; `None` once the log is closed.
    pub fn lose(&self, events: u64) -> Option<()> {
        self.lock().as_mut().map(|journal| journal.lose(events))
    }

    /// Returns a hold on the log's lock, which lasts even if the log is sealed; `None` once it is closed.
    pub fn hold(&self) -> Option<Arc<File>> {
        self.lock().as_ref().map(Journal::hold)
    }

    /// Events so far, stored or not; `None` once the log is closed.
    pub fn emitted(&self) -> Option<u64> {
        self.lock().as_ref().map(Journal::emitted)
    }

    /// Events emitted and not stored so far; `None` once the log is closed.
    pub fn dropped(&self) -> Option<u64> {
        self.lock().as_ref().map(Journal::dropped)
    }

    /// Bytes of the log so far, its tail segments left out; `None` once it is closed.
    pub fn bytes(&self) -> Option<u64> {
        self.lock().as_ref().map(Journal::bytes)
    }

    /// Completes the log as [`Journal::seal`] does; `None` if another handle already did.
    ///
    /// # Errors
    /// As [`Journal::seal`].
    pub fn seal(&self, ending: LogEnding, reason: Option<String>) -> io::Result<Option<SealedLog>> {
        let journal = self.lock().take();
        journal.map(|journal| journal.seal(ending, reason)).transpose()
    }

    /// Makes everything appended so far durable. The sync runs outside the lock, so that no log call waits
    /// for it.
    pub fn sync(&self) {
        let unsynced = self.lock().as_mut().map(Journal::take_unsynced);
        let Unsynced { files, folder } = unsynced.unwrap_or_default();
        let files = files.iter().map(|file| durable::data(file, Synced::Events));
        let folder = folder.iter().map(|folder| folder.sync(Synced::SegmentNames));
        // The kernel tells a failure to the first who asks, so the seal would not hear of it.
        for error in files.chain(folder).filter_map(Result::err) {
            let doubtful = self.lock().as_mut().and_then(|journal| journal.doubt().then(|| journal.log()));
            if let Some(log) = doubtful {
                tracing::warn!(%log, "the disk of the spool does not take the log for good: {error}");
            }
        }
    }

    /// Makes everything durable that was appended to the log's file, its [hold](Self::hold), for whoever waits for
    /// it. Unlike [`Self::sync`] it leaves nothing to another thread that is just at it, be it a sync or a seal.
    ///
    /// # Errors
    /// The disk did not take it for good.
    pub fn commit(&self, file: &File) -> io::Result<()> {
        durable::data(file, Synced::Committed).inspect_err(|_| {
            self.lock().as_mut().map(Journal::doubt);
        })
    }

    /// As [`Self::lock`]. Another thread's event holds the lock for less time than it takes to fall asleep and be woken.
    fn lock_soon(&self) -> MutexGuard<'_, Option<Journal>> {
        for _ in 0..SPINS {
            match self.0.try_lock() {
                Ok(guard) => return guard,
                Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => hint::spin_loop(),
            }
        }
        self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Journal>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenLogs {
    /// Registers a log for as long as anybody has it.
    pub(super) fn add(&self, log: &OpenLog) {
        self.lock().push(Arc::downgrade(&log.0));
    }

    /// The logs that somebody has.
    pub(super) fn all(&self) -> Vec<OpenLog> {
        let mut logs = self.lock();
        logs.retain(|log| log.strong_count() > 0);
        logs.iter().filter_map(Weak::upgrade).map(OpenLog).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<SharedJournal>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
