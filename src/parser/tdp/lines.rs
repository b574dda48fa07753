//! Lines of a file of any size in a buffer of fixed size.
//!
//! A line ends at `\n`, `\r\n` or `\r`. Of a line longer than [`LONGEST_LINE`] only the start is
//! given; no layout is anywhere near that long. A byte order mark is passed over. What the bytes mean is
//! not known here.

use std::io::{self, Read};

/// Bytes given of one line at most.
pub(super) const LONGEST_LINE: usize = 64 * 1024;
const BUFFER: usize = 4 * LONGEST_LINE;
/// Marks the following bytes as UTF-8, and is not a part of them.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One line, without its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawLine<'a> {
    pub bytes: &'a [u8],
    /// True when all bytes are surely ASCII; false when they may not be.
    pub is_ascii: bool,
}

/// Reads lines; see the module.
#[derive(Debug)]
pub(super) struct LineReader<R> {
    source: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    read: u64,
    after_cr: bool,
    is_ascii: bool,
}

impl<R: Read> LineReader<R> {
    pub(super) fn new(source: R) -> Self {
        let buffer = vec![0; BUFFER].into_boxed_slice();
        Self { source, buffer, start: 0, end: 0, read: 0, after_cr: false, is_ascii: true }
    }

    /// Bytes of the file that were consumed.
    pub(super) fn consumed(&self) -> u64 {
        self.read - (self.end - self.start) as u64
    }

    /// The next line without its end, or `None` at the end of the file.
    ///
    /// # Errors
    /// Whatever the source answers.
    pub(super) fn next(&mut self) -> io::Result<Option<RawLine<'_>>> {
        if self.start == self.end && !self.fill()? {
            return Ok(None);
        }
        if std::mem::take(&mut self.after_cr) && self.buffer[self.start] == b'\n' {
            self.start += 1;
            if self.start == self.end && !self.fill()? {
                return Ok(None);
            }
        }
        let mut searched = 0;
        loop {
            let window = &self.buffer[self.start + searched..self.end];
            if let Some(found) = memchr::memchr2(b'\n', b'\r', window) {
                let from = self.start;
                let to = from + searched + found;
                self.start = to + 1;
                self.after_cr = self.buffer[to] == b'\r';
                return Ok(Some(self.line(from, to.min(from + LONGEST_LINE))));
            }
            searched += window.len();
            if searched > LONGEST_LINE {
                self.cut_line()?;
                return Ok(Some(self.line(0, LONGEST_LINE)));
            }
            if !self.fill()? {
                let from = std::mem::replace(&mut self.start, self.end);
                return Ok(Some(self.line(from, self.end)));
            }
        }
    }

    fn line(&self, from: usize, to: usize) -> RawLine<'_> {
        RawLine { bytes: &self.buffer[from..to], is_ascii: self.is_ascii }
    }

    /// Keeps the start of a line that is too long, and skips the rest of it.
    fn cut_line(&mut self) -> io::Result<()> {
        self.buffer.copy_within(self.start..self.start + LONGEST_LINE, 0);
        self.is_ascii = false;
        loop {
            let got = read_some(&mut self.source, &mut self.buffer[LONGEST_LINE..])?;
            self.read += got as u64;
            self.end = LONGEST_LINE + got;
            match memchr::memchr2(b'\n', b'\r', &self.buffer[LONGEST_LINE..self.end]) {
                Some(found) => {
                    self.after_cr = self.buffer[LONGEST_LINE + found] == b'\r';
                    self.start = LONGEST_LINE + found + 1;
                    return Ok(());
                }
                None if got == 0 => {
                    self.start = self.end;
                    return Ok(());
                }
                None => {}
            }
        }
    }

    /// Moves the rest to the front and reads more; false at the end of the file.
    fn fill(&mut self) -> io::Result<bool> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let is_first = self.read == 0;
        let mut got = read_some(&mut self.source, &mut self.buffer[self.end..])?;
        while is_first && got > 0 && got < BYTE_ORDER_MARK.len() {
            match read_some(&mut self.source, &mut self.buffer[got..])? {
                0 => break,
                more => got += more,
            }
        }
        self.end += got;
        self.read += got as u64;
        if is_first && self.buffer[..self.end].starts_with(BYTE_ORDER_MARK) {
            self.start = BYTE_ORDER_MARK.len();
            if self.start == self.end {
                return self.fill();
            }
        }
        self.is_ascii = self.buffer[self.start..self.end].is_ascii();
        Ok(got > 0)
    }
}

fn read_some(source: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match source.read(into) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives at most `.1` bytes a time, so that every boundary falls somewhere.
    struct Drip<'a>(&'a [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let size = self.1.min(into.len()).min(self.0.len());
            into[..size].copy_from_slice(&self.0[..size]);
            self.0 = &self.0[size..];
            Ok(size)
        }
    }

    fn lines(text: &[u8], drip: usize) -> Vec<Vec<u8>> {
        let mut lines = LineReader::new(Drip(text, drip));
        let mut all = Vec::new();
        while let Some(line) = lines.next().expect("read") {
            all.push(line.bytes.to_vec());
        }
        assert_eq!(lines.consumed(), text.len() as u64);
        all
    }

    #[test]
    fn all_three_line_ends_split_wherever_the_reads_fall() {
        for drip in [1, 2, 3, 1000] {
            assert_eq!(lines(b"a\nb\r\nc\rd\r\r\n\ne", drip), [&b"a"[..], b"b", b"c", b"d", b"", b"", b"e"]);
            assert_eq!(lines(b"a\r\n", drip), [b"a"]);
            assert_eq!(lines(b"", drip), Vec::<Vec<u8>>::new());
        }
    }

    #[test]
    fn a_byte_order_mark_is_passed_over_once_at_the_start() {
        for drip in [1, 2, 3, 1000] {
            assert_eq!(lines(b"\xef\xbb\xbfa\n\xef\xbb\xbfb", drip), [&b"a"[..], b"\xef\xbb\xbfb"]);
            assert_eq!(lines(b"\xef\xbb\xbf", drip), Vec::<Vec<u8>>::new());
            assert_eq!(lines(b"\xef\xbb", drip), [b"\xef\xbb"]);
        }
    }

    #[test]
    fn an_endless_line_is_cut_and_the_next_line_is_whole() {
        for drip in [4096, LONGEST_LINE, 10 * LONGEST_LINE] {
            let mut text = vec![b'x'; 10 * LONGEST_LINE + 7];
            text.extend_from_slice(b"\r\nnext\n");
            let lines = lines(&text, drip);
            assert_eq!((lines.len(), lines[0].len(), &lines[1][..]), (2, LONGEST_LINE, &b"next"[..]));
        }
    }
}
