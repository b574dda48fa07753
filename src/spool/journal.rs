//! The writer of one log: numbers its events, keeps it under its cap, seals it.
//!
//! Up to the cap every record goes to the main file. Beyond it records go to two segments in turn;
//! before the journal reuses the older one, it moves its errors to the main file, within a budget. So the
//! log always holds its head, its errors and its tail, in order, and all of it is on disk at any time.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::Utc;

use super::files::{SpoolFolder, Unsynced};
use super::given::{self, GivenBack};
use super::missing::MissingEvents;
use super::recover::{self, Reopened, copy_lines};
use super::rescue::Remains;
use super::sealed::finish_name;
use super::segment::{SEGMENT_EIGHTHS, TailSegment, TailSegments};
use super::window::Window;
use super::{Closed, LogTally, SealedLog, refuge};
use crate::durable::{self, Synced};
use crate::ids::LogId;
use crate::record::{Cut, Head, Level, LevelCounts, LogEnding, Tail, level_of, micros_now, push_prefix};
use crate::{carry, faults};

/// Shares of the cap, in eighths: of errors beyond the head, and of the head itself.
const ERROR_EIGHTHS: u64 = 1;
const HEAD_EIGHTHS: u64 = 8 - ERROR_EIGHTHS - 2 * SEGMENT_EIGHTHS;

/// Bytes of the disk that the events of the shortest log leave free.
const LEAST_LEFT: u64 = 64 * 1024;

/// Whether an event was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// The event is in the log's file.
    Yes,
    /// The disk could not take the event; the journal counts it as dropped.
    Dropped,
}

/// The writer of one log. Exactly one exists per log; it holds the file's lock.
#[derive(Debug)]
pub struct Journal {
    head: Head,
    folder: SpoolFolder,
    refuges: Arc<[PathBuf]>,
    cap: u64,
    main: Window,
    tail: Option<TailSegments>,
    tally: LogTally,
    lines: u64,
    last_micros: i64,
    prefix: Vec<u8>,
    dirty: bool,
    /// A sync failed. The kernel reports that only once, so the journal remembers it.
    doubtful: bool,
}

impl Journal {
    /// Writes the head and makes it durable.
    pub(super) fn start(
        file: File,
        folder: SpoolFolder,
        refuges: Arc<[PathBuf]>,
        head: &Head,
        cap: u64,
    ) -> io::Result<Self> {
        let mut main = Window::new(file, 0, cap);
        main.append(&head.to_line(), b"", LEAST_LEFT)?;
        durable::file(main.file(), Synced::Head)?;
        let last_micros = head.started.timestamp_micros();
        Ok(Self { refuges, cap, lines: 1, ..Self::behind(head.clone(), main, folder, last_micros) })
    }

    /// Continues a dead process's log, without a cap. Recovery seals it, so its lines are not counted.
    pub(super) fn resume(log: Reopened, folder: SpoolFolder) -> Self {
        let Reopened { head, window, tally, last_micros, .. } = log;
        Self { tally, ..Self::behind(*head, window, folder, last_micros) }
    }

    /// The writer behind all that `main` has.
    fn behind(head: Head, main: Window, folder: SpoolFolder, last_micros: i64) -> Self {
        Self {
            head,
            folder,
            refuges: Arc::default(),
            cap: u64::MAX,
            main,
            tail: None,
            tally: LogTally::default(),
            lines: 0,
            last_micros,
            prefix: Vec::with_capacity(64),
            dirty: false,
            doubtful: false,
        }
    }

    /// Makes the name of its file durable.
    pub(super) fn sync_name(&self) -> io::Result<()> {
        self.folder.sync(Synced::LogName)
    }

    /// Returns a hold on the log's lock, which lasts even if the log is sealed.
    pub(crate) fn hold(&self) -> Arc<File> {
        Arc::clone(self.main.file())
    }

    /// The log that it writes.
    pub fn log(&self) -> LogId {
        self.head.log
    }

    /// Appends one event. `body` follows time and number on the line and includes the newline.
    /// After [`Stored::Yes`] the event survives the death of the process.
    pub fn append(&mut self, level: Level, body: &[u8]) -> Stored {
        self.append_at(micros_now(), level, body)
    }

