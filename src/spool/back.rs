//! Reads a log in the spool from its end, or from a moment in it, back to its beginning.
//!
//! It relies on what the journal does: no record contains a zero, and no line has an earlier time than the one
//! before.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::record::{MAX_LINE_BYTES, timestamp_of};

/// Bytes to read at once while looking for the beginning of a line.
const LOOK: u64 = 4 << 10;

/// Bytes of a line that hold its time.
const LINE_BEGINNING: usize = 64;

/// A log in the spool, read backwards.
#[derive(Debug)]
pub struct BackReader {
    file: Arc<File>,
    /// Where the lines end that are still to come.
    end: u64,
}

impl BackReader {
    /// Reads from the end that the log has now.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn new(file: Arc<File>) -> io::Result<Self> {
        let size = file.metadata()?.len();
        let content = first(size, |at| {
            let mut byte = [0];
            Ok(file.read_at(&mut byte, at)? == 0 || byte == [0])
        })?;
        let mut reader = Self { file, end: content };
        // A line that is being written does not count yet.
        reader.end = reader.line_start(content)?;
        Ok(reader)
    }

    /// Passes over all lines from this time (microseconds since 1970) on.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn seek_before(&mut self, micros: i64) -> io::Result<()> {
        self.end = self.begin_at(micros)?;
        Ok(())
    }

    /// Where the first line of this time or later begins.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn begin_at(&self, micros: i64) -> io::Result<u64> {
        first(self.end, |at| {
            let mut line = [0; LINE_BEGINNING];
            let _ = self.file.read_at(&mut line, self.line_start(at)?)?;
            Ok(timestamp_of(&line).is_some_and(|time| time >= micros))
        })
    }

    /// The whole lines before, about `most` bytes and at least one line; empty at the beginning.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn lines(&mut self, most: usize) -> io::Result<Vec<u8>> {
        let mut most = most as u64;
        loop {
            let from = self.end.saturating_sub(most);
            let mut bytes = vec![0; (self.end - from) as usize];
            self.file.read_exact_at(&mut bytes, from)?;
            let cut = match from {
                0 => 0,
                _ => memchr::memchr(b'\n', &bytes).map_or(bytes.len(), |end| end + 1),
            };
            if cut == bytes.len() && from > 0 && most < MAX_LINE_BYTES as u64 {
                most *= 2;
                continue;
            }
            bytes.drain(..cut);
            self.end = from + cut as u64;
            return Ok(bytes);
        }
    }

    /// The beginning of the line that the byte at this place belongs to.
    fn line_start(&self, at: u64) -> io::Result<u64> {
        let mut end = at;
        while end > 0 {
            let from = end.saturating_sub(LOOK);
            let mut bytes = vec![0; (end - from) as usize];
            self.file.read_exact_at(&mut bytes, from)?;
            if let Some(place) = memchr::memrchr(b'\n', &bytes) {
                return Ok(from + place as u64 + 1);
            }
            end = from;
        }
        Ok(0)
    }
}

/// The first place below `end` for which this holds, as it does for all places behind; else `end`.
fn first(end: u64, holds: impl Fn(u64) -> io::Result<bool>) -> io::Result<u64> {
    let (mut low, mut high) = (0, end);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle)? {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Ok(low)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// Lines of these seconds, with zeros and half a line behind them.
    fn log(seconds: &[u32]) -> Arc<File> {
        let mut file = tempfile::tempfile().expect("a file");
        for second in seconds {
            writeln!(file, "{{\"timestamp\":\"2026-11-28T10:00:{second:02}.000000Z\",\"seq\":1}}")
                .expect("a line");
        }
        file.write_all(b"{\"timest").expect("half a line");
        file.write_all(&[0; 100_000]).expect("zeros");
        Arc::new(file)
    }

    fn at(second: u32) -> i64 {
        timestamp_of(format!("{{\"timestamp\":\"2026-11-28T10:00:{second:02}.000000Z\"").as_bytes())
            .expect("a time")
    }

    /// The seconds of the lines, as they come.
    fn seconds(reader: &mut BackReader, most: usize) -> Vec<Vec<u32>> {
        let mut pieces = Vec::new();
        loop {
            let piece = reader.lines(most).expect("lines");
            if piece.is_empty() {
                return pieces;
            }
            let lines = piece
                .split_inclusive(|byte| *byte == b'\n')
                .map(|line| ((timestamp_of(line).expect("a whole line") - at(0)) / 1_000_000) as u32);
            pieces.push(lines.collect());
        }
    }

    #[test]
    fn lines_come_from_the_last_whole_one_back_to_the_first() {
        let times = [1, 2, 2, 5, 9];
        for most in [1, 60, 150, 1 << 20] {
            let mut reader = BackReader::new(log(&times)).expect("a log");
            let mut pieces = seconds(&mut reader, most);
            pieces.reverse();
            assert_eq!(pieces.concat(), times, "{most}");
        }
        let mut reader = BackReader::new(log(&[])).expect("a log");
        assert!(seconds(&mut reader, 100).is_empty());
        let empty = Arc::new(tempfile::tempfile().expect("a file"));
        assert!(seconds(&mut BackReader::new(empty).expect("a log"), 100).is_empty());
    }

    #[test]
    fn a_moment_in_it_is_found() {
        let file = log(&[1, 2, 2, 5, 9]);
        for (moment, before) in [(0, 0), (1, 0), (2, 1), (3, 3), (5, 3), (6, 4), (9, 4), (10, 5)] {
            let mut reader = BackReader::new(Arc::clone(&file)).expect("a log");
            reader.seek_before(at(moment)).expect("found");
            assert_eq!(seconds(&mut reader, 1 << 20).concat().len(), before, "{moment}");
        }
    }
}
