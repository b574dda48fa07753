//! Reading a log wherever it lives: in this machine's spool, open or sealed, or in the object store.
//!
//! It fetches only what a selection needs: the index of an archive tells where its lines are. This room knows
//! lines and records, but not their meaning for a submission.

mod block;
mod blocks;
mod elsewhere;
mod follow;
mod map;
mod page;
mod placed;
mod ranged;
mod select;
mod spooled;
mod stream;
mod stream_follow;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail, ensure};
use tokio::runtime::Handle;
use tokio_util::io::SyncIoBridge;

pub use block::Block;
pub use blocks::{KnownBlocks, LogBlocks};
pub use elsewhere::ElsewhereLog;
pub use follow::{Follower, News};
pub use map::LogMap;
pub use page::{LinesWanted, LogPage, PageFrom};
pub use placed::{PlacedFollower, PlacedLine, PlacedStream, StreamNext, StreamPage, StreamPlace};
pub use ranged::Cost;
pub use select::{Selection, select};
pub use stream::{ElsewhereSegment, StreamSource};
pub use stream_follow::StreamFollower;

use self::ranged::{CountedReader, Meter, Ranged};
use crate::carry;
use crate::gzip;
use crate::objects::{ObjectUri, Objects};
use crate::store::{LogState, Run};
use crate::system::System;

const BUFFER: usize = 1 << 18;

/// Where a run's log is.
#[derive(Debug, Clone)]
pub enum LogSource {
    /// In the spool of this machine; it may still grow. The file is open, so it stays readable to its end even
    /// if it is archived meanwhile.
    Spool(Arc<File>),
    /// In the object store.
    Archive {
        /// Its place.
        uri: ObjectUri,
        /// Bytes of the log, by the row; a larger archive is refused.
        raw_bytes: u64,
    },
    /// On another machine, and not archived yet: as far as it was there when somebody looked.
    Elsewhere(Arc<ElsewhereLog>),
}

/// The lines of a log, oldest first. Reading blocks: it belongs on a thread for blocking work.
pub struct LogLines {
    reader: Box<dyn BufRead + Send>,
    /// The number of the first line in the log, from 0.
    first: u64,
    /// Whether the log may grow, so that an unfinished last line does not count yet.
    grows: bool,
}

impl LogSource {
    /// Finds the log of a run.
    ///
    /// # Errors
    /// The log can't be read from here; the text says where it is and what to do.
    pub async fn find(run: &Run, system: &System) -> Result<Self> {
        let spool = &system.spool;
        // If the log is archived between the lookup and the opening, the row has it, or will have it
        // when the caller tries again.
        let is_here = !spool.has_given_back(run.id);
        if let Some(file) = spool.find(run.id).filter(|_| is_here).and_then(|entry| spool.read(&entry)) {
            return Ok(Self::Spool(Arc::new(file)));
        }
        if let (Some(uri), Some(raw_bytes)) = (&run.logs_uri, run.log_raw_bytes) {
            let uri = uri.parse().context("the row's log URI can't be read")?;
            return Ok(Self::Archive { uri, raw_bytes: raw_bytes.cast_unsigned() });
        }
        let worker = run.worker.as_deref().unwrap_or("another machine");
        let may_be_elsewhere =
            matches!(run.log_state, LogState::Open | LogState::Sealed | LogState::Fallback);
        if may_be_elsewhere && let Some(log) = ElsewhereLog::find(&system.pool, run).await? {
            return Ok(Self::Elsewhere(Arc::new(log)));
        }
        match run.log_state {
            LogState::None if run.started_at.is_none() => {
                bail!("run {} is {}: it never started, so it has no log", run.id, run.status)
            }
            LogState::Pruned => bail!("the log of run {} was pruned; its row keeps the counts", run.id),
            LogState::Lost => {
                let why = run.archive_error.as_deref().unwrap_or("it could not be kept");
                bail!("the log of run {} is lost: {why}", run.id)
            }
            state if !is_here => bail!(
                "the log of run {} is {state}, and its beginning has left the spool: all of it can be read when it is archived, after the run; follow it with `logs -f` until then",
                run.id
            ),
            state => bail!(
                "the log of run {} is {state} in the spool of {worker}: read it there, follow it with `logs -f`, or wait until it is archived",
                run.id
            ),
        }
    }

    /// Opens the whole log.
    ///
    /// # Errors
    /// When the object store fails.
    pub async fn open(&self, objects: &Objects) -> Result<LogLines> {
        self.open_for(objects, &Selection::default(), &Arc::default()).await
    }

