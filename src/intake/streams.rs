//! All streams of this process: where the doors bring their records.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Result, anyhow};
use chrono::Utc;
use tokio::sync::broadcast;

use super::commit::Committer;
use super::errors::ErrorCounts;
use super::runs::NamedRuns;
use super::stream::{Kept, OpenStream, StreamLine};
use super::{Refused, Rules, StoredRecord};
use crate::archive::ActionReader;
use crate::config::{IntakeConfig, default_worker_name};
use crate::ids::{LogId, LogKey, ServiceName};
use crate::record::{
    Arrival, Encoder, Head, Incoming, Level, Origin, SCHEMA_VERSION, SegmentSubject, Subject,
};
use crate::spool::{Journal, Spool};
use crate::system::System;
use crate::{carry, faults};

/// The most streams of one process with an open segment. The records of further services share one, and say
/// whose they are.
const MOST: usize = 500;

/// Records that a listener may be behind; then it misses the oldest, and knows how many.
const BEHIND: usize = 8192;

/// The least time between two remarks in a stream about dropped records.
const SAID: Duration = Duration::from_secs(1);

/// The target of what parselog itself says in a stream.
const TARGET: &str = "parselog::intake";

/// The open segments of the streams of this process. Cheap to clone.
#[derive(Clone)]
pub struct Streams(pub(super) Arc<StreamsInner>);

pub(super) struct StreamsInner {
    pub(super) system: System,
    pub(super) config: IntakeConfig,
    rules: Rules,
    worker: String,
    /// Where segments lie, which are cut before they need a cap.
    spool: Spool,
    streams: Arc<StreamMap>,
    /// Segments that the database may not know yet.
    pub(super) unregistered: Mutex<Vec<Head>>,
    /// By connection: the byte up to which nobody decodes it again.
    settled: Mutex<HashMap<u64, u64>>,
    listeners: broadcast::Sender<Arc<StoredRecord>>,
    committer: Committer,
    /// The runs that records name.
    runs: NamedRuns,
    pub(super) errors: ErrorCounts,
    pub(super) is_nearly_full: AtomicBool,
    /// Whether segments of dead processes are this process's to close.
    pub(super) is_collector: AtomicBool,
}

type StreamMap = RwLock<HashMap<ServiceName, Arc<OpenStream>>>;

thread_local! {
    static ENCODER: RefCell<Encoder> = RefCell::default();
}

impl Streams {
    /// No stream yet; each gets a segment with its first record.
    ///
    /// # Errors
    /// The rules can't be read.
    pub fn open(system: &System, config: IntakeConfig) -> Result<Self> {
        let rules = config.stream_rules.as_deref().map(Rules::read).transpose()?.unwrap_or_default();
        let streams = Arc::<StreamMap>::default();
        let its = Arc::clone(&streams);
        Ok(Self(Arc::new(StreamsInner {
            spool: system.spool.clone().without_cap(),
            system: system.clone(),
            config,
            rules,
            worker: default_worker_name(),
            streams,
            unregistered: Mutex::default(),
            settled: Mutex::default(),
            listeners: broadcast::channel(BEHIND).0,
            committer: Committer::start(move || all(&its).iter().try_for_each(|stream| stream.sync())),
            runs: NamedRuns::default(),
            errors: ErrorCounts::new(system.redactor.clone()),
            is_nearly_full: AtomicBool::new(false),
            is_collector: AtomicBool::new(false),
        })))
    }

