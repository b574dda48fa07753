//! A log on another machine that is not archived yet, read through the database.
//!
//! The remote tail has its beginning and its end. Of what lies between, the database has the index, and the run's worker
//! gives the bytes of the archive that grows: no port has to be open, and it costs nothing while nobody reads.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::runtime::Handle;

use super::block::Block;
use crate::carry;
use crate::gzip::{self, Index};
use crate::ids::LogId;
use crate::store::log_read::{self, ReadAnswer};
use crate::store::{PgPool, Run, part, piece};

/// How long the worker may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often to look for its answer.
const TICK: Duration = Duration::from_millis(25);

/// A log that is elsewhere, as far as it was there when somebody looked.
#[derive(Debug)]
pub struct ElsewhereLog {
    pool: PgPool,
    log: LogId,
    worker: String,
    /// The members of its archive that are up.
    index: Arc<Index>,
    /// The bytes of the log that pieces have, in order.
    pieces: Vec<Range<u64>>,
}

impl ElsewhereLog {
    /// Finds out what there is of a run's log; `None` if some of it can't be had without its spool.
    ///
    /// # Errors
    /// The database fails, or has what can't be true.
    pub(super) async fn find(pool: &PgPool, run: &Run) -> Result<Option<Self>> {
        let log = run.id.into();
        // In this order: what goes from the pieces meanwhile is in the index by then.
        let pieces = piece::stretches(pool, log).await?;
        // When the run is over, its worker answers no questions about its log.
        let index =
            if run.status.is_final() { Index::default() } else { index_of_what_is_up(pool, log).await? };
        let worker = run.worker.clone().unwrap_or_else(|| "its worker".to_owned());
        let found = Self { pool: pool.clone(), log, worker, index: Arc::new(index), pieces };
        let is_there = found.end() > 0 && found.in_pieces(found.index.raw_bytes()..found.end());
        Ok(is_there.then_some(found))
    }

    /// The members of its archive that are up.
    pub(super) fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// Bytes of the log that are there.
    fn end(&self) -> u64 {
        self.pieces.last().map_or(0, |last| last.end).max(self.index.raw_bytes())
    }

    /// Whether pieces have all of these bytes.
    pub(super) fn in_pieces(&self, bytes: Range<u64>) -> bool {
        let first = self.pieces.partition_point(|piece| piece.end <= bytes.start);
        let mut at = bytes.start;
        for piece in &self.pieces[first..] {
            if piece.start > at || at >= bytes.end {
                break;
            }
            at = piece.end;
        }
        at >= bytes.end
    }

    /// Counts what lies behind the archive, further blocks of whole lines. Blocks that were made before, with as much of
    /// the archive up, are gone on with.
    pub(super) fn grow(&self, blocks: &mut Vec<Block>, runtime: &Handle) -> Result<()> {
        carry::may_block();
        let mut at = blocks.last().map_or(0, Block::end);
        if at < self.end() && blocks.len() == self.index.members().len() {
            // A member of the archive stays what it is.
            blocks.push(Block::empty(self.index.lines(), at));
        }
        while at < self.end() {
            for lines in runtime.block_on(self.some(at, self.end()))? {
                at += lines.len() as u64;
                Block::add_to(blocks, &lines);
            }
        }
        Ok(())
    }

    /// These bytes of the log, from its pieces.
    pub(super) async fn read(&self, bytes: Range<u64>) -> Result<Vec<u8>> {
        let mut read = Vec::with_capacity((bytes.end - bytes.start) as usize);
        while (read.len() as u64) < bytes.end - bytes.start {
            read.extend(self.some(bytes.start + read.len() as u64, bytes.end).await?.concat());
        }
        Ok(read)
    }

    /// Some bytes from here on, piece by piece, not beyond the end.
    async fn some(&self, mut at: u64, end: u64) -> Result<Vec<Vec<u8>>> {
        let mut read = Vec::new();
        for piece in piece::from_byte(&self.pool, self.log, at).await? {
            let (begin, raw_bytes) = (piece.place.at, piece.raw_bytes);
            if begin > at || at >= end {
                break;
            }
            let lines = unpacked(piece.bytes, raw_bytes, begin, at..end).await?;
            at += lines.len() as u64;
            read.push(lines);
        }
        if read.is_empty() {
            read.push(self.moved(at..end).await?);
        }
        Ok(read)
    }

    /// Some of these bytes, from their beginning, which went from the pieces to the archive since the log was found.
    async fn moved(&self, wanted: Range<u64>) -> Result<Vec<u8>> {
        let index = index_of_what_is_up(&self.pool, self.log).await?;
        let number =
            index.members().partition_point(|member| member.raw_offset + member.raw_len <= wanted.start);
        let Some(member) = index.members().get(number) else {
            bail!("the log went on to its archive while it was read: read it again");
        };
        let bytes = self.ask(index.byte_range(number..number + 1)).await?;
        unpacked(bytes, member.raw_len, member.raw_offset, wanted).await
    }

    /// These bytes of its archive, from the run's worker.
    pub(super) async fn ask(&self, bytes: Range<u64>) -> Result<Vec<u8>> {
        let (began, wanted) = (Instant::now(), bytes.end - bytes.start);
        let question = log_read::ask(&self.pool, self.log, bytes.start, wanted).await?;
        loop {
            match log_read::take(&self.pool, question).await? {
                ReadAnswer::Bytes(answer) => {
                    ensure!(answer.len() as u64 == wanted, "{} answered with too little", self.worker);
                    return Ok(answer);
                }
                ReadAnswer::Refused(why) => bail!(
                    "the middle of this log can't be read now: {why}; all of it can be when the run is over and its log archived"
                ),
                ReadAnswer::Over => bail!("the log went on to its archive while it was read: read it again"),
                ReadAnswer::Open if began.elapsed() > PATIENCE => {
                    log_read::drop_one(&self.pool, question).await?;
                    bail!(
                        "{} does not answer, and has the middle of this log: read its beginning and its end with `logs -f`, or all of it when it is archived",
                        self.worker
                    );
                }
                ReadAnswer::Open => tokio::time::sleep(TICK).await,
            }
        }
    }
}

/// The index of the members of a log's archive that are up.
async fn index_of_what_is_up(pool: &PgPool, log: LogId) -> Result<Index> {
    let Some((upload, parts)) = part::noted(pool, log).await? else { return Ok(Index::default()) };
    let entries: Vec<u8> = parts.into_iter().flat_map(|part| part.entries).collect();
    Index::up_to(&upload.mark, &entries)
}

/// Of a gzip member of so many raw bytes, which begins at this byte of the log, those that are wanted.
async fn unpacked(member: Vec<u8>, raw_len: u64, begin: u64, wanted: Range<u64>) -> Result<Vec<u8>> {
    let unpack = carry::spawn_blocking(move || gzip::decode_member(&member, raw_len));
    let mut lines = unpack.await.context("unpacking panicked")??;
    lines.truncate(usize::try_from(wanted.end - begin).unwrap_or(usize::MAX));
    lines.drain(..(wanted.start - begin) as usize);
    Ok(lines)
}