    /// Calls `each` with the selected lines, newline included, oldest first; returns the cost.
    ///
    /// # Errors
    /// When the log can't be read, is damaged, or `each` fails.
    pub async fn read(
        &self,
        objects: &Objects,
        selection: Selection,
        each: impl FnMut(&[u8]) -> io::Result<()> + Send + 'static,
    ) -> Result<Cost> {
        let meter = Arc::default();
        let lines = self.open_for(objects, &selection, &meter).await?;
        let read = carry::spawn_blocking(move || select(lines, &selection, each));
        read.await.context("reading panicked")??;
        Ok(meter.cost())
    }

    /// Opens the smallest part of the log that holds the whole selection.
    async fn open_for(
        &self,
        objects: &Objects,
        selection: &Selection,
        meter: &Arc<Meter>,
    ) -> Result<LogLines> {
        let (uri, raw_bytes) = match self {
            Self::Spool(file) => {
                let (file, selection) = (Arc::clone(file), selection.clone());
                let start = carry::spawn_blocking(move || spooled::start(file, &selection));
                let start =
                    start.await.context("reading panicked")?.context("failed to read a log in the spool")?;
                let lines = LogLines::new(BufReader::with_capacity(BUFFER, start), 0);
                return Ok(LogLines { grows: true, ..lines });
            }
            Self::Elsewhere(_) => return self.open_blocks(objects, selection, meter).await,
            Self::Archive { uri, raw_bytes } => (uri, *raw_bytes),
        };
        if selection.is_a_part()
            && let Some(archive) = Ranged::open(objects, uri, meter).await?
        {
            let holds = archive.index().raw_bytes();
            ensure!(holds == raw_bytes, "damaged archive: it holds {holds} bytes, the row says {raw_bytes}");
            let members = selection.members_of(archive.index());
            let blocks = LogBlocks::of_archive(archive, Arc::clone(meter), Handle::current());
            return Ok(LogLines::of_blocks(blocks, members));
        }
        let (_, stream) = objects.open(uri).await.map_err(|error| anyhow!(error))?;
        meter.get();
        let counted = CountedReader { inner: SyncIoBridge::new(stream), meter: Arc::clone(meter) };
        // The decoder reads the header of the first member at once.
        let decoder = move || gzip::BoundedReader::new(BufReader::with_capacity(BUFFER, counted), raw_bytes);
        let raw = carry::spawn_blocking(decoder).await.context("reading panicked")?;
        Ok(LogLines::new(BufReader::with_capacity(BUFFER, raw), 0))
    }

    /// Opens a log elsewhere where the selection begins.
    async fn open_blocks(
        &self,
        objects: &Objects,
        selection: &Selection,
        meter: &Arc<Meter>,
    ) -> Result<LogLines> {
        let (objects, source, selection) = (objects.clone(), self.clone(), selection.clone());
        let (meter, runtime) = (Arc::clone(meter), Handle::current());
        let open = carry::spawn_blocking(move || {
            let blocks = LogBlocks::open_metered(&objects, &source, None, meter, runtime)?;
            let selected = blocks.selected(&selection);
            anyhow::Ok(LogLines::of_blocks(blocks, selected))
        });
        open.await.context("reading panicked")?
    }
}

impl LogLines {
    fn of_blocks(blocks: LogBlocks, selected: Range<usize>) -> Self {
        let first = blocks.blocks().get(selected.start).map_or(0, |block| block.first_line);
        Self::new(BufReader::with_capacity(BUFFER, blocks.reader(selected)), first)
    }

    /// Lines from any source; the first is the log's line `first`, counted from 0.
    pub fn new(reader: impl BufRead + Send + 'static, first: u64) -> Self {
        Self { reader: Box::new(reader), first, grows: false }
    }

    /// Reads the next line into `line`; false at the end, which is also before a line that is still being
    /// written.
    ///
    /// # Errors
    /// When the log can't be read or is damaged.
    pub fn next(&mut self, line: &mut Vec<u8>) -> io::Result<bool> {
        line.clear();
        let most = crate::record::MAX_LINE_BYTES as u64;
        let read = self.reader.by_ref().take(most).read_until(b'\n', line)?;
        let is_whole = line.ends_with(b"\n") || read as u64 == most;
        Ok(read > 0 && (is_whole || !self.grows))
    }
}
