//! A stretch of whole lines of a log, and what is known of them without reading it.

use super::Selection;
use crate::gzip::{LEVELS, Member};
use crate::record::{Level, level_of};

/// About so many bytes of a file in the spool are a block.
pub(super) const BLOCK: u64 = 1 << 20;

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

impl From<&Member> for Block {
    fn from(member: &Member) -> Self {
        Self {
            first_line: member.first_line,
            lines: member.lines,
            at: member.raw_offset,
            bytes: member.raw_len,
            levels: member.levels,
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

    pub(super) fn empty(first_line: u64, at: u64) -> Self {
        Self { first_line, lines: 0, at, bytes: 0, levels: None }
    }

    /// The first byte behind it in the raw log.
    pub(super) fn end(&self) -> u64 {
        self.at + self.bytes
    }

    /// Its lines of a level; `None` if nobody counted them.
    pub fn lines_of(&self, level: Level) -> Option<u64> {
        self.levels.map(|levels| levels[level as usize])
    }

    /// Adds whole lines behind these blocks: to the last of them, if there is room, or as a further one.
    pub(super) fn add_to(blocks: &mut Vec<Self>, lines: &[u8]) {
        let (at, first_line) =
            blocks.last().map_or((0, 0), |last| (last.end(), last.first_line + last.lines));
        let has_room =
            blocks.last().is_some_and(|last| last.bytes == 0 || last.bytes + lines.len() as u64 <= BLOCK);
        if !has_room {
            blocks.push(Self::empty(first_line, at));
        }
        blocks.last_mut().expect("it was pushed").add(lines);
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
