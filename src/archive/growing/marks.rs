//! Marks in an archive that grows: for each part of it, what it takes to go on behind that part. Whoever makes the
//! members makes the marks, and whoever notes what is up takes them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::archive::ProblemCounter;
use crate::gzip::ArchiveMark;
use crate::objects::PartSizes;
use crate::record::{LogCount, Record, timestamp_of};
use crate::store::problem::KindCount;

/// Marks that wait, at most: so many while the store is away.
const MOST: usize = 64;

/// The mark behind the member in which a part ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PartMark {
    pub(super) part: u16,
    pub(super) mark: ArchiveMark,
    /// What the index gained since the mark before.
    pub(super) entries: Vec<u8>,
    pub(super) count: LogCount,
    /// `None` where they can't be counted.
    pub(super) problems: Option<Vec<KindCount>>,
    pub(super) said: LastSaid,
}

/// What the last lines say that say it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct LastSaid {
    /// Their time.
    pub(super) micros: Option<i64>,
    /// Up to which byte of an external program's stdout and stderr the log goes.
    pub(super) output: [u64; 2],
}

impl LastSaid {
    /// The next lines. It reads them from their end: each line of an external program says how far it was read, and only
    /// the last one counts.
    fn lines(&mut self, lines: &[u8]) {
        let backwards = || lines.split_inclusive(|byte| *byte == b'\n').rev();
        self.micros = backwards().find_map(timestamp_of).or(self.micros);
        let may_say = |line: &&[u8]| memchr::memmem::find(line, b",\"output\":[").is_some();
        let output = |line: &[u8]| Record::decode(line).and_then(|record| record.output);
        self.output = backwards().filter(may_say).find_map(output).unwrap_or(self.output);
    }
}

/// The marks that nobody has taken yet. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct PartMarks(Arc<Mutex<VecDeque<PartMark>>>);

impl PartMarks {
    /// Takes the marks of the parts up to this one.
    pub(super) fn up_to(&self, part: u16) -> Vec<PartMark> {
        let mut marks = self.lock();
        let many = marks.partition_point(|mark| mark.part <= part);
        marks.drain(..many).collect()
    }

    fn push(&self, mark: PartMark) {
        let mut marks = self.lock();
        marks.push_back(mark);
        if marks.len() > MOST {
            // Each second one goes, and what the index gained with it is the next one's.
            let mut gained = Vec::new();
            let (mut number, many) = (0, marks.len());
            marks.retain_mut(|mark| {
                number += 1;
                gained.append(&mut mark.entries);
                let stays = number % 2 == 0 || number == many;
                if stays {
                    mark.entries = std::mem::take(&mut gained);
                }
                stays
            });
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<PartMark>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the marks.
#[derive(Debug)]
pub(super) struct MarkMaker {
    sizes: PartSizes,
    /// The last part with a mark.
    part: u16,
    /// Bytes of the index up to its mark.
    index_bytes: usize,
    count: LogCount,
    said: LastSaid,
    to: PartMarks,
}

impl MarkMaker {
    pub(super) fn new(sizes: PartSizes, to: PartMarks) -> Self {
        let (count, said) = (LogCount::default(), LastSaid::default());
        Self { sizes, part: 0, index_bytes: 0, count, said, to }
    }

    /// The next lines of the log, of one member.
    pub(super) fn lines(&mut self, lines: &[u8]) {
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            self.count.line(line);
        }
        self.said.lines(lines);
    }

    /// A member ends here, the index has these entries, and the lines so far these problems, if they can be counted.
    /// Behind the log's tail nobody goes on.
    pub(super) fn member(&mut self, mark: ArchiveMark, entries: &[u8], problems: Option<&ProblemCounter>) {
        let part = u16::try_from(mark.gzip_bytes / self.sizes.each).unwrap_or(u16::MAX);
        if part <= self.part || part > self.sizes.most || self.count.has_tail {
            return;
        }
        let gained = entries[self.index_bytes..].to_vec();
        (self.part, self.index_bytes) = (part, entries.len());
        let problems = problems.map(ProblemCounter::counts);
        self.to.push(PartMark { part, mark, entries: gained, count: self.count, problems, said: self.said });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(gzip_bytes: u64) -> ArchiveMark {
        let (raw_sha256, gzip_sha256) = (Vec::new(), Vec::new());
        ArchiveMark { raw_bytes: 1, gzip_bytes, lines: 1, members: 1, latest: None, raw_sha256, gzip_sha256 }
    }

    #[test]
    fn each_part_has_the_mark_of_the_first_member_that_ends_at_its_end_or_behind_it() {
        let marks = PartMarks::default();
        let sizes = PartSizes { above: 10, each: 10, most: 4 };
        let mut maker = MarkMaker::new(sizes, marks.clone());
        for gzip_bytes in [4, 9, 12, 18, 20, 27, 41, 45, 50] {
            maker.member(mark(gzip_bytes), &vec![0; gzip_bytes as usize], None);
        }
        let made: Vec<_> = marks
            .up_to(2)
            .into_iter()
            .map(|one| (one.part, one.mark.gzip_bytes, one.entries.len()))
            .collect();
        assert_eq!(made, [(1, 12, 12), (2, 20, 8)]);
        let made: Vec<_> = marks
            .up_to(9)
            .into_iter()
            .map(|one| (one.part, one.mark.gzip_bytes, one.entries.len()))
            .collect();
        assert_eq!(made, [(4, 41, 21)], "a member in which two parts end, and nothing beyond the last part");
    }

    #[test]
    fn the_last_line_that_says_a_time_or_a_place_in_the_output_counts() {
        let line = |second: u64, rest: &str| {
            format!(
                "{{\"timestamp\":\"2026-01-01T00:00:0{second}.000000Z\",\"seq\":{second},\"level\":\"INFO\",\"message\":\"m\"{rest}}}\n"
            )
        };
        let first = line(1, ",\"output\":[10,0]") + &line(2, ",\"output\":[20,5]") + &line(3, "");
        let second = line(4, "") + "{\"damaged\":1,\"output\":[\n";
        let mut said = LastSaid::default();
        said.lines(first.as_bytes());
        assert_eq!((said.micros, said.output), (timestamp_of(line(3, "").as_bytes()), [20, 5]));
        said.lines(second.as_bytes());
        assert_eq!((said.micros, said.output), (timestamp_of(line(4, "").as_bytes()), [20, 5]));
    }

    #[test]
    fn of_marks_that_wait_for_long_some_go_and_no_entry_of_the_index_is_lost() {
        let marks = PartMarks::default();
        let sizes = PartSizes { above: 1, each: 1, most: 10_000 };
        let mut maker = MarkMaker::new(sizes, marks.clone());
        let mut entries = Vec::new();
        for part in 1..=1000 {
            entries.push(part as u8);
            maker.member(mark(part), &entries, None);
        }
        let left = marks.up_to(u16::MAX);
        assert!(left.len() <= MOST && left.is_sorted_by_key(|mark| mark.part), "{}", left.len());
        assert_eq!(left.last().map(|mark| mark.part), Some(1000));
        assert_eq!(left.into_iter().flat_map(|mark| mark.entries).collect::<Vec<_>>(), entries);
    }
}