    /// Stores a record in the log of the run that it names, if that is open on this machine, else in each stream that
    /// the rules name. After `Ok` it survives the death of the process.
    ///
    /// `from` says which connection brought it, and which byte of that is behind it. It is stored in one with the
    /// record. So whoever decodes a connection again, because a kill came in between, brings nothing twice: see
    /// [`Self::inherit`] and [`Self::settled`].
    ///
    /// It waits for the disk where a stream needs a new segment, so it belongs on a thread that may block.
    ///
    /// # Errors
    /// A stream did not take it. Where it came by a connection, and so can't be refused, the stream counts it as
    /// dropped.
    pub fn store(&self, record: &Incoming, from: Option<Arrival>) -> Result<(), Refused> {
        carry::may_block();
        let names = self.0.rules.streams(record);
        ENCODER.with_borrow_mut(|encoder| {
            let is_action = ActionReader::is_action(&record.rest);
            let body = record.encode(encoder, from);
            let is_told = self.is_heard();
            let line = StreamLine { level: record.level, body, from, is_action, is_told };
            if self.0.is_in_run(record, &names, line) {
                return Ok(());
            }
            let stored = self.append(&names, line);
            if let (Ok(()), Level::Error, Some(stream)) = (&stored, record.level, names.first()) {
                self.0.errors.note(stream, &record.logger);
            }
            stored
        })
    }

    /// Stores what is no record, with the reason, in a stream of its own.
    ///
    /// # Errors
    /// As [`Self::store`].
    pub fn reject(
        &self,
        service: Option<&str>,
        raw: &[u8],
        reason: &str,
        from: Option<Arrival>,
    ) -> Result<(), Refused> {
        carry::may_block();
        let name = ServiceName::rejected();
        let origin = Origin::new(Level::Warn, TARGET, None);
        ENCODER.with_borrow_mut(|encoder| {
            encoder.start(&origin);
            encoder.message(format_args!("rejected: {reason}"));
            if let Some(from) = from {
                encoder.from(from);
            }
            if let Some(service) = service {
                encoder.text("service", service);
            }
            encoder.number("bytes", raw.len() as u64);
            encoder.text("raw", &String::from_utf8_lossy(raw));
            let body = encoder.finish(&origin, b"");
            let line =
                StreamLine { level: Level::Warn, body, from, is_action: false, is_told: self.is_heard() };
            self.append(&[Cow::Borrowed(name.as_str())], line)
        })
    }

    /// Waits until everything stored before is on the disk, so that it survives a power loss too.
    ///
    /// # Errors
    /// The disk did not take it for good.
    pub async fn synced(&self) -> Result<()> {
        self.0.committer.synced().await.map_err(|error| anyhow!("the disk of the spool fails: {error}"))
    }

    /// Hears of each record that is stored from now on. It never holds up who stores: a listener that is too
    /// slow misses records, and is told how many.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<StoredRecord>> {
        self.0.listeners.subscribe()
    }

    /// Whether the disk of the spool is so full that only errors are kept.
    pub fn is_nearly_full(&self) -> bool {
        self.0.is_nearly_full.load(Ordering::Relaxed)
    }

    /// Notes that nobody decodes a connection again before byte `end`. A segment is sealed only once this holds
    /// for all its records, since as long as it is open its lines say what it has.
    pub fn settled(&self, connection: u64, end: u64) {
        self.0.settled.lock().unwrap_or_else(PoisonError::into_inner).insert(connection, end);
    }

    /// Notes that nobody decodes a connection again, which has ended.
    pub fn finished(&self, connection: u64) {
        for stream in all(&self.0.streams) {
            stream.forget(connection);
        }
        self.0.settled.lock().unwrap_or_else(PoisonError::into_inner).remove(&connection);
    }

    /// Says in each stream how many of its records were dropped.
    pub(super) fn say_dropped(&self) {
        let origin = Origin::new(Level::Warn, TARGET, None);
        for stream in self.0.all() {
            let dropped = stream.take_dropped(SAID);
            if dropped == 0 {
                continue;
            }
            let said = ENCODER.with_borrow_mut(|encoder| {
                encoder.start(&origin);
                encoder.message(format_args!("{dropped} records were dropped: the spool did not take them"));
                encoder.number("dropped", dropped);
                let body = encoder.finish(&origin, b"");
                let (from, is_action, is_told) = (None, false, false);
                self.0.append(&stream, StreamLine { level: Level::Warn, body, from, is_action, is_told })
            });
            if let Kept::No(_) = said {
                stream.put_back_dropped(dropped);
            }
        }
    }

    /// Whether anybody listens.
    fn is_heard(&self) -> bool {
        self.0.listeners.receiver_count() > 0
    }

    fn append(&self, names: &[Cow<'_, str>], line: StreamLine<'_>) -> Result<(), Refused> {
        let shared = &*self.0;
        let is_kept = line.level == Level::Error || !shared.is_nearly_full.load(Ordering::Relaxed);
        let mut result = Ok(());
        for (nth, name) in names.iter().enumerate() {
            let stream = shared.stream(name);
            if !is_kept {
                if line.from.is_some() {
                    stream.lose();
                }
                result = Err(Refused::NearlyFull);
                continue;
            }
            match shared.append(&stream, line) {
                Kept::Yes(None) => {}
                Kept::Yes(Some(told)) => {
                    // Nobody may listen any more.
                    let _ = shared.listeners.send(Arc::new(StoredRecord { is_copy: nth > 0, ..told }));
                }
                Kept::No(error) => result = Err(Refused::Disk(error)),
            }
            faults::point("stream-stored");
        }
        result
    }
}

