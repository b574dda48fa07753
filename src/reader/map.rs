//! A map of a log: where its errors and warnings are, as a picture beside its lines needs it. The index of an archive
//! knows it of a log of any size.

use std::ops::Range;

use anyhow::Result;

use super::block::Block;
use super::blocks::LogBlocks;
use crate::record::{Level, level_of};

/// Most parts of a map.
const PARTS: u64 = 256;

/// Raw bytes of blocks to read at most where counts alone would be too rough.
const READ: u64 = 4 << 20;

/// Lines of levels that catch the eye, in parts of a log that have equally many lines, but for rounding.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogMap {
    /// Lines of the whole log.
    pub total: u64,
    /// Errors and warnings of each part, in the order of the log.
    pub parts: Vec<[u64; 2]>,
}

impl LogBlocks {
    /// Draws the map; `None` where nobody counted the levels of a log that is too large to do it now.
    ///
    /// # Errors
    /// As [`LogBlocks::read`].
    pub fn map(&mut self) -> Result<Option<LogMap>> {
        let mut map = LogMap::of(self.lines());
        let mut left = READ;
        for at in 0..self.blocks().len() {
            let block = self.blocks()[at];
            let counts = [Level::Error, Level::Warn].map(|level| block.lines_of(level));
            if counts == [Some(0); 2] {
                continue;
            }
            let parts = map.parts_of(&block);
            if let ([Some(errors), Some(warnings)], true) = (counts, parts.len() == 1 || block.bytes > left) {
                map.spread([errors, warnings], parts);
                continue;
            }
            if block.bytes > left {
                return Ok(None);
            }
            left -= block.bytes;
            let raw = self.read(at, at)?;
            for (number, line) in (block.first_line..).zip(raw.split_inclusive(|byte| *byte == b'\n')) {
                match level_of(line) {
                    Some(Level::Error) => map.add(number, [1, 0]),
                    Some(Level::Warn) => map.add(number, [0, 1]),
                    _ => {}
                }
            }
        }
        Ok(Some(map))
    }
}

impl LogMap {
    fn of(total: u64) -> Self {
        Self { total, parts: vec![[0; 2]; total.min(PARTS) as usize] }
    }

    /// The part that has a line, whose number counts from 0.
    fn part_of(&self, line: u64) -> usize {
        let parts = self.parts.len() as u128;
        (u128::from(line) * parts / u128::from(self.total.max(1))) as usize
    }

    fn parts_of(&self, block: &Block) -> Range<usize> {
        let last = block.first_line + block.lines.max(1) - 1;
        self.part_of(block.first_line)..self.part_of(last) + 1
    }

    fn add(&mut self, line: u64, counts: [u64; 2]) {
        let part = self.part_of(line);
        if let Some(part) = self.parts.get_mut(part) {
            (part[0], part[1]) = (part[0] + counts[0], part[1] + counts[1]);
        }
    }

    /// Counts lines that are somewhere in these parts: none of them looks as if it were free of them.
    fn spread(&mut self, counts: [u64; 2], parts: Range<usize>) {
        let wide = parts.len() as u64;
        for part in self.parts.get_mut(parts).into_iter().flatten() {
            for (count, more) in part.iter_mut().zip(counts) {
                *count += more.div_ceil(wide);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(first_line: u64, lines: u64) -> Block {
        Block { first_line, lines, at: 0, bytes: 0, levels: None }
    }

    #[test]
    fn each_line_has_a_part_and_the_parts_are_as_wide_as_each_other() {
        for total in [1, 2, 255, 256, 257, 1000, u64::MAX] {
            let map = LogMap::of(total);
            assert_eq!((map.part_of(0), map.part_of(total - 1)), (0, map.parts.len() - 1), "{total}");
        }
        let mut map = LogMap::of(1000);
        (0..1000).for_each(|line| map.add(line, [1, 0]));
        assert!(map.parts.iter().all(|[errors, _]| (3..=4).contains(errors)), "{map:?}");
    }

    #[test]
    fn what_is_only_known_of_a_block_is_shown_in_all_of_its_parts() {
        let mut map = LogMap::of(512);
        let parts = map.parts_of(&block(10, 20));
        assert_eq!(parts, 5..15);
        map.spread([3, 0], parts);
        assert_eq!(
            map.parts[4..16].iter().map(|[errors, _]| *errors).collect::<Vec<_>>(),
            [0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0]
        );
        assert_eq!(LogMap::of(0).parts_of(&block(0, 0)), 0..1);
        LogMap::of(0).spread([1, 1], 0..1);
    }
}
