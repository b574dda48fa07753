//! A log as blocks of whole lines, of which any can be read by itself: the members of an archive, or stretches of a
//! file in the spool. What is known of them can be kept by whoever reads the same log again.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use tokio::runtime::Handle;

use super::block::{BLOCK, Block};
use super::elsewhere::ElsewhereLog;
use super::ranged::{Cost, Meter, Ranged};
use super::{LogSource, Selection};
use crate::carry;
use crate::gzip::Index;
use crate::objects::{ObjectUri, Objects};
use crate::spool::TailReader;

/// Consecutive members of an archive to fetch at once while many are read.
const AHEAD: usize = 16;

/// What is known of the blocks of a log, without the log. Cheap to clone.
#[derive(Debug, Clone)]
pub enum KnownBlocks {
    /// Of an archive, for ever.
    Archive(Arc<Index>),
    /// Of a file in the spool, which may have more lines by now.
    Spool(Arc<Vec<Block>>),
    /// Of a log elsewhere, with so many members of its archive up.
    Elsewhere(usize, Arc<Vec<Block>>),
}

/// A log and its blocks. Reading blocks: it belongs on a thread for blocking work.
pub struct LogBlocks {
    bytes: BlockBytes,
    blocks: Arc<Vec<Block>>,
    meter: Arc<Meter>,
    runtime: Handle,
}

enum BlockBytes {
    Archive(Box<Ranged>),
    Spool(Arc<File>),
    /// Its first blocks are the members of the archive.
    Elsewhere(Arc<ElsewhereLog>, Box<Ranged>),
}

/// The raw bytes of consecutive blocks, fetched as they are read. It waits for the object store or the database, so it
/// belongs on a thread for blocking work.
pub(super) struct BlockReader {
    blocks: LogBlocks,
    left: Range<usize>,
    raw: Cursor<Vec<u8>>,
}

impl LogBlocks {
    /// The blocks of a log. What is `known` of it from before saves reading it again.
    ///
    /// # Errors
    /// The object store or the spool fails, or the archive is damaged or none of ours.
    pub fn open(
        objects: &Objects,
        source: &LogSource,
        known: Option<KnownBlocks>,
        runtime: Handle,
    ) -> Result<Self> {
        Self::open_metered(objects, source, known, Arc::default(), runtime)
    }

    pub(super) fn open_metered(
        objects: &Objects,
        source: &LogSource,
        known: Option<KnownBlocks>,
        meter: Arc<Meter>,
        runtime: Handle,
    ) -> Result<Self> {
        carry::may_block();
        let (bytes, blocks) = match source {
            LogSource::Archive { uri, raw_bytes } => {
                let archive = open_archive(objects, uri, *raw_bytes, known, &meter, &runtime)?;
                return Ok(Self::of_archive(archive, meter, runtime));
            }
            LogSource::Spool(file) => {
                let mut blocks = match known {
                    Some(KnownBlocks::Spool(blocks)) => Arc::unwrap_or_clone(blocks),
                    _ => Vec::new(),
                };
                grow(file, &mut blocks).context("failed to read a log in the spool")?;
                (BlockBytes::Spool(Arc::clone(file)), blocks)
            }
            LogSource::Elsewhere(log) => {
                let archive = Ranged::elsewhere(log, &meter);
                let members = archive.index().members();
                let mut blocks = match known {
                    Some(KnownBlocks::Elsewhere(up, blocks)) if up == members.len() => {
                        Arc::unwrap_or_clone(blocks)
                    }
                    _ => members.iter().map(Block::from).collect(),
                };
                log.grow(&mut blocks, &runtime)?;
                (BlockBytes::Elsewhere(Arc::clone(log), Box::new(archive)), blocks)
            }
        };
        Ok(Self { bytes, blocks: Arc::new(blocks), meter, runtime })
    }

    pub(super) fn of_archive(archive: Ranged, meter: Arc<Meter>, runtime: Handle) -> Self {
        let blocks = archive.index().members().iter().map(Block::from).collect();
        Self { bytes: BlockBytes::Archive(Box::new(archive)), blocks: Arc::new(blocks), meter, runtime }
    }

    /// The raw bytes of these blocks.
    pub(super) fn reader(self, left: Range<usize>) -> BlockReader {
        BlockReader { blocks: self, left, raw: Cursor::default() }
    }

    /// Looks for lines that came since.
    ///
    /// # Errors
    /// The spool fails.
    pub fn refresh(&mut self) -> Result<()> {
        carry::may_block();
        if let BlockBytes::Spool(file) = &self.bytes {
            grow(file, Arc::make_mut(&mut self.blocks)).context("failed to read a log in the spool")?;
        }
        Ok(())
    }

