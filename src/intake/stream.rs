//! One stream: its open segment, and those that are to be closed.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::StoredRecord;
use crate::archive::ActionReader;
use crate::faults;
use crate::ids::{LogId, ServiceName};
use crate::record::{Arrival, Level, LogEnding};
use crate::spool::{Journal, OpenLog, SealedLog, Stored};

/// One stream of this process.
pub(super) struct OpenStream {
    service: ServiceName,
    segments: Mutex<Segments>,
    /// Whether anything was stored since the last sync.
    is_unsynced: AtomicBool,
}

#[derive(Default)]
struct Segments {
    open: Option<Segment>,
    /// Full or old ones. Each waits until no connection can bring its records again.
    closing: Vec<Segment>,
    /// Records that were not stored and could not be refused, since the stream last said so.
    dropped: u64,
    /// Those of them for which there was no segment to number them.
    unnumbered: u64,
    said: Option<Instant>,
    /// Of segments that dead processes left, by connection: the byte up to which it is stored.
    inherited: HashMap<u64, u64>,
}

/// A segment that is not sealed.
struct Segment {
    id: LogId,
    log: OpenLog,
    file: Arc<File>,
    opened: Instant,
    /// By connection: the byte up to which it is stored, as far as this segment has it.
    positions: HashMap<u64, u64, foldhash::fast::FixedState>,
    actions: ActionReader,
    /// Whether it has actions that nobody read.
    has_actions: bool,
}

/// What a stream did with a record.
pub(super) enum Kept {
    /// It is in the stream, now or since before; to whoever listens goes this.
    Yes(Option<StoredRecord>),
    /// The disk did not take it.
    No(io::Error),
}

/// A line for a stream.
#[derive(Clone, Copy)]
pub(super) struct StreamLine<'a> {
    pub(super) level: Level,
    /// What follows time and number.
    pub(super) body: &'a [u8],
    pub(super) from: Option<Arrival>,
    /// Whether it says what happened to a task.
    pub(super) is_action: bool,
    /// Whether anybody listens.
    pub(super) is_told: bool,
}

impl OpenStream {
    pub(super) fn new(service: ServiceName) -> Self {
        Self { service, segments: Mutex::default(), is_unsynced: AtomicBool::new(false) }
    }

    /// Whether nothing would be lost with it.
    pub(super) fn is_idle(&self) -> bool {
        let segments = self.lock();
        segments.all().next().is_none() && segments.inherited.is_empty() && segments.dropped == 0
    }

    /// Stores a line in the open segment. A segment that has `most` bytes is full; `create` makes the next one.
    pub(super) fn append(
        &self,
        line: StreamLine<'_>,
        most: u64,
        create: impl FnOnce(&ServiceName) -> io::Result<Journal>,
    ) -> Kept {
        let mut segments = self.lock();
        if line.from.is_some_and(|from| segments.is_stored(from)) {
            return Kept::Yes(None);
        }
        if segments.open.as_ref().is_some_and(|open| open.log.bytes().is_none_or(|bytes| bytes >= most)) {
            segments.cut();
        }
        let segment = match segments.open_or(&self.service, create) {
            Ok(segment) => segment,
            Err(error) => {
                if line.from.is_some() {
                    segments.lose();
                }
                return Kept::No(error);
            }
        };
        let (stored, told) = if line.is_told {
            let appended = segment.log.append_line(line.level, line.body);
            appended.map_or((None, None), |(stored, line)| (Some(stored), Some(line)))
        } else {
            (segment.log.append(line.level, line.body), None)
        };
        if stored != Some(Stored::Yes) {
            segments.dropped += u64::from(line.from.is_some());
            return Kept::No(io::Error::other("the disk does not take it"));
        }
        if let Some(Arrival { connection, end }) = line.from {
            segment.positions.insert(connection, end);
        }
        segment.has_actions |= line.is_action;
        self.is_unsynced.store(true, Ordering::Release);
        let (stream, log) = (self.service.clone(), segment.id);
        Kept::Yes(told.map(|line| StoredRecord { stream, log, line, is_copy: false }))
    }

    /// Counts a record that is not to be stored.
    pub(super) fn lose(&self) {
        self.lock().lose();
    }

    /// Records that were dropped since this was last asked; at most once in `interval` there are any.
    pub(super) fn take_dropped(&self, interval: Duration) -> u64 {
        let mut segments = self.lock();
        if segments.dropped == 0 || segments.said.is_some_and(|said| said.elapsed() < interval) {
            return 0;
        }
        segments.said = Some(Instant::now());
        std::mem::take(&mut segments.dropped)
    }

    /// Takes back that they were said.
    pub(super) fn put_back_dropped(&self, dropped: u64) {
        self.lock().dropped += dropped;
    }

    /// Ends the open segment if it is at least this old.
    pub(super) fn cut(&self, age: Duration) {
        let mut segments = self.lock();
        if segments.open.as_ref().is_some_and(|open| open.opened.elapsed() >= age) {
            segments.cut();
        }
    }

