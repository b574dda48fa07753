//! Cuts a program's output into lines, wherever reads tear it apart.
//!
//! It holds at most [`LONGEST_RECORD`] bytes, however long a line is.

use super::line::{self, Raw};

/// Longer lines are cut into pieces of this many bytes, …
const LONGEST_PIECE: usize = 64 << 10;
/// … except lines that begin like a record: they stay whole up to this length.
const LONGEST_RECORD: usize = 1 << 20;

/// Cuts a stream of bytes into lines, and long lines into numbered pieces. A carriage return within a line
/// overwrites its text, as on a terminal: only the last text becomes a line, with the number of texts
/// overwritten. A text that says its level becomes a line all the same.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The next byte of the stream.
    at: u64,
    /// The beginning of the text that is held here.
    kept_from: u64,
    open: Vec<u8>,
    /// The beginning of `open`.
    open_from: u64,
    /// Pieces of the open line that were handed on already.
    pieces: u64,
    /// The last overwritten text of the open line, and the number of overwritten texts.
    under: Vec<u8>,
    overwritten: u64,
    /// The last byte was a carriage return; the next byte decides its meaning.
    returned: bool,
}

impl Lines {
    /// Begins at byte `at` of a stream, in the middle of a line or at its beginning.
    pub(super) fn starting(at: u64, in_a_line: bool) -> Self {
        Self { at, kept_from: at, pieces: u64::from(in_a_line), ..Self::default() }
    }

    /// The beginning of the text that was neither handed on nor overwritten.
    pub(super) fn kept_from(&self) -> u64 {
        self.kept_from
    }

    /// Skips the stream up to byte `at`, where it has no bytes.
    pub(super) fn skip_to(&mut self, at: u64) {
        self.at = at;
    }

