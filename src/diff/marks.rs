//! One bit for each problem of a log: whether the second pass reports it.

use anyhow::{Context, Result};

use crate::reader::LogLines;
use crate::record::event::ProblemEvent;

/// The bits of one log, by the number of the problem in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Marks(Vec<u64>);

/// The lines of the problems that are marked.
pub(super) struct Marked<'a> {
    marks: &'a Marks,
    lines: LogLines,
    at: u64,
}

impl Marks {
    pub(super) fn new(problems: u64) -> Self {
        Self(vec![0; problems.div_ceil(64) as usize])
    }

    pub(super) fn set(&mut self, at: u64) {
        self.0[(at / 64) as usize] |= 1 << (at % 64);
    }

    pub(super) fn lines(&self, lines: LogLines) -> Marked<'_> {
        Marked { marks: self, lines, at: 0 }
    }

    fn has(&self, at: u64) -> bool {
        self.0.get((at / 64) as usize).is_some_and(|bits| bits & (1 << (at % 64)) != 0)
    }
}

impl Marked<'_> {
    /// The next of them.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        while self.lines.next(&mut line).context("failed to read the log")? {
            if ProblemEvent::is_in(&line) {
                self.at += 1;
                if self.marks.has(self.at - 1) {
                    return Ok(Some(line));
                }
            }
        }
        Ok(None)
    }
}