    /// Completes the ended segments that no connection can bring again; `settled` tells for a connection up to
    /// which byte it can't. What the disk refuses to complete is left to recovery.
    pub(super) fn seal(&self, settled: impl Fn(u64) -> Option<u64>) -> Vec<SealedLog> {
        let is_settled = |segment: &&Segment| {
            segment.positions.iter().all(|(connection, end)| settled(*connection) >= Some(*end))
        };
        let due: Vec<_> =
            self.lock().closing.iter().filter(is_settled).map(|due| (due.id, due.log.clone())).collect();
        let mut sealed = Vec::new();
        for (id, log) in due {
            match log.seal(LogEnding::Success, None) {
                Ok(log) => sealed.extend(log),
                Err(error) => {
                    tracing::error!(service = %self.service, log = %id, "a segment is not complete yet: {error}");
                }
            }
            faults::point("stream-sealed");
            // Until here its file was synced for whoever waits for its events.
            self.lock().closing.retain(|segment| segment.id != id);
        }
        sealed
    }

    /// Readers of the actions that nobody read yet.
    pub(super) fn take_actions(&self) -> Vec<(LogId, ActionReader)> {
        let mut segments = self.lock();
        let Segments { open, closing, .. } = &mut *segments;
        let unread = open.iter_mut().chain(closing).filter_map(|segment| {
            std::mem::take(&mut segment.has_actions).then(|| (segment.id, segment.actions.clone()))
        });
        unread.collect()
    }

    /// Notes how far the actions of a segment are read; `None` if they must be read again.
    pub(super) fn put_actions(&self, log: LogId, read: Option<ActionReader>) {
        let mut segments = self.lock();
        let Segments { open, closing, .. } = &mut *segments;
        // One that is sealed meanwhile is read again by the archive.
        if let Some(segment) = open.iter_mut().chain(closing).find(|segment| segment.id == log) {
            segment.has_actions |= read.is_none();
            segment.actions = read.unwrap_or_else(|| segment.actions.clone());
        }
    }

    /// Forgets a connection, which brings nothing again.
    pub(super) fn forget(&self, connection: u64) {
        let mut segments = self.lock();
        let Segments { open, closing, inherited, .. } = &mut *segments;
        for segment in open.iter_mut().chain(closing) {
            segment.positions.remove(&connection);
        }
        inherited.remove(&connection);
    }

    /// Notes what segments of dead processes have.
    pub(super) fn inherit(&self, positions: impl IntoIterator<Item = (u64, u64)>) {
        let mut segments = self.lock();
        for (connection, end) in positions {
            let known = segments.inherited.entry(connection).or_default();
            *known = end.max(*known);
        }
    }

    /// Whether a segment of a dead process has the record at this place of its connection.
    pub(super) fn has_inherited(&self, from: Arrival) -> bool {
        self.lock().is_stored(from)
    }

    /// Forgets what segments of dead processes have.
    pub(super) fn disinherit(&self) {
        self.lock().inherited.clear();
    }

    /// Waits until everything stored so far is on the disk. A segment that its disk did not take for good ends,
    /// so that its seal finds another place for it.
    pub(super) fn sync(&self) -> io::Result<()> {
        if !self.is_unsynced.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let files: Vec<_> = {
            let segments = self.lock();
            segments.all().map(|segment| (segment.log.clone(), Arc::clone(&segment.file))).collect()
        };
        let mut result = Ok(());
        for (log, file) in files {
            if let Err(error) = log.commit(&file) {
                self.lock().cut();
                result = Err(error);
            }
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, Segments> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Segments {
    fn all(&self) -> impl Iterator<Item = &Segment> {
        self.open.iter().chain(&self.closing)
    }

    /// Whether the record at this place of its connection was stored before.
    fn is_stored(&self, from: Arrival) -> bool {
        self.inherited.get(&from.connection).is_some_and(|end| *end >= from.end)
    }

    /// The open segment, which `create` makes if there is none.
    fn open_or(
        &mut self,
        service: &ServiceName,
        create: impl FnOnce(&ServiceName) -> io::Result<Journal>,
    ) -> io::Result<&mut Segment> {
        match &mut self.open {
            Some(open) => Ok(open),
            none => {
                let segment = Segment::new(create(service)?, service);
                segment.log.lose(std::mem::take(&mut self.unnumbered));
                Ok(none.insert(segment))
            }
        }
    }

    /// Counts a record that has no line.
    fn lose(&mut self) {
        self.dropped += 1;
        match &self.open {
            Some(open) => {
                open.log.lose(1);
            }
            None => self.unnumbered += 1,
        }
    }

    fn cut(&mut self) {
        faults::point("stream-cut");
        self.closing.extend(self.open.take());
    }
}

impl Segment {
    fn new(journal: Journal, service: &ServiceName) -> Self {
        let (id, file, log) = (journal.log(), journal.hold(), OpenLog::new(journal));
        let actions = ActionReader::new(id, service.clone(), Arc::clone(&file));
        let (opened, positions) = (Instant::now(), HashMap::default());
        Self { id, log, file, opened, positions, actions, has_actions: false }
    }
}
