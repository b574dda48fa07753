//! Follows a growing log, from this machine's spool or from another machine.
//!
//! On the run's machine the reader reads the growing spool file. Elsewhere it reads the log's remote tail in the
//! database, and asks the run's worker there to ship sooner, and for what the tail has let go: both can reach the
//! database, and no port has to be open. Either way the end comes from the archive when the run is over and its file is gone.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::runtime::Handle;

use super::elsewhere::ElsewhereLog;
use super::{LogBlocks, LogLines, LogSource, Selection};
use crate::carry;
use crate::gzip;
use crate::ids::RunId;
use crate::record::Record;
use crate::spool::TailReader;
use crate::store::{self, LogState, Run, follow, piece};
use crate::system::System;

/// How often to check for more.
pub(super) const TICK: Duration = Duration::from_millis(200);

/// How long a wish to follow lasts without renewal.
const WISH: Duration = Duration::from_secs(20);

/// Bytes to read at once.
pub(super) const AT_ONCE: usize = 1 << 20;

/// Follows one log from its beginning, as far as it is to be had.
///
/// If a log passed its cap, the part behind the cut comes when the log is closed.
pub struct Follower {
    system: System,
    run: RunId,
    selection: Selection,
    file: Option<Arc<File>>,
    archive: Option<LogLines>,
    /// Bytes of the log read so far.
    at: u64,
    /// The beginning of an incomplete line.
    rest: Vec<u8>,
    /// The last lines, until the initial content is read.
    held: Option<VecDeque<Vec<u8>>>,
    /// What the pieces lack before the next of them.
    gap: Option<Gap>,
    waits: Option<String>,
    news: VecDeque<News>,
    ended: bool,
}

/// Bytes of a log elsewhere that are in no piece, up to this one.
struct Gap {
    blocks: LogBlocks,
    to: u64,
}

/// Something new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// These lines, newline included.
    Lines(Vec<Vec<u8>>),
    /// Says why nothing comes, or which part is missing.
    Note(String),
}

impl Gap {
    /// `None` if not all of what comes before this byte can be had.
    async fn open(system: &System, run: &Run, to: u64) -> Result<Option<Self>> {
        let Some(log) = ElsewhereLog::find(&system.pool, run).await? else { return Ok(None) };
        let (objects, source) = (system.objects.clone(), LogSource::Elsewhere(Arc::new(log)));
        let runtime = Handle::current();
        let open = carry::spawn_blocking(move || LogBlocks::open(&objects, &source, None, runtime));
        Ok(Some(Self { blocks: open.await.context("reading panicked")??, to }))
    }
}

impl Follower {
    /// Follows the log of a run. Of the selection only the conditions on single lines, and the tail, count.
    pub fn new(system: System, run: RunId, selection: Selection) -> Self {
        Self {
            held: selection.tail.map(|_| VecDeque::new()),
            system,
            run,
            selection,
            file: None,
            archive: None,
            at: 0,
            rest: Vec::new(),
            gap: None,
            waits: None,
            news: VecDeque::new(),
            ended: false,
        }
    }

    /// The same, from a line on that begins at this byte of the log.
    #[must_use]
    pub fn from_byte(self, at: u64) -> Self {
        Self { at, ..self }
    }

    /// Waits for something new; `None` once the log is closed and delivered to its end.
    ///
    /// # Errors
    /// The database, the spool or the object store fails, or the run will have no log.
    pub async fn next(&mut self) -> Result<Option<News>> {
        loop {
            if let Some(news) = self.news.pop_front() {
                return Ok(Some(news));
            }
            if self.ended {
                return Ok(None);
            }
            if self.file.is_none() {
                let spool = &self.system.spool;
                let found = spool.find(self.run).filter(|_| !spool.has_given_back(self.run));
                self.file = found.and_then(|entry| spool.read(&entry)).map(Arc::new);
            }
            let came = match self.file.clone() {
                Some(file) => self.local(file).await?,
                None => self.remote().await?,
            };
            // The initial content is read, so its last lines are known.
            if (!came || self.ended)
                && let Some(held) = self.held.take().filter(|held| !held.is_empty())
            {
                self.news.push_back(News::Lines(held.into()));
            }
            if !came && !self.ended && self.news.is_empty() {
                tokio::time::sleep(TICK).await;
            }
        }
    }

    async fn local(&mut self, file: Arc<File>) -> Result<bool> {
        let mut tail = TailReader::new(file, self.at);
        let read = carry::spawn_blocking(move || tail.lines(AT_ONCE));
        let read = read.await.context("reading panicked")?;
        if read.is_err() && self.system.spool.has_given_back(self.run) {
            // What was not read before is in pieces.
            self.file = None;
            return Ok(false);
        }
        let bytes = read.context("failed to read a log in the spool")?;
        Ok(self.take(&bytes))
    }

