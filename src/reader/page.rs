//! Reads pages of a log: so many selected lines from a line on, or before it, from a log of any size. A page whose
//! lines are rare ends after a while, and says how far it looked.

use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::Selection;
use super::blocks::LogBlocks;

/// How long to look for the lines of a page.
const PATIENCE: Duration = Duration::from_millis(400);

/// Raw bytes of lines on a page, at most, but for a single longer line.
const MOST: usize = 4 << 20;

/// Where a page begins or ends; lines count from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageFrom {
    /// At this line or behind it.
    Line(u64),
    /// Before this line, the nearest.
    Before(u64),
}

/// The page that somebody wants. Of the selection only the conditions on single lines count.
#[derive(Debug, Clone)]
pub struct LinesWanted {
    pub from: PageFrom,
    /// At most so many lines.
    pub count: usize,
    pub selection: Selection,
}

/// Lines of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPage<T> {
    /// In the order of the log.
    pub lines: Vec<T>,
    /// The lines that were looked at; the next page begins at its end, the one before it ends at its start.
    pub looked_at: Range<u64>,
    /// Lines of the whole log.
    pub total: u64,
}

impl LogBlocks {
    /// Reads a page; `shown` makes of a line, whose number counts from 0, what is kept of it.
    ///
    /// # Errors
    /// As [`LogBlocks::read`].
    pub fn page<T>(
        &mut self,
        wanted: &LinesWanted,
        mut shown: impl FnMut(u64, &[u8]) -> T,
    ) -> Result<LogPage<T>> {
        match wanted.from {
            PageFrom::Line(line) => self.forward(line, wanted, &mut shown),
            PageFrom::Before(line) => self.backward(line, wanted, &mut shown),
        }
    }

    fn forward<T>(
        &mut self,
        from: u64,
        wanted: &LinesWanted,
        shown: &mut impl FnMut(u64, &[u8]) -> T,
    ) -> Result<LogPage<T>> {
        let (began, total) = (Instant::now(), self.lines());
        let from = from.min(total);
        let last = self.last_of(from, wanted);
        let (mut lines, mut bytes, mut looked_to) = (Vec::new(), 0, from);
        for at in self.of_line(from)..self.blocks().len() {
            let block = self.blocks()[at];
            if lines.len() >= wanted.count || bytes >= MOST || began.elapsed() > PATIENCE {
                break;
            }
            if block.may_hold(&wanted.selection) {
                let raw = self.read(at, last.unwrap_or(at).max(at))?;
                for (number, line) in (block.first_line..).zip(raw.split_inclusive(|byte| *byte == b'\n')) {
                    if number < from {
                        continue;
                    }
                    if lines.len() >= wanted.count || bytes >= MOST {
                        break;
                    }
                    looked_to = number + 1;
                    if wanted.selection.wants(line) {
                        bytes += line.len();
                        lines.push(shown(number, line));
                    }
                }
            } else {
                looked_to = block.first_line + block.lines;
            }
        }
        Ok(LogPage { lines, looked_at: from..looked_to, total })
    }

    fn backward<T>(
        &mut self,
        before: u64,
        wanted: &LinesWanted,
        shown: &mut impl FnMut(u64, &[u8]) -> T,
    ) -> Result<LogPage<T>> {
        let (began, total) = (Instant::now(), self.lines());
        let before = before.min(total);
        let (mut lines, mut bytes, mut looked_from) = (Vec::new(), 0, before);
        for at in (0..self.of_line(before.saturating_sub(1)) + 1).rev() {
            let Some(block) = self.blocks().get(at).copied() else { continue };
            if before == 0 || lines.len() >= wanted.count || bytes >= MOST || began.elapsed() > PATIENCE {
                break;
            }
            if block.may_hold(&wanted.selection) {
                let raw = self.read(at, at)?;
                let numbered = (block.first_line..).zip(raw.split_inclusive(|byte| *byte == b'\n'));
                let numbered: Vec<(u64, &[u8])> =
                    numbered.take_while(|(number, _)| *number < before).collect();
                for (number, line) in numbered.into_iter().rev() {
                    if lines.len() >= wanted.count || bytes >= MOST {
                        break;
                    }
                    looked_from = number;
                    if wanted.selection.wants(line) {
                        bytes += line.len();
                        lines.push(shown(number, line));
                    }
                }
            } else {
                looked_from = block.first_line;
            }
        }
        lines.reverse();
        Ok(LogPage { lines, looked_at: looked_from..before, total })
    }

    /// The last block of a page, if every line is wanted; else more are fetched ahead.
    fn last_of(&self, from: u64, wanted: &LinesWanted) -> Option<usize> {
        let selection = &wanted.selection;
        if selection.record.is_none() && selection.grep.is_none() && selection.fields.is_empty() {
            return match selection.level {
                // Blocks that hold none are passed over, so those ahead may not be needed.
                Some(_) => None,
                None => Some(self.of_line((from + wanted.count as u64).saturating_sub(1))),
            };
        }
        Some(usize::MAX)
    }
}
