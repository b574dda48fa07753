//! Ships the logs of runs in flight to readers on other machines.
//!
//! The bytes come from the spool file, so the parse does not wait for it and never learns of it.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use super::{RunsInFlight, Worker};
use crate::carry;
use crate::ids::RunId;
use crate::spool::{Spool, TailReader};
use crate::store::{PgPool, follow};

/// How often to look for readers and ship new lines.
pub(super) const TICK: Duration = Duration::from_millis(250);

/// Most bytes from the end of the log for a first reader; the archive will have the rest.
const FIRST: u64 = 1 << 20;

/// Most bytes of one piece. A spool file has fewer zeros than this behind its content.
const PIECE: u64 = 2 << 20;

/// Bytes of a log that stay in the database for readers; a slower reader misses some.
const KEPT: u64 = 8 << 20;

/// Ticks between two removals of pieces that nobody wants any more.
const CLEANING: u32 = 60;

impl RunsInFlight {
    /// Ships once. If the database fails, the next tick tries again.
    pub(super) async fn ship(&self, worker: &Worker, tick: u32) {
        let runs = self.runs();
        let shipped = async {
            // Remove pieces of ended runs even when nothing runs.
            if tick.is_multiple_of(CLEANING) {
                follow::clean(&worker.system.pool).await?;
            }
            if runs.is_empty() {
                Ok(())
            } else {
                ship(&worker.system.pool, &worker.system.spool, &runs).await
            }
        };
        if let Err(error) = shipped.await {
            tracing::debug!("readers of running logs get nothing for now: {error:#}");
        }
    }
}

async fn ship(pool: &PgPool, spool: &Spool, runs: &[RunId]) -> Result<()> {
    for (run, shipped_to) in follow::wanted(pool, runs).await? {
        let from = shipped_to.map(i64::cast_unsigned);
        let spool = spool.clone();
        let piece = carry::spawn_blocking(move || match spool.find(run) {
            Some(entry) => next_piece(File::open(entry.path)?, from),
            None => Ok(None),
        });
        if let Some((at, bytes)) = piece.await?? {
            follow::ship(pool, run, shipped_to, at, &bytes, KEPT).await?;
        }
    }
    Ok(())
}

/// The whole lines from this byte on, or the last ones, and their start.
fn next_piece(file: File, from: Option<u64>) -> io::Result<Option<(u64, Vec<u8>)>> {
    let file = Arc::new(file);
    let mut tail = match from {
        Some(at) => TailReader::new(file, at),
        None => TailReader::of_last(file, FIRST + PIECE)?,
    };
    let at = tail.position();
    let lines = tail.lines((FIRST + PIECE) as usize)?;
    Ok((!lines.is_empty()).then_some((at, lines)))
}