    async fn remote(&mut self) -> Result<bool> {
        let run = store::run::get(&self.system.pool, self.run)
            .await?
            .context("the run is gone from the database")?;
        let never = run.status.is_final() && run.started_at.is_none();
        if never || matches!(run.log_state, LogState::Archived | LogState::Lost | LogState::Pruned) {
            return self.archived(&LogSource::find(&run, &self.system).await?).await;
        }
        follow::want(&self.system.pool, self.run, WISH).await?;
        if let Some(gap) = self.gap.take() {
            self.fill(gap).await?;
            return Ok(true);
        }
        let mut came = false;
        for piece in piece::from_byte(&self.system.pool, self.run.into(), self.at).await? {
            let (at, raw_bytes) = (piece.place.at, piece.raw_bytes);
            let unpack = carry::spawn_blocking(move || gzip::decode_member(&piece.bytes, piece.raw_bytes));
            let bytes = unpack.await.context("unpacking panicked")??;
            // One that was shipped anew may begin with what is known.
            let known = self.at.saturating_sub(at).min(raw_bytes);
            if at > self.at {
                // Whoever wants the last lines alone does not wait for those before.
                self.gap = if self.held.is_none() { Gap::open(&self.system, &run, at).await? } else { None };
                if self.gap.is_some() {
                    return Ok(true);
                }
                self.skip(at, "");
            }
            came |= self.take(&bytes[known as usize..]);
        }
        let worker = run.worker.as_deref().unwrap_or("a worker");
        let waits = match run.started_at {
            None => Some("the run is queued; its log begins when a worker takes it".to_owned()),
            Some(_) if run.status.is_final() => {
                Some(format!("the run has ended; {worker} has the end of its log until it is archived"))
            }
            Some(_) => None,
        };
        if waits != self.waits {
            self.waits.clone_from(&waits);
            self.news.extend(waits.map(News::Note));
        }
        Ok(came)
    }

    /// Takes some more of what the pieces lack.
    async fn fill(&mut self, gap: Gap) -> Result<()> {
        let (at, Gap { mut blocks, to }) = (self.at, gap);
        let read = carry::spawn_blocking(move || {
            let bytes = blocks.some(at, to);
            (blocks, bytes)
        });
        match read.await.context("reading panicked")? {
            (blocks, Ok(bytes)) => {
                self.take(&bytes);
                self.gap = (self.at < to).then_some(Gap { blocks, to });
            }
            (_, Err(error)) => self.skip(to, &format!(" ({error:#})")),
        }
        Ok(())
    }

    /// Goes on behind what is not to be had, and says so.
    fn skip(&mut self, to: u64, why: &str) {
        self.rest.clear();
        let missing = to - self.at;
        let note = format!("{missing} bytes before this are not here; they will be in the archive{why}");
        self.news.push_back(News::Note(note));
        self.at = to;
    }

    /// Reads the rest from the archive.
    async fn archived(&mut self, source: &LogSource) -> Result<bool> {
        let skip = if self.archive.is_none() { self.at } else { 0 };
        let mut lines = match self.archive.take() {
            Some(lines) => lines,
            None => source.open(&self.system.objects).await?,
        };
        let read = carry::spawn_blocking(move || -> io::Result<(LogLines, Vec<u8>)> {
            io::copy(&mut lines.reader.by_ref().take(skip), &mut io::sink())?;
            let mut bytes = Vec::new();
            lines.reader.by_ref().take(AT_ONCE as u64).read_to_end(&mut bytes)?;
            Ok((lines, bytes))
        });
        let (lines, bytes) = read.await.context("reading panicked")?.context("failed to read the log")?;
        self.archive = Some(lines);
        self.ended = bytes.is_empty();
        Ok(self.take(&bytes))
    }

    /// Takes the next bytes of the log; returns whether there were any.
    fn take(&mut self, bytes: &[u8]) -> bool {
        self.at += bytes.len() as u64;
        self.rest.extend_from_slice(bytes);
        let whole = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let mut lines = Vec::new();
        for line in self.rest[..whole].split_inclusive(|byte| *byte == b'\n') {
            self.ended |= Record::decode(line).is_some_and(|record| record.tail.is_some());
            if self.selection.wants(line) {
                lines.push(line.to_owned());
            }
        }
        self.rest.drain(..whole);
        match (&mut self.held, self.selection.tail) {
            (Some(held), Some(most)) => {
                held.extend(lines);
                held.drain(..held.len().saturating_sub(most as usize));
            }
            _ if lines.is_empty() => {}
            _ => self.news.push_back(News::Lines(lines)),
        }
        !bytes.is_empty()
    }
}
