//! Takes over the logs of other processes: complete ones, and those that a dead process left open.
//!
//! A process that saw another die may already share the lock of its log (a hold); then nobody can take the
//! log between the death and its completion.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};

use super::files::{SpoolFolder, file_of};
use super::rescue::Remains;
use super::{Journal, MissingEvents, OpenLog, SealedLog, Spool, SpooledLog, recover, refuge};
use crate::carry;
use crate::ids::LogId;
use crate::record::{Head, LogEnding, STREAMS, Tail};

/// The reason in the tail of a dead process's log, where nobody knows more.
pub const PROCESS_DIED: &str = "the process of the run died; its log was recovered";

/// How long somebody who only looks at a lock may keep it.
const LOOK: Duration = Duration::from_millis(1);

/// An open log whose process is gone, locked by this process.
#[derive(Debug)]
pub struct AbandonedLog {
    log: LogId,
    file: File,
}

impl AbandonedLog {
    /// The log's id.
    pub fn log(&self) -> LogId {
        self.log
    }
}

impl Spool {
    /// Whether the log's process is certainly gone.
    pub fn is_abandoned(&self, entry: &SpooledLog) -> bool {
        // Shared, so that whoever takes the log at this moment knows that this is a look: see `lock`.
        let is_free = File::open(&entry.path).is_ok_and(|file| file.try_lock_shared().is_ok());
        is_free && self.is_still(entry)
    }

    /// Takes an open log whose process is gone; `None` if a living process holds it, or it is complete or gone by
    /// now.
    ///
    /// # Errors
    /// The file can't be opened or locked.
    pub fn take_abandoned(&self, entry: &SpooledLog, hold: Option<File>) -> Result<Option<AbandonedLog>> {
        carry::may_block();
        if entry.sealed {
            return Ok(None);
        }
        Ok(self.locked(entry, hold)?.map(|file| AbandonedLog { log: entry.log, file }))
    }

    /// Whether an external program of the log's run left output that may not be in the log.
    pub fn has_output(&self, log: LogId) -> bool {
        STREAMS.iter().any(|ending| file_of(&self.dir, log, ending).exists())
    }

    /// Opens an abandoned log to append what is missing before it is closed. Also returns the byte of an
    /// external program's output up to which its events go. `None` if it has its tail.
    ///
    /// # Errors
    /// The file can't be read or written to.
    pub fn reopen_abandoned(&self, abandoned: &AbandonedLog) -> Result<Option<(OpenLog, [u64; 2])>> {
        carry::may_block();
        let (file, folder) = self.parts(abandoned)?;
        let Some(reopened) = recover::reopen(file, &folder, abandoned.log)? else { return Ok(None) };
        let output = reopened.output;
        Ok(Some((OpenLog::new(Journal::resume(reopened, folder)), output)))
    }

    /// Completes an abandoned log with a tail of this ending that counts what is `missing`, unless it has one
    /// already.
    ///
    /// # Errors
    /// The file can't be read, or neither it nor a refuge can be written to; the file does not change.
    pub fn close_abandoned(
        &self,
        abandoned: AbandonedLog,
        missing: MissingEvents,
        ending: LogEnding,
        reason: &str,
    ) -> Result<SealedLog> {
        carry::may_block();
        let closed = self.parts(&abandoned).and_then(|(file, folder)| {
            recover::close_abandoned(file, &folder, abandoned.log, missing, ending, reason)
        });
        let AbandonedLog { log, file } = abandoned;
        match closed {
            Ok(path) => SealedLog::read(file, &path, None),
            Err(refused) => self.rescue(log, &file, missing, (ending, reason), refused),
        }
    }

    /// Takes over a complete log of a dead process; `None` if a living process holds it, or it is incomplete
    /// or gone by now.
    ///
    /// # Errors
    /// The file can't be read; it does not change.
    pub fn take_sealed(&self, entry: &SpooledLog, hold: Option<File>) -> Result<Option<SealedLog>> {
        carry::may_block();
        if !entry.sealed {
            return Ok(None);
        }
        let Some(file) = self.locked(entry, hold)? else { return Ok(None) };
        let leftovers = self.leftovers(&entry.path);
        if leftovers.is_none()
            && let Err(refused) = self.probe()
        {
            // There is no room for the archive either, and the log can't go once it is archived.
            let end = (LogEnding::Crash, PROCESS_DIED);
            return self.rescue(entry.log, &file, MissingEvents::default(), end, refused.into()).map(Some);
        }
        SealedLog::read(file, &entry.path, leftovers).map(Some)
    }