    /// Takes the bytes that come next.
    pub(super) fn push(&mut self, bytes: &[u8], each: &mut impl FnMut(Raw<'_>)) {
        let mut rest = bytes;
        while let Some(&first) = rest.first() {
            if self.returned && first != b'\r' {
                self.returned = false;
                if first != b'\n' {
                    self.write_over(each);
                }
            }
            let end = memchr::memchr2(b'\n', b'\r', rest);
            self.append(&rest[..end.unwrap_or(rest.len())], each);
            let Some(end) = end else { return };
            self.at += 1;
            match rest[end] {
                b'\n' => self.end(each),
                _ => self.returned = true,
            }
            rest = &rest[end + 1..];
        }
    }

    fn append(&mut self, text: &[u8], each: &mut impl FnMut(Raw<'_>)) {
        if self.open.is_empty() {
            self.open_from = self.at;
            if self.overwritten == 0 {
                self.kept_from = self.at;
            }
        }
        self.at += text.len() as u64;
        self.open.extend_from_slice(text);
        loop {
            let may_be_a_record = self.pieces == 0 && self.open.trim_ascii_start().first() == Some(&b'{');
            let most = if may_be_a_record { LONGEST_RECORD } else { LONGEST_PIECE };
            if self.open.len() <= most {
                return;
            }
            let cut = character_start(&self.open, most);
            self.pieces += 1;
            self.open_from += cut as u64;
            self.kept_from = self.open_from;
            let (piece, overwritten, end) = (Some(self.pieces), self.overwritten, self.open_from);
            each(Raw { bytes: &self.open[..cut], piece, overwritten, end });
            self.open.drain(..cut);
        }
    }

    fn write_over(&mut self, each: &mut impl FnMut(Raw<'_>)) {
        if self.pieces > 0 || line::says_its_level(&self.open) {
            return self.end(each);
        }
        if !self.open.trim_ascii().is_empty() {
            self.overwritten += 1;
            self.kept_from = self.open_from;
            std::mem::swap(&mut self.open, &mut self.under);
        }
        self.open.clear();
    }

    /// Ends the line that is open.
    pub(super) fn end(&mut self, each: &mut impl FnMut(Raw<'_>)) {
        let is_blank = self.overwritten > 0 && self.open.trim_ascii().is_empty();
        let bytes = if is_blank { &self.under } else { &self.open };
        let overwritten = self.overwritten - u64::from(is_blank);
        if !bytes.is_empty() {
            let piece = (self.pieces > 0).then_some(self.pieces + 1);
            each(Raw { bytes, piece, overwritten, end: self.at });
        }
        *self = Self {
            at: self.at,
            kept_from: self.at,
            open: std::mem::take(&mut self.open),
            under: std::mem::take(&mut self.under),
            ..Self::default()
        };
        self.open.clear();
        self.under.clear();
    }
}

/// The last place at or before `cut` where no character is torn; invalid UTF-8 is cut anywhere.
fn character_start(bytes: &[u8], cut: usize) -> usize {
    let is_start = |at: &usize| bytes[*at] & 0xC0 != 0x80;
    (cut.saturating_sub(3)..=cut).rev().find(is_start).unwrap_or(cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_knows_where_it_ends_and_what_is_held_where_it_begins() {
        let (mut ends, mut lines) = (Vec::new(), Lines::starting(100, false));
        let mut said = |lines: &mut Lines, bytes: &[u8]| {
            lines.push(bytes, &mut |line| ends.push(line.end));
            lines.kept_from()
        };
        assert_eq!(said(&mut lines, b"one\n\ntw"), 105);
        assert_eq!(said(&mut lines, b"o\r\n"), 110);
        assert_eq!(
            said(&mut lines, b" 5%\r\r10%\r"),
            110,
            "5% is what stands there until 10% is written over"
        );
        assert_eq!(said(&mut lines, b"15%"), 115);
        assert_eq!(said(&mut lines, b"\nlast"), 123);
        assert_eq!(ends, [104, 110, 123]);
    }

    fn cut(chunks: &[&[u8]]) -> Vec<(Vec<u8>, Option<u64>)> {
        let mut found = Vec::new();
        let mut each = |line: Raw<'_>| found.push((line.bytes.to_vec(), line.piece));
        let mut lines = Lines::default();
        for chunk in chunks {
            lines.push(chunk, &mut each);
        }
        lines.end(&mut each);
        found
    }

    #[test]
    fn lines_end_where_they_end_however_they_arrive() {
        let found = cut(&[b"one\ntw", b"o\r\n\n", b"three"]);
        assert_eq!(found, [(b"one".to_vec(), None), (b"two".to_vec(), None), (b"three".to_vec(), None)]);
    }

    #[test]
    fn what_is_written_over_is_no_line_but_what_says_its_level_is() {
        let progress = b"\r 1%|#  |\r 50%|## |\r100%|###|\n\r 7%\r     \rdone\r\r\n";
        let texts = |found: Vec<(Vec<u8>, Option<u64>)>| {
            found.into_iter().map(|(line, _)| String::from_utf8(line).expect("UTF-8")).collect::<Vec<_>>()
        };
        assert_eq!(texts(cut(&[progress])), ["100%|###|", "done"]);
        let one_by_one: Vec<&[u8]> = progress.chunks(1).collect();
        assert_eq!(texts(cut(&one_by_one)), ["100%|###|", "done"]);
        assert_eq!(texts(cut(&[b"\r 50%\r    \r"])), [" 50%"]);
        let spoken = b"10%\r{\"level\":\"error\",\"message\":\"x\"}\rERROR:root:y\r100%\n";
        assert_eq!(
            texts(cut(&[spoken])),
            ["{\"level\":\"error\",\"message\":\"x\"}", "ERROR:root:y", "100%"]
        );
    }

    #[test]
    fn a_long_line_comes_in_pieces_that_tear_no_character() {
        let line = "é".repeat(LONGEST_PIECE);
        let shifted = format!("x{line}");
        for line in [line, shifted] {
            let found = cut(&[line.as_bytes(), b"\nnext\n"]);
            assert_eq!(found.last(), Some(&(b"next".to_vec(), None)));
            let pieces = &found[..found.len() - 1];
            assert!(pieces.iter().all(|(piece, _)| std::str::from_utf8(piece).is_ok()));
            assert_eq!(
                pieces.iter().flat_map(|(piece, _)| piece.clone()).collect::<Vec<u8>>(),
                line.as_bytes()
            );
            assert_eq!(pieces[0].1, Some(1));
            assert_eq!(pieces.last().expect("pieces").1, Some(pieces.len() as u64));
        }
    }
}