    /// As [`Self::append`], for an event of this time (microseconds since 1970, UTC).
    pub(super) fn append_at(&mut self, micros: i64, level: Level, body: &[u8]) -> Stored {
        faults::point("event-begun");
        self.tally.emitted += 1;
        // Threads race to the lock after they read the clock, and a clock may be set back: lines stand in
        // the order of their times all the same.
        self.last_micros = micros.max(self.last_micros);
        self.prefix.clear();
        push_prefix(&mut self.prefix, self.last_micros, self.tally.emitted);
        let prefix = std::mem::take(&mut self.prefix);
        let stored = self.store(level, &prefix, body);
        self.prefix = prefix;
        match stored {
            Ok(()) => {
                faults::point("event-stored");
                self.tally.stored.add(level);
                self.dirty = true;
                Stored::Yes
            }
            Err(_) => Stored::Dropped,
        }
    }

    /// What the line of the last event begins with: its time and its number.
    pub(super) fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// Counts events that are lost before anybody could append them: they get numbers, and no lines.
    pub fn lose(&mut self, events: u64) {
        self.tally.emitted += events;
    }

    /// Bytes so far, its tail segments left out.
    pub fn bytes(&self) -> u64 {
        self.main.len()
    }

    /// Events so far, stored or not.
    pub fn emitted(&self) -> u64 {
        self.tally.emitted
    }

    /// Events emitted and not stored so far.
    pub fn dropped(&self) -> u64 {
        self.tally.dropped()
    }

    /// The files to sync, if anything was appended since the last call.
    pub(super) fn take_unsynced(&mut self) -> Unsynced {
        if !std::mem::take(&mut self.dirty) {
            return Unsynced::default();
        }
        let mut unsynced = Unsynced { files: vec![Arc::clone(self.main.file())], folder: None };
        let segments = self.tail.iter_mut().flat_map(|tail| [Some(&mut tail.current), tail.older.as_mut()]);
        for segment in segments.flatten() {
            unsynced.files.push(Arc::clone(segment.window.file()));
            if std::mem::take(&mut segment.is_new) {
                unsynced.folder = Some(self.folder.clone());
            }
        }
        unsynced
    }

    /// Notes that the disk did not take appended bytes; returns whether that is new.
    pub(super) fn doubt(&mut self) -> bool {
        !std::mem::replace(&mut self.doubtful, true)
    }

    /// Completes the log: tail record, fsync, rename.
    ///
    /// If the disk refuses to complete the log, or did not take it for good, a refuge gets its readable part
    /// and completes it there; the rest counts as dropped. If no refuge takes the log, it stays here, provided
    /// that all of it is readable.
    ///
    /// # Errors
    /// When the disk refuses, and no refuge takes the log; it stays open on disk and the sweep completes
    /// it later.
    pub fn seal(mut self, ending: LogEnding, reason: Option<String>) -> io::Result<SealedLog> {
        carry::may_block();
        let closed = self.close(ending, reason.clone());
        let refused = match closed {
            Ok(closed) if !self.doubtful && !self.main.is_doubtful() => match self.name(closed) {
                Ok(log) => return Ok(log),
                Err(error) => error,
            },
            Ok(_) => io::Error::other("the disk does not take the log for good"),
            Err(error) => error,
        };
        match self.rescue(ending, reason) {
            Ok(log) => {
                let (id, dropped, folder) = (log.head.log, log.tail.dropped, log.path.display());
                tracing::warn!(log = %id, dropped, "the disk of the spool refuses the log, which is completed as {folder}: {refused}");
                Ok(log)
            }
            Err(_) => self.keep(&refused),
        }
    }

    /// Appends the end of the log, cuts the file to its content and syncs it.
    fn close(&mut self, ending: LogEnding, reason: Option<String>) -> io::Result<Closed> {
        if let Some(tail) = self.tail.take() {
            // Dropped counts once both segments are in: what is missing now is missing for good.
            let cut = Cut { dropped: self.tally.dropped() };
            self.main.append_closing(&cut.to_line(Utc::now()))?;
            faults::point("cut-written");
            self.lines += 1;
            let segments = [tail.older, Some(tail.current)];
            for segment in segments.into_iter().flatten() {
                self.lines += segment.stored.total();
                copy_lines(&segment.path, segment.window.len(), |line| {
                    faults::point("cut-copied");
                    self.main.append_closing(line)
                })?;
            }
        }
        let tail = Tail { ending, reason, events: self.tally.stored, dropped: self.tally.dropped() };
        let at = self.head.ends_at(self.last_micros);
        self.main.append_closing(&tail.to_line(at))?;
        faults::point("tail-written");
        self.lines += 1;
        self.main.close()?;
        self.doubtful |= durable::file(self.main.file(), Synced::Sealed).is_err();
        Ok(Closed { tail, at })
    }