    /// What can be kept for the next time.
    pub fn known(&self) -> KnownBlocks {
        match &self.bytes {
            BlockBytes::Archive(archive) => KnownBlocks::Archive(Arc::clone(archive.index())),
            BlockBytes::Spool(_) => KnownBlocks::Spool(Arc::clone(&self.blocks)),
            BlockBytes::Elsewhere(log, _) => {
                KnownBlocks::Elsewhere(log.index().members().len(), Arc::clone(&self.blocks))
            }
        }
    }

    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Lines that are there now.
    pub fn lines(&self) -> u64 {
        self.blocks.last().map_or(0, |last| last.first_line + last.lines)
    }

    /// The block that holds this line, or the first behind it; the number of blocks if there is none.
    pub fn of_line(&self, line: u64) -> usize {
        self.blocks.partition_point(|block| block.first_line + block.lines <= line)
    }

    /// The blocks that hold all selected lines, to the end of the log, as far as what is known of them says so.
    pub(super) fn selected(&self, selection: &Selection) -> Range<usize> {
        let tail = selection.plain_tail().map(|lines| self.lines().saturating_sub(lines));
        let first = selection.lines.as_ref().map(|lines| lines.start).max(tail).unwrap_or(0);
        let since = match (&self.bytes, selection.since) {
            (BlockBytes::Archive(archive) | BlockBytes::Elsewhere(_, archive), Some(since)) => {
                archive.index().members_since(since.timestamp_micros()).start
            }
            _ => 0,
        };
        let end = self.blocks.len();
        self.of_line(first).max(since).min(end)..end
    }

    /// The byte of the log at which the block of this line begins; its end if there is none.
    pub fn byte_before(&self, line: u64) -> u64 {
        let end = self.blocks.last().map_or(0, Block::end);
        self.blocks.get(self.of_line(line)).map_or(end, |block| block.at)
    }

    /// What reading cost so far.
    pub fn cost(&self) -> Cost {
        self.meter.cost()
    }

    /// The raw bytes of a block; of an archive, those up to the block `last` are fetched with it.
    ///
    /// # Errors
    /// The object store or the spool fails, or the log is damaged.
    pub fn read(&mut self, block: usize, last: usize) -> Result<Vec<u8>> {
        self.fetch(block, last.clamp(block, block + AHEAD))
    }

    /// Some bytes of the log from this one on, not beyond the end.
    pub(super) fn some(&mut self, at: u64, end: u64) -> Result<Vec<u8>> {
        let block = self.blocks.partition_point(|block| block.end() <= at);
        let from = self.blocks.get(block).context("the log has no such byte")?.at;
        let mut raw = self.read(block, usize::MAX)?;
        raw.truncate(usize::try_from(end - from).unwrap_or(usize::MAX));
        raw.drain(..(at - from) as usize);
        Ok(raw)
    }

    fn fetch(&mut self, block: usize, last: usize) -> Result<Vec<u8>> {
        carry::may_block();
        match &mut self.bytes {
            BlockBytes::Archive(archive) => {
                let last = last.min(self.blocks.len() - 1);
                self.runtime.block_on(archive.member(block..last + 1))
            }
            BlockBytes::Spool(file) => {
                let Block { at, bytes, .. } = self.blocks[block];
                let read = TailReader::new(Arc::clone(file), at).exactly(bytes as usize);
                read.context("failed to read a log in the spool")
            }
            BlockBytes::Elsewhere(log, archive) => {
                let (up, its) = (log.index().members().len(), self.blocks[block]);
                // The worker is asked only for what nobody else has.
                if log.in_pieces(its.at..its.end()) {
                    return self.runtime.block_on(log.read(its.at..its.end()));
                }
                let last = last.min(up - 1);
                self.runtime.block_on(archive.member(block..last + 1))
            }
        }
    }
}

impl Read for BlockReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.raw.read(buffer)?;
            let Some(block) = self.left.clone().next().filter(|_| read == 0) else { return Ok(read) };
            let raw = self.blocks.fetch(block, self.left.end - 1);
            self.raw = Cursor::new(raw.map_err(io::Error::other)?);
            self.left.start += 1;
        }
    }
}

fn open_archive(
    objects: &Objects,
    uri: &ObjectUri,
    raw_bytes: u64,
    known: Option<KnownBlocks>,
    meter: &Arc<Meter>,
    runtime: &Handle,
) -> Result<Ranged> {
    let archive = match known {
        Some(KnownBlocks::Archive(index)) => Ranged::known(objects, uri, meter, index),
        _ => {
            let opened = runtime.block_on(Ranged::open(objects, uri, meter))?;
            opened.context("this archive has no index, so only the whole of it can be read")?
        }
    };
    let holds = archive.index().raw_bytes();
    ensure!(holds == raw_bytes, "damaged archive: it holds {holds} bytes, the row says {raw_bytes}");
    Ok(archive)
}

/// Adds the lines that came since to the last block, or as further ones.
fn grow(file: &Arc<File>, blocks: &mut Vec<Block>) -> io::Result<()> {
    loop {
        let end = blocks.last().map_or(0, Block::end);
        let lines = TailReader::new(Arc::clone(file), end).lines(BLOCK as usize)?;
        if lines.is_empty() {
            return Ok(());
        }
        Block::add_to(blocks, &lines);
    }
}
