//! Reads the lines that come to a log which somebody follows, once, however many follow. Whoever begins or is behind
//! reads up to there by itself; the numbers of lines say whether any is missing.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::{Receiver, Sender};

use super::super::state::Shared;
use super::lines::{ShownLine, with_blocks};
use super::watches::{LineBatch, WatchedLine};
use crate::carry;
use crate::desk::lookup;
use crate::ids::RunId;
use crate::reader::{LinesWanted, LogSource, PageFrom, Selection};
use crate::store::{self, Run};

/// How often a log is looked at.
const TICK: Duration = Duration::from_millis(25);

/// Lines of a batch at most.
const AT_ONCE: usize = 1_000;

/// What comes to a log in the spool of this machine.
pub(super) fn watch(state: &Shared, run: RunId) -> Receiver<Arc<LineBatch>> {
    let (receiver, sender) = state.pages.watches.watch(run);
    if let Some(sender) = sender {
        carry::spawn(keep(Shared::clone(state), run, sender));
    }
    receiver
}

/// Looks at a log as long as somebody follows it, the server works, and it is there.
async fn keep(state: Shared, run: RunId, sender: Sender<Arc<LineBatch>>) {
    let mut stopping = state.stopping.clone();
    let entry = WatchEntry { state: &state, run };
    let mut next = None;
    loop {
        let batch = match look(&state, run, next).await {
            Ok(batch) => batch,
            Err(error) => {
                tracing::debug!("failed to look at the log of run {run}: {error:#}");
                None
            }
        };
        // Its followers go on by themselves, and see why.
        let Some(batch) = batch else { return };
        let (is_first, has_ended) = (next.is_none(), batch.has_ended);
        next = Some(batch.to);
        // The first one has no lines: it says from where on all come.
        if is_first || batch.from < batch.to || has_ended {
            // Nobody may follow any more.
            let _ = sender.send(Arc::new(batch));
        }
        if has_ended {
            return;
        }
        if state.pages.watches.forget_if_alone(run, &sender) {
            // Somebody may have begun it anew already.
            std::mem::forget(entry);
            return;
        }
        tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => return,
            () = tokio::time::sleep(TICK) => {}
        }
    }
}

/// A log among those that are read for all; taken away from there when dropped, also by a panic, so that its followers
/// hear of it.
struct WatchEntry<'a> {
    state: &'a Shared,
    run: RunId,
}

impl Drop for WatchEntry<'_> {
    fn drop(&mut self) {
        self.state.pages.watches.forget(self.run);
    }
}

/// The lines behind this one, or none from the end on; `None` if the log is no longer in the spool.
async fn look(state: &Shared, run: RunId, next: Option<u64>) -> anyhow::Result<Option<LineBatch>> {
    let Some(run) = store::run::get(&state.system.pool, run).await? else { return Ok(None) };
    if !matches!(lookup::log(&state.system, &run).await, Ok(LogSource::Spool(_))) {
        return Ok(None);
    }
    Ok(Some(read(state, &run, next).await?))
}

async fn read(state: &Shared, run: &Run, next: Option<u64>) -> anyhow::Result<LineBatch> {
    let last = LinesWanted { from: PageFrom::Before(u64::MAX), count: 1, selection: Selection::default() };
    let read = with_blocks(state, run, move |blocks| {
        blocks.refresh()?;
        let next = next.unwrap_or_else(|| blocks.lines());
        let wanted =
            LinesWanted { from: PageFrom::Line(next), count: AT_ONCE, selection: Selection::default() };
        // The last record ends the log.
        let ends = blocks.page(&last, |number, line| ShownLine::of(number, line).ends)?.lines;
        let lines = blocks.page(&wanted, |number, line| (number, Box::<[u8]>::from(line)))?.lines;
        Ok((next, lines, blocks.lines(), ends == [true]))
    });
    let (from, stored, total, is_complete) = read.await.map_err(anyhow::Error::from)?;
    let has_ended = is_complete && from + stored.len() as u64 >= total;
    let lines = stored.into_iter().map(|(number, stored)| {
        let event = event(number + 1, &ShownLine::of(number, &stored))?.into();
        anyhow::Ok(WatchedLine { stored, event })
    });
    Ok(LineBatch::new(from, lines.collect::<anyhow::Result<_>>()?, has_ended))
}

/// A line as an event, whose id is its number from 1.
pub(super) fn event(id: u64, line: &ShownLine) -> anyhow::Result<Vec<u8>> {
    let mut event = format!("id: {id}\ndata: ").into_bytes();
    serde_json::to_writer(&mut event, line)?;
    event.extend_from_slice(b"\n\n");
    Ok(event)
}
