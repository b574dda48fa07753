//! Ships the logs of runs in flight to readers on other machines, as long as there are any.
//!
//! The bytes come from the spool file, so the parse does not wait for it and never learns of it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use anyhow::Result;

use super::{Watch, Worker};
use crate::carry;
use crate::ids::RunId;
use crate::spool::Spool;
use crate::store::{PgPool, follow};

/// How often readers are looked for, and given what is new.
pub(super) const TICK: Duration = Duration::from_millis(250);

/// A reader that comes first gets so many of the last bytes; the rest is in the archive later.
const FIRST: u64 = 1 << 20;

/// Bytes of one piece, at most. A spool file has fewer zeros than this behind its content.
const PIECE: u64 = 2 << 20;

/// Ticks between two looks for what nobody wants any more.
const CLEANING: u32 = 60;

impl Watch {
    /// Ships once. A database that fails is asked again the next time.
    pub(super) async fn ship(&self, worker: &Worker, tick: u32) {
        let runs = self.runs();
        let shipped = async {
            // What the last reader of an ended run left goes when nothing runs, too.
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
            Some(entry) => next_piece(&File::open(entry.path)?, from),
            None => Ok(None),
        });
        if let Some((at, bytes)) = piece.await?? {
            follow::ship(pool, run, shipped_to, at, &bytes).await?;
        }
    }
    Ok(())
}

/// The whole lines from this byte on, or the last ones, and where they begin.
fn next_piece(file: &File, from: Option<u64>) -> io::Result<Option<(u64, Vec<u8>)>> {
    let size = file.metadata()?.len();
    let at = from.unwrap_or_else(|| size.saturating_sub(FIRST + PIECE));
    let mut bytes = vec![0; size.saturating_sub(at).min(FIRST + PIECE) as usize];
    file.read_exact_at(&mut bytes, at)?;
    let content = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let Some(end) = bytes[..content].iter().rposition(|byte| *byte == b'\n') else { return Ok(None) };
    bytes.truncate(end + 1);
    // The first piece may begin in the middle of a line.
    let begin = match from {
        None if at > 0 => bytes.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1),
        _ => 0,
    };
    bytes.drain(..begin);
    Ok((!bytes.is_empty()).then_some((at + begin as u64, bytes)))
}
