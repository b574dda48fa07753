//! Which lines of a log are wanted.

use std::collections::VecDeque;
use std::io::{self, BufRead};

use anyhow::{Context, Result};

use super::next_line;
use crate::record::{Level, level_of};

/// Which lines of a log are wanted; without any setting, all.
#[derive(Debug, Clone, Copy, Default)]
pub struct Selection {
    /// Only lines of at least this level.
    pub level: Option<Level>,
    /// Only the last so many of them.
    pub tail: Option<u64>,
}

impl Selection {
    /// The number of last lines, when nothing else is asked for.
    pub(super) fn plain_tail(&self) -> Option<u64> {
        self.tail.filter(|_| self.level.is_none())
    }

    fn wants(&self, line: &[u8]) -> bool {
        self.level.is_none_or(|least| level_of(line).is_none_or(|level| level >= least))
    }
}

/// Calls `each` with the lines that are wanted, in bounded memory: never more than the tail is held.
///
/// # Errors
/// When the log can't be read, or `each` fails.
pub fn select(
    reader: &mut impl BufRead,
    selection: &Selection,
    mut each: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<()> {
    let mut held: VecDeque<Vec<u8>> = VecDeque::new();
    let mut line = Vec::new();
    while next_line(reader, &mut line).context("failed to read the log")? {
        if !selection.wants(&line) {
            continue;
        }
        match selection.tail {
            None => each(&line)?,
            Some(0) => {}
            Some(most) => {
                // The buffer of the line that falls out takes the one that comes in.
                let mut next =
                    if held.len() as u64 == most { held.pop_front() } else { None }.unwrap_or_default();
                std::mem::swap(&mut next, &mut line);
                held.push_back(next);
            }
        }
    }
    for line in held {
        each(&line)?;
    }
    Ok(())
}