    /// Takes over a log that another process completed; `file` shares the lock with that process. The other
    /// facts are those of [`SealedLog`]. `None` if the log is not here.
    pub fn take_over(
        &self,
        file: File,
        head: Head,
        tail: Tail,
        closed_at: DateTime<Utc>,
        lines: u64,
    ) -> Option<SealedLog> {
        let path = self.find(head.log).filter(|entry| entry.sealed && is_at(&file, &entry.path))?.path;
        let leftovers = self.leftovers(&path);
        Some(SealedLog { head, tail, closed_at, lines, path, file: Arc::new(file), leftovers })
    }

    /// The log's file, locked by this process; `None` if a living process holds it, or it is gone.
    pub(super) fn lock(&self, entry: &SpooledLog) -> Result<Option<File>> {
        let opened = OpenOptions::new().read(true).write(true).open(&entry.path);
        // On a read-only disk it can still be read and locked.
        let file = match opened.or_else(|_| File::open(&entry.path)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context("failed to open a spool file"),
        };
        let context = "failed to lock a spool file";
        loop {
            match file.try_lock() {
                // Between open and lock its owner may have sealed, moved or removed it: only the name counts.
                Ok(()) => return Ok(self.is_still(entry).then_some(file)),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error).context(context),
            }
            // Who only looks shares the lock, for a moment: a collector that took that for a living process would store
            // again what the log has.
            match file.try_lock_shared() {
                Ok(()) => file.unlock().context(context)?,
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error).context(context),
            }
            thread::sleep(LOOK);
        }
    }

    /// Whether the log is where it was.
    fn is_still(&self, entry: &SpooledLog) -> bool {
        self.find(entry.log).is_some_and(|found| found.path == entry.path)
    }

    /// The same, where this process may already share the lock.
    fn locked(&self, entry: &SpooledLog, hold: Option<File>) -> Result<Option<File>> {
        match hold.filter(|hold| is_at(hold, &entry.path)) {
            Some(hold) => Ok(Some(hold)),
            None => self.lock(entry),
        }
    }

    fn parts(&self, abandoned: &AbandonedLog) -> Result<(File, SpoolFolder)> {
        let file = abandoned.file.try_clone().context("failed to share a file")?;
        Ok((file, SpoolFolder::open(&self.dir).context("failed to open the spool folder")?))
    }

    /// The folder that may hold leftovers of a complete log at this path, because the log was completed in a
    /// refuge.
    fn leftovers(&self, path: &Path) -> Option<PathBuf> {
        (path.parent() != Some(&self.dir)).then(|| self.dir.clone())
    }

    /// Completes a log in a refuge, because the spool's disk refuses it.
    fn rescue(
        &self,
        log: LogId,
        file: &File,
        missing: MissingEvents,
        (ending, reason): (LogEnding, &str),
        refused: anyhow::Error,
    ) -> Result<SealedLog> {
        let remains = Remains {
            log,
            folder: &self.dir,
            main: file,
            head: None,
            missing,
            ending,
            reason: Some(reason.to_owned()),
        };
        let refuge = refuge::first_that_takes(&self.refuges, |refuge| remains.complete_in(refuge));
        refuge
            .map_err(|error| {
                refused
                    .context(error.map_or_else(|| "no refuge is set".to_owned(), |error| error.to_string()))
            })
            .context("the spool's disk refuses the log, and no refuge takes it")
    }
}

/// Whether this open file is the one at the path.
fn is_at(file: &File, path: &Path) -> bool {
    let id = |found: io::Result<fs::Metadata>| found.ok().map(|found| (found.dev(), found.ino()));
    id(file.metadata()).is_some_and(|open| id(fs::metadata(path)) == Some(open))
}