    /// Gives the closed log its sealed name.
    fn name(&self, Closed { tail, at: closed_at }: Closed) -> io::Result<SealedLog> {
        faults::point("sealed-before-rename");
        let path = finish_name(&self.folder, self.head.log)?;
        faults::point("sealed");
        let (head, file) = (self.head.clone(), Arc::clone(self.main.file()));
        Ok(SealedLog { head, tail, closed_at, lines: self.lines, path, file, leftovers: None })
    }

    fn rescue(&self, ending: LogEnding, reason: Option<String>) -> Result<SealedLog, Option<io::Error>> {
        let remains = Remains {
            log: self.head.log,
            folder: self.folder.path(),
            main: self.main.file(),
            head: Some(&self.head),
            missing: MissingEvents { emitted: self.tally.emitted, more: 0 },
            ending,
            reason,
        };
        refuge::first_that_takes(&self.refuges, |refuge| remains.complete_in(refuge))
    }

    /// Seals a log that the disk did not take for good, if all of it can be read: it may be archived in
    /// time.
    fn keep(&self, refused: &io::Error) -> io::Result<SealedLog> {
        let _steady = given::steady(self.folder.path())?;
        let given = GivenBack::of(self.folder.path(), self.head.log)?;
        let found = recover::scan_behind(self.main.file(), given.as_ref())?;
        match found.closed {
            Some(closed)
                if closed.tail.events == self.tally.stored && found.tally.stored == closed.tail.events =>
            {
                self.name(closed)
            }
            _ => Err(io::Error::other(format!("{refused}, and events of it can't be read any more"))),
        }
    }

    fn store(&mut self, level: Level, prefix: &[u8], body: &[u8]) -> io::Result<()> {
        let size = (prefix.len() + body.len()) as u64;
        if self.tail.is_none() && self.main.len() + size > self.cap / 8 * HEAD_EIGHTHS {
            let current = TailSegment::create(self.folder.path(), self.head.log, 0, self.cap)?;
            self.tail = Some(TailSegments { current, older: None });
        }
        let Some(tail) = &mut self.tail else {
            // Half of what is here of a log is more than it takes to compress it.
            self.main.append(prefix, body, (self.main.on_disk() / 2).max(LEAST_LEFT))?;
            self.lines += 1;
            return Ok(());
        };
        let limit = self.cap / 8 * SEGMENT_EIGHTHS;
        if tail.current.window.len() > 0 && tail.current.window.len() + size > limit {
            self.rotate()?;
        }
        let tail = self.tail.as_mut().expect("set above");
        // The seal copies both segments to the main file before it removes them.
        let copied = tail.current.window.len() + tail.older.as_ref().map_or(0, |older| older.window.len());
        tail.current.window.append(prefix, body, copied + LEAST_LEFT)?;
        tail.current.stored.add(level);
        Ok(())
    }

    /// Makes the older segment the current one, after its errors moved to the main file.
    fn rotate(&mut self) -> io::Result<()> {
        let tail = self.tail.as_mut().expect("only a log past its cap rotates");
        let mut next = match tail.older.take() {
            None => TailSegment::create(self.folder.path(), self.head.log, 1, self.cap)?,
            Some(segment) => segment,
        };
        if next.window.len() > 0 {
            let room = self.cap / 8 * (HEAD_EIGHTHS + ERROR_EIGHTHS);
            let mut lost = next.stored;
            let errors = lost.error;
            if errors > 0 {
                let (main, lines) = (&mut self.main, &mut self.lines);
                // What can't be read or moved is lost with the rest, and counted as such.
                let _ = copy_lines(&next.path, next.window.len(), |line| {
                    if level_of(line) == Some(Level::Error)
                        && main.len() + line.len() as u64 <= room
                        && main.append(line, b"", LEAST_LEFT).is_ok()
                    {
                        *lines += 1;
                        lost.error -= 1;
                    }
                    Ok(())
                });
            }
            faults::point("errors-moved");
            // They may be on the disk in the segment alone, which goes now. It is the only wait of an event
            // for the disk: once in an eighth of the cap, and only where an error was in it.
            if lost.error < errors {
                self.doubtful |= durable::data(self.main.file(), Synced::MovedErrors).is_err();
            }
            self.tally.stored.remove_all(lost);
            next.stored = LevelCounts::default();
            next.window.clear()?;
            faults::point("segment-cleared");
        }
        tail.older = Some(std::mem::replace(&mut tail.current, next));
        Ok(())
    }
}