impl StreamsInner {
    /// The stream of this name.
    pub(super) fn stream(&self, name: &str) -> Arc<OpenStream> {
        let known = self.streams.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(stream) = known.get(name) {
            return Arc::clone(stream);
        }
        let is_full = known.len() >= MOST;
        drop(known);
        let name = ServiceName::try_from(name.to_owned()).ok().filter(|name| !is_full || name.is_ours());
        let name = name.unwrap_or_else(ServiceName::overflow);
        let mut known = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(name.clone()).or_insert_with(|| Arc::new(OpenStream::new(name))))
    }

    fn append(&self, stream: &OpenStream, line: StreamLine<'_>) -> Kept {
        stream.append(line, self.config.segment_size.as_u64(), |service| self.create(service))
    }

    /// Whether a record is in the log of its run. What tasks did is listed with streams alone.
    fn is_in_run(&self, record: &Incoming, names: &[Cow<'_, str>], line: StreamLine<'_>) -> bool {
        let Some(run) = record.run.filter(|_| !line.is_action) else { return false };
        let has_been_stored = |from| names.iter().any(|name| self.stream(name).has_inherited(from));
        !line.from.is_some_and(has_been_stored) && self.runs.take(run, line.level, line.body, line.from)
    }

    /// Forgets the streams that nobody writes to, and the runs that nobody names.
    pub(super) fn forget_idle(&self) {
        self.runs.forget_idle();
        // Whoever is about to store has a share in its stream, taken under the lock.
        let mut known = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, stream| Arc::strong_count(stream) > 1 || !stream.is_idle());
    }

    fn create(&self, service: &ServiceName) -> io::Result<Journal> {
        let (log, started) = (LogId::new(), Utc::now());
        let head = Head {
            version: SCHEMA_VERSION,
            log,
            bucket: self.system.bucket.as_ref().to_owned(),
            log_key: LogKey::of_segment(service, started, log).as_str().to_owned(),
            worker: self.worker.clone(),
            started,
            subject: Subject::Segment(SegmentSubject { service: service.clone() }),
        };
        let journal = self.spool.create(&head)?;
        self.unregistered.lock().unwrap_or_else(PoisonError::into_inner).push(head);
        Ok(journal)
    }

    /// The streams so far.
    pub(super) fn all(&self) -> Vec<Arc<OpenStream>> {
        all(&self.streams)
    }

    /// Up to which byte nobody decodes a connection again.
    pub(super) fn settled(&self, connection: u64) -> Option<u64> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner).get(&connection).copied()
    }

    /// Whether what is stored becomes durable.
    pub(super) fn is_syncing(&self) -> bool {
        self.committer.is_alive()
    }
}

fn all(streams: &StreamMap) -> Vec<Arc<OpenStream>> {
    streams.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
}
