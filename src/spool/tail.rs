//! Reads a log that may still grow: exactly what its writer has stored so far.
//!
//! An open log has zeros behind its content, which no record contains, and perhaps a line that is being
//! written. Whoever reads a log in the spool reads it through this file: the reader of whole logs, who
//! follows one, and the worker that ships one to another machine.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::given::is_given_back;
use crate::record::MAX_LINE_BYTES;

/// Bytes to look at for the end of a line.
const PIECE: u64 = 64 << 10;

/// A log in the spool, read with its own position, whatever others do with the same open file. The file
/// stays readable to its end even if it is archived and removed meanwhile.
#[derive(Debug, Clone)]
pub struct TailReader {
    file: Arc<File>,
    at: u64,
}

impl TailReader {
    /// Reads from byte `at` of the log on.
    pub fn new(file: Arc<File>, at: u64) -> Self {
        Self { file, at }
    }

    /// Reads from a line's beginning on, at most `most` bytes before the end of the file.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn of_last(file: Arc<File>, most: u64) -> io::Result<Self> {
        let at = file.metadata()?.len().saturating_sub(most);
        let mut tail = Self { file, at };
        // The first line may have begun before.
        let (mut left, mut is_whole) = (if at > 0 { most } else { 0 }, false);
        while left > 0 && !is_whole {
            let bytes = tail.read_some(PIECE.min(left) as usize)?;
            let end = memchr::memchr(b'\n', &bytes);
            let passed = end.map_or(bytes.len(), |end| end + 1) as u64;
            (tail.at, left) = (tail.at + passed, left - passed);
            is_whole = end.is_some() || bytes.is_empty();
        }
        Ok(tail)
    }

    /// The position of the next byte.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// The next whole lines, about `most` bytes and at least one line; empty if there are none yet.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn lines(&mut self, mut most: usize) -> io::Result<Vec<u8>> {
        loop {
            let mut bytes = self.read_some(most)?;
            let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            if whole == 0 && bytes.len() == most && most < MAX_LINE_BYTES {
                most = most.saturating_mul(2).clamp(1, MAX_LINE_BYTES);
                continue;
            }
            // What is longer than any record is none, and comes in pieces.
            if whole > 0 || bytes.len() < most {
                bytes.truncate(whole);
            }
            self.at += bytes.len() as u64;
            return Ok(bytes);
        }
    }

    /// The next `many` bytes, which were there before.
    ///
    /// # Errors
    /// The file can't be read, or has become shorter.
    pub fn exactly(&self, many: usize) -> io::Result<Vec<u8>> {
        let bytes = self.read_some(many)?;
        if bytes.len() < many {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(bytes)
    }

    /// The next bytes, without moving on.
    fn read_some(&self, most: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; most];
        let mut filled = 0;
        while filled < most {
            match content_at(&self.file, self.at + filled as u64, &mut bytes[filled..])? {
                0 => break,
                read => filled += read,
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }
}

impl Read for TailReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = content_at(&self.file, self.at, buffer)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// Reads the stored bytes from `at` on into `buffer`; the content ends at the first zero.
fn content_at(file: &File, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut stored = || -> io::Result<(usize, usize)> {
        let read = file.read_at(buffer, at)?;
        Ok((memchr::memchr(0, &buffer[..read]).unwrap_or(read), read))
    };
    let (mut content, read) = stored()?;
    if content == 0 && read > 0 && is_given_back(file, at)? {
        // It may have been stored only just now.
        (content, _) = stored()?;
        if content == 0 {
            return Err(io::Error::other("this part of the log was given back, and will be in its archive"));
        }
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn log(content: &[u8]) -> Arc<File> {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(content).expect("its content");
        Arc::new(file)
    }

    #[test]
    fn zeros_and_an_unfinished_line_are_the_end_until_more_is_stored() {
        let file = log(b"one\ntwo\nthr\0\0\0\0\0\0\0\0");
        let mut tail = TailReader::new(Arc::clone(&file), 0);
        assert_eq!(tail.lines(100).expect("lines"), b"one\ntwo\n");
        assert_eq!((tail.lines(100).expect("none"), tail.position()), (Vec::new(), 8));
        file.write_all_at(b"ee\nf", 11).expect("more");
        assert_eq!(tail.lines(100).expect("lines"), b"three\n");
        assert_eq!(TailReader::new(Arc::clone(&file), 0).lines(1).expect("a line"), b"one\n");
        let mut all = String::new();
        TailReader::new(file, 0).read_to_string(&mut all).expect("all of it");
        assert_eq!(all, "one\ntwo\nthree\nf");
    }

    #[test]
    fn the_last_lines_begin_with_a_whole_one() {
        let file = log(b"one\ntwo\nthree\n\0\0");
        let mut tail = TailReader::of_last(Arc::clone(&file), 11).expect("the last lines");
        assert_eq!((tail.position(), tail.lines(100).expect("lines")), (8, b"three\n".to_vec()));
        assert_eq!(TailReader::of_last(file, 100).expect("all lines").position(), 0);
    }

    #[test]
    fn a_first_line_that_began_before_is_passed_whatever_its_length() {
        let long = [vec![b'x'; 3 * PIECE as usize], b"\nlast\n".to_vec()].concat();
        let tail = TailReader::of_last(log(&long), long.len() as u64 - 1).expect("the last line");
        assert_eq!(tail.position(), 3 * PIECE + 1);
        let endless = vec![b'x'; 3 * PIECE as usize];
        let tail = TailReader::of_last(log(&endless), 2 * PIECE + 1).expect("no line");
        assert_eq!(tail.position(), 3 * PIECE);
    }
}
