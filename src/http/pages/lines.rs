//! The lines of a log as a page shows them, and the reading of them wherever the log is, in bounded memory.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::Serialize;
use tokio::runtime::Handle;

use super::super::error::Answered;
use super::super::state::ServerState;
use super::query::{LogPlace, LogQuery};
use crate::carry;
use crate::clock;
use crate::desk::lookup;
use crate::reader::{Cost, LinesWanted, LogBlocks, LogPage, PageFrom, Selection};
use crate::record::{Level, Record, Text, TextStyle, level_of};
use crate::store::Run;

/// Bytes of a line that are shown at once; the rest is one click away.
const FOLD: usize = 4 << 10;

/// How wide a level is with the space behind it.
const LEVEL: usize = "ERROR ".len();

/// How long to look for the first error.
const PATIENCE: Duration = Duration::from_secs(5);

/// A line, ready to show: no character of its texts moves or reorders anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct ShownLine {
    /// From 1.
    pub(super) n: u64,
    /// With its zone; empty for a line that is no record.
    pub(super) time: String,
    /// Likewise.
    pub(super) level: &'static str,
    pub(super) text: String,
    /// Bytes of the whole text, if it is folded here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) whole: Option<usize>,
    /// Whether it is the last record of a log.
    #[serde(skip)]
    pub(super) ends: bool,
}

/// A page of lines, and what reading it cost.
#[derive(Debug, Clone)]
pub(super) struct ReadLines {
    pub(super) page: LogPage<ShownLine>,
    pub(super) cost: Cost,
    /// The line that was looked for, from 1.
    pub(super) found: Option<u64>,
}

impl ShownLine {
    /// Shows a line whose number counts from 0.
    pub(super) fn of(number: u64, line: &[u8]) -> Self {
        let record = Record::decode_lossy(line);
        let mut text = Text { record: &record, style: style() }.to_string();
        let mut time = String::new();
        let mut level = "";
        // In front are the date, the time with its zone, and the level.
        let behind_date = text.find(' ').map(|at| at + 1).filter(|_| record.timestamp.is_some());
        let behind_time = behind_date.and_then(|at| Some(at + text[at..].find(' ')?));
        if let Some(end) = behind_time {
            let rest = text.split_off(end + 1 + LEVEL);
            text.truncate(end);
            time = std::mem::replace(&mut text, rest);
            level = record.level.as_str();
        }
        let whole = (text.len() > FOLD).then_some(text.len());
        text.truncate(text.floor_char_boundary(FOLD));
        Self { n: number + 1, time, level, text, whole, ends: record.tail.is_some() }
    }

    /// The sign of its level, which says it without a colour.
    pub(super) fn sign(&self) -> &'static str {
        match self.level {
            "ERROR" => "✕",
            "WARN" => "▲",
            _ => "",
        }
    }
}

/// How people read a record here, as the command shows it: times are in this machine's zone.
pub(super) fn style() -> TextStyle {
    TextStyle { on_lines: true, offset_at: clock::offset_at, ..TextStyle::default() }
}

/// Reads the lines that somebody wants of a log that is here or in the object store.
///
/// # Errors
/// The log can't be read from here; the text says where it is.
pub(super) async fn read(state: &ServerState, run: &Run, query: &LogQuery) -> Answered<ReadLines> {
    let query = query.clone();
    with_blocks(state, run, move |blocks| {
        let (from, found) = match query.place {
            LogPlace::From(line) => (PageFrom::Line(line - 1), None),
            LogPlace::Before(line) => (PageFrom::Before(line - 1), None),
            LogPlace::End => (PageFrom::Before(u64::MAX), None),
            LogPlace::FirstError => match first_error(blocks)? {
                // A few lines before it say how it came to it.
                Some(line) => (PageFrom::Line(line.saturating_sub(5)), Some(line + 1)),
                None => (PageFrom::Line(0), None),
            },
        };
        let page = blocks.page(&query.wanted(from), ShownLine::of)?;
        Ok(ReadLines { page, cost: blocks.cost(), found })
    })
    .await
}

/// The whole text of a line whose number counts from 0, as a page of its own would show it.
pub(super) async fn whole(state: &ServerState, run: &Run, number: u64) -> Answered<Option<String>> {
    let wanted = LinesWanted { from: PageFrom::Line(number), count: 1, selection: Selection::default() };
    with_blocks(state, run, move |blocks| Ok(blocks.page(&wanted, |_, line| text_of(line))?.lines.pop()))
        .await
}

/// A whole line as people read it.
pub(super) fn text_of(line: &[u8]) -> String {
    Text { record: &Record::decode_lossy(line), style: style() }.to_string()
}

/// Does something with the blocks of a log on a thread of its own, and remembers them.
pub(super) async fn with_blocks<T: Send + 'static>(
    state: &ServerState,
    run: &Run,
    with: impl FnOnce(&mut LogBlocks) -> anyhow::Result<T> + Send + 'static,
) -> Answered<T> {
    let source = lookup::log(&state.system, run).await?;
    let (objects, known) = (state.system.objects.clone(), state.pages.blocks(run.id));
    let runtime = Handle::current();
    let read = carry::spawn_blocking(move || {
        let mut blocks = LogBlocks::open(&objects, &source, known, runtime)?;
        let made = with(&mut blocks)?;
        anyhow::Ok((made, blocks.known()))
    });
    let (made, known) = read.await.context("reading panicked")??;
    state.pages.keep_blocks(run.id, known);
    Ok(made)
}

/// The first error of a log; of a log without one, the first warning. Lines count from 0.
fn first_error(blocks: &mut LogBlocks) -> anyhow::Result<Option<u64>> {
    for least in [Level::Error, Level::Warn] {
        let (began, mut from) = (Instant::now(), 0);
        let selection = Selection { level: Some(least), ..Selection::default() };
        while began.elapsed() < PATIENCE {
            let wanted = LinesWanted { from: PageFrom::Line(from), count: 50, selection: selection.clone() };
            // A line without a level goes with those around it, and is no error.
            let page = blocks.page(&wanted, |number, line| (number, level_of(line).is_some()))?;
            if let Some((number, _)) = page.lines.iter().find(|(_, has_level)| *has_level) {
                return Ok(Some(*number));
            }
            from = page.looked_at.end;
            if from >= page.total {
                break;
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_time_its_level_and_a_text_that_does_nothing() {
        clock::use_utc();
        let line = br#"{"timestamp":"2026-11-21T06:30:00.500000Z","seq":1,"level":"WARN","target":"t","message":"no\u202e<b>","record":3}"#;
        let shown = ShownLine::of(6, line);
        assert_eq!((shown.n, shown.level, shown.sign()), (7, "WARN", "▲"));
        assert_eq!(shown.time, "2026-11-21 06:30:00.500Z");
        assert_eq!(shown.text, "line 3: no\\u{202e}<b>");
        let other = ShownLine::of(0, b"no record\x1b[31m\n");
        assert_eq!((other.time.as_str(), other.level, other.text.as_str()), ("", "", "no record\\u{1b}[31m"));
        let long = ShownLine::of(0, "ä".repeat(3000).as_bytes());
        assert_eq!((long.text.len(), long.whole), (FOLD, Some(6000)));
    }
}
