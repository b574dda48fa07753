//! A log as blocks of whole lines, of which any can be read by itself: the members of an archive, or stretches of a
//! file in the spool. What is known of them can be kept by whoever reads the same log again.

use std::fs::File;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use tokio::runtime::Handle;

use super::ranged::{Cost, Meter, Ranged};
use super::{LogSource, Selection};
use crate::carry;
use crate::gzip::{Index, LEVELS};
use crate::objects::{ObjectUri, Objects};
use crate::record::{Level, level_of};
use crate::spool::TailReader;

/// About so many bytes of a file in the spool are a block.
const BLOCK: u64 = 1 << 20;

/// Consecutive members of an archive to fetch at once while many are read.
const AHEAD: usize = 16;

/// Some lines of a log, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// The number of its first line in the log, from 0.
    pub first_line: u64,
    pub lines: u64,
    /// Its first byte in the raw log.
    pub at: u64,
    pub bytes: u64,
    /// Lines of each level, the least severe first; `None` if nobody counted them.
    pub levels: Option<[u64; LEVELS]>,
}

/// What is known of the blocks of a log, without the log. Cheap to clone.
#[derive(Debug, Clone)]
pub enum KnownBlocks {
    /// Of an archive, for ever.
    Archive(Arc<Index>),
    /// Of a file in the spool, which may have more lines by now.
    Spool(Arc<Vec<Block>>),
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
        carry::may_block();
        let meter = Arc::<Meter>::default();
        let (bytes, blocks) = match source {
            LogSource::Archive { uri, raw_bytes } => {
                let archive = open_archive(objects, uri, *raw_bytes, known, &meter, &runtime)?;
                let blocks = archive.index().members().iter().map(|member| Block {
                    first_line: member.first_line,
                    lines: member.lines,
                    at: member.raw_offset,
                    bytes: member.raw_len,
                    levels: member.levels,
                });
                let blocks = blocks.collect();
                (BlockBytes::Archive(Box::new(archive)), blocks)
            }
            LogSource::Spool(file) => {
                let mut blocks = match known {
                    Some(KnownBlocks::Spool(blocks)) => Arc::unwrap_or_clone(blocks),
                    _ => Vec::new(),
                };
                grow(file, &mut blocks).context("failed to read a log in the spool")?;
                (BlockBytes::Spool(Arc::clone(file)), blocks)
            }
        };
        Ok(Self { bytes, blocks: Arc::new(blocks), meter, runtime })
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

    /// What reading cost so far.
    pub fn cost(&self) -> Cost {
        self.meter.cost()
    }

    /// The raw bytes of a block; of an archive, those up to the block `last` are fetched with it.
    ///
    /// # Errors
    /// The object store or the spool fails, or the log is damaged.
    pub fn read(&mut self, block: usize, last: usize) -> Result<Vec<u8>> {
        carry::may_block();
        match &mut self.bytes {
            BlockBytes::Archive(archive) => {
                let last = last.clamp(block, block + AHEAD).min(self.blocks.len() - 1);
                self.runtime.block_on(archive.member(block..last + 1))
            }
            BlockBytes::Spool(file) => {
                let Block { at, bytes, .. } = self.blocks[block];
                let read = TailReader::new(Arc::clone(file), at).exactly(bytes as usize);
                read.context("failed to read a log in the spool")
            }
        }
    }
}

impl Block {
    /// Whether it may have lines that are selected, by what is known of it.
    pub fn may_hold(&self, selection: &Selection) -> bool {
        let (Some(least), Some(levels)) = (selection.level, self.levels) else { return true };
        let without = self.lines - levels.iter().sum::<u64>();
        without > 0 || levels[least as usize..].iter().any(|lines| *lines > 0)
    }

    /// Its lines of a level; `None` if nobody counted them.
    pub fn lines_of(&self, level: Level) -> Option<u64> {
        self.levels.map(|levels| levels[level as usize])
    }

    /// Adds whole lines behind it.
    fn add(&mut self, lines: &[u8]) {
        let mut levels = self.levels.unwrap_or_default();
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            self.lines += 1;
            if let Some(level) = level_of(line) {
                levels[level as usize] += 1;
            }
        }
        self.levels = Some(levels);
        self.bytes += lines.len() as u64;
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
fn grow(file: &Arc<File>, blocks: &mut Vec<Block>) -> std::io::Result<()> {
    loop {
        let end = blocks.last().map_or((0, 0), |last| (last.at + last.bytes, last.first_line + last.lines));
        let lines = TailReader::new(Arc::clone(file), end.0).lines(BLOCK as usize)?;
        if lines.is_empty() {
            return Ok(());
        }
        let has_room = blocks.last().is_some_and(|last| last.bytes + lines.len() as u64 <= BLOCK);
        if !has_room {
            blocks.push(Block { first_line: end.1, lines: 0, at: end.0, bytes: 0, levels: None });
        }
        blocks.last_mut().expect("it was pushed").add(&lines);
    }
}
