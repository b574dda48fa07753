//! What a log has gained since somebody looked last: whole lines of its file, and of its segments where it passed
//! its cap.
//!
//! The file is read by its bytes. A segment is written anew again and again, so it is read by the number of its
//! first event, which tells whether it still is the segment from before.

use std::fs::File;
use std::io;
use std::sync::Arc;

use super::segment::segment_path;
use super::tail::TailReader;
use super::{Spool, SpooledLog};
use crate::ids::LogId;
use crate::record::seq_of;

/// Most bytes of one stretch, but for a longer line.
const STRETCH: usize = 1 << 20;

/// Bytes in which there is room for most first lines.
const LINE: usize = 2048;

/// Whole lines of a log, and their place in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// Whether they are of a segment, behind the cut of a log past its cap.
    pub behind: bool,
    /// The first byte in the log; in a segment, the number of the first event.
    pub at: u64,
    pub lines: Vec<u8>,
}

/// How far a log was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Growth {
    /// Bytes of its file.
    at: u64,
    segments: [SegmentPlace; 2],
}

/// How far a segment was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct SegmentPlace {
    /// The number of its first event.
    first: u64,
    at: u64,
}

impl Growth {
    /// As of somebody who has read so many bytes of the log's file.
    pub fn from(at: u64) -> Self {
        Self { at, ..Self::default() }
    }

    /// Bytes of the log's file that were read, or left out.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// The next stretch; `None` if there is nothing more for now. Where more than `most` bytes of the file are
    /// left, it leaves out all but the last of them.
    ///
    /// # Errors
    /// A file can't be read.
    pub fn next(&mut self, spool: &Spool, log: LogId, most: u64) -> io::Result<Option<Stretch>> {
        let Some(entry) = spool.find(log) else { return Ok(None) };
        let file = Arc::new(File::open(&entry.path)?);
        let (at, lines, position) = match self.read(&file, most) {
            Err(error) => {
                let given = spool.given_back(log)?.filter(|given| given.raw_bytes > self.at);
                // Those lines are up.
                self.at = given.ok_or(error)?.raw_bytes;
                self.read(&file, u64::MAX)?
            }
            Ok(read) => read,
        };
        if !lines.is_empty() {
            self.at = position;
            return Ok(Some(Stretch { behind: false, at, lines }));
        }
        // A sealed log holds its segments.
        if entry.sealed { Ok(None) } else { self.next_behind(spool, &entry) }
    }

    /// Where the next whole lines of the file begin, the lines, and where they end.
    fn read(&self, file: &Arc<File>, most: u64) -> io::Result<(u64, Vec<u8>, u64)> {
        let mut at = self.at;
        if file.metadata()?.len() > at.saturating_add(most) {
            at = TailReader::of_last(Arc::clone(file), most)?.position().max(at);
        }
        let mut tail = TailReader::new(Arc::clone(file), at);
        let lines = tail.lines(STRETCH)?;
        Ok((at, lines, tail.position()))
    }

    fn next_behind(&mut self, spool: &Spool, entry: &SpooledLog) -> io::Result<Option<Stretch>> {
        let mut found: Vec<(u64, usize, Arc<File>)> = Vec::new();
        for number in 0..2 {
            let Ok(file) = File::open(segment_path(spool.dir(), entry.log, number)) else { continue };
            let file = Arc::new(file);
            found.extend(first_event(&file)?.map(|first| (first, number, file)));
        }
        found.sort_by_key(|(first, ..)| *first);
        for (first, number, file) in found {
            let place = &mut self.segments[number];
            if place.first != first {
                *place = SegmentPlace { first, at: 0 };
            }
            let mut tail = TailReader::new(Arc::clone(&file), place.at);
            let lines = tail.lines(STRETCH)?;
            // It may have been begun anew while it was read.
            let at = seq_of(&lines).filter(|_| first_event(&file).is_ok_and(|now| now == Some(first)));
            if let Some(at) = at {
                place.at = tail.position();
                return Ok(Some(Stretch { behind: true, at, lines }));
            }
        }
        Ok(None)
    }
}

/// The number of the first event in a segment.
fn first_event(file: &Arc<File>) -> io::Result<Option<u64>> {
    Ok(seq_of(&TailReader::new(Arc::clone(file), 0).lines(LINE)?))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn line(seq: u64) -> String {
        format!(
            "{{\"timestamp\":\"2026-01-01T00:00:00.000000Z\",\"seq\":{seq},\"level\":\"INFO\",\"message\":\"m\"}}\n"
        )
    }

    fn lines(events: std::ops::Range<u64>) -> String {
        events.map(line).collect()
    }

    #[test]
    fn each_line_comes_once_and_a_segment_that_begins_anew_is_read_anew() {
        let home = tempfile::tempdir().expect("a folder");
        let spool = Spool::open(home.path(), 1 << 20).expect("a spool");
        let (log, mut growth) = (LogId::new(), Growth::default());
        let write = |ending: &str, text: &str| {
            fs::write(spool.stem(log).with_extension(ending), text).expect("a file");
        };
        let mut next = |spool: &Spool| {
            let stretch = growth.next(spool, log, u64::MAX).expect("a look")?;
            Some((stretch.behind, stretch.at, String::from_utf8(stretch.lines).expect("text")))
        };
        assert_eq!(next(&spool), None, "no such log");
        write("open", &(lines(1..3) + "{\"timest\0\0"));
        assert_eq!(next(&spool), Some((false, 0, lines(1..3))));
        assert_eq!(next(&spool), None);
        write("open", &(lines(1..5) + "\0"));
        let two = lines(1..3).len() as u64;
        assert_eq!(next(&spool), Some((false, two, lines(3..5))));
        write("tail-0", &lines(5..7));
        write("tail-1", &lines(7..8));
        assert_eq!(next(&spool), Some((true, 5, lines(5..7))));
        assert_eq!(next(&spool), Some((true, 7, lines(7..8))));
        write("tail-1", &lines(7..9));
        assert_eq!(next(&spool), Some((true, 8, lines(8..9))));
        write("tail-0", &lines(9..10));
        assert_eq!(next(&spool), Some((true, 9, lines(9..10))));
        assert_eq!(next(&spool), None);
    }

    #[test]
    fn what_is_far_behind_is_left_out_but_for_the_last_of_it() {
        let home = tempfile::tempdir().expect("a folder");
        let spool = Spool::open(home.path(), 1 << 20).expect("a spool");
        let log = LogId::new();
        fs::write(spool.stem(log).with_extension("log"), lines(1..1000)).expect("a file");
        let one = lines(999..1000).len() as u64;
        let mut growth = Growth::from(line(1).len() as u64);
        let last = growth.next(&spool, log, one + 10).expect("a look").expect("a stretch");
        assert_eq!(last.lines, lines(999..1000).into_bytes());
        assert_eq!(growth.next(&spool, log, one + 10).expect("a look"), None);
    }
}
