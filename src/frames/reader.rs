//! Cuts the bytes of a connection into frames or lines, however they arrive.

use serde::{Deserialize, Serialize};

/// The first bytes of a stream tell what it is, at most so many.
const TELLING: usize = 4;

/// Cuts a stream into frames or lines. It holds no more than what arrived of one frame, and no more than the cap:
/// it skips a longer frame, and stays in step.
#[derive(Debug)]
pub struct FrameReader {
    cap: usize,
    kind: StreamKind,
    /// Bytes that are left of a frame beyond the cap.
    skip: u64,
    /// What arrived of the open frame, its length included, or of the open line.
    open: Vec<u8>,
    /// The byte of the stream behind everything that was taken.
    at: u64,
}

/// What a stream consists of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum StreamKind {
    /// Nobody knows yet.
    #[default]
    Unknown,
    /// Frames behind their lengths.
    Frames,
    /// Lines of JSON.
    Lines,
    /// The same, within a line beyond the cap.
    SkippedLine,
    /// Nothing that holds records.
    Strange,
}

/// What a stream is that holds no records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stranger {
    /// A client that begins TLS.
    Tls,
    /// A request of HTTP.
    Http,
    /// Another text.
    Text,
}

/// What a reader found in a stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrived<'a> {
    /// A whole frame, or a whole line.
    Frame(&'a [u8]),
    /// A frame or a line beyond the cap, which is skipped.
    TooLong,
    /// Nothing in the stream is a record; it is not read any further.
    Strange(Stranger),
}

impl Stranger {
    /// What it is, in words.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Tls => "TLS, but this port takes no TLS",
            Self::Http => "HTTP, but this port takes no HTTP",
            Self::Text => "text that is neither frames nor lines of JSON",
        }
    }
}

impl FrameReader {
    /// A reader of frames and lines of at most `cap` bytes.
    pub fn new(cap: usize) -> Self {
        Self::resume(cap, StreamKind::Unknown, 0)
    }

    /// The reader of a stream of this kind from byte `at` on, which is the [`Self::boundary`] of an earlier one.
    pub fn resume(cap: usize, kind: StreamKind, at: u64) -> Self {
        Self { cap, kind, skip: 0, open: Vec::new(), at }
    }

    /// What the stream consists of.
    pub fn kind(&self) -> StreamKind {
        self.kind
    }

    /// Whether the rest of a frame is skipped that has not arrived.
    pub fn skips(&self) -> bool {
        self.skip > 0
    }

    /// The byte of the stream up to which everything was found or is skipped.
    pub fn boundary(&self) -> u64 {
        self.at + self.skip - self.open.len() as u64
    }

    /// Takes the bytes that come next. `each` gets everything that is found, and the byte of the stream behind it.
    pub fn take(&mut self, bytes: &[u8], each: &mut impl FnMut(Arrived<'_>, u64)) {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = match self.kind {
                _ if self.skip > 0 => self.skip(rest),
                StreamKind::Unknown => self.learn(rest, each),
                StreamKind::Frames => self.frame(rest, each),
                StreamKind::Lines => self.line(rest, each),
                StreamKind::SkippedLine => self.skip_line(rest),
                StreamKind::Strange => {
                    self.at += rest.len() as u64;
                    &[]
                }
            };
        }
    }

    /// Bytes of memory that the open frame or line takes.
    pub fn held(&self) -> usize {
        self.open.capacity()
    }

    /// Gives the open frame or line up; the stream stays in step.
    pub fn give_up(&mut self) {
        match (self.kind, self.open.first_chunk()) {
            (StreamKind::Lines, _) => self.kind = StreamKind::SkippedLine,
            (StreamKind::Frames, Some(length)) => {
                self.skip = 4 + u64::from(u32::from_be_bytes(*length)) - self.open.len() as u64;
            }
            // Less than a length is kept.
            _ => return,
        }
        self.open = Vec::new();
    }

    /// Takes the end of the stream: a last line needs no newline. Returns whether the stream ends within a frame.
    pub fn end(&mut self, each: &mut impl FnMut(Arrived<'_>, u64)) -> bool {
        let open = std::mem::take(&mut self.open);
        // A frame that is skipped was told already.
        if self.kind == StreamKind::Lines {
            found_line(&open, self.at, each);
        }
        self.kind != StreamKind::Lines && !open.is_empty()
    }

    /// Learns from the first bytes what the stream is.
    fn learn<'a>(&mut self, bytes: &'a [u8], each: &mut impl FnMut(Arrived<'_>, u64)) -> &'a [u8] {
        if self.open.is_empty() && bytes[0] == b'{' {
            self.kind = StreamKind::Lines;
            return bytes;
        }
        let rest = self.fill(bytes, TELLING);
        if let Ok(first) = <[u8; TELLING]>::try_from(&*self.open) {
            match stranger(first).filter(|_| u32::from_be_bytes(first) as usize > self.cap) {
                None => self.kind = StreamKind::Frames,
                Some(stranger) => {
                    self.kind = StreamKind::Strange;
                    self.open = Vec::new();
                    each(Arrived::Strange(stranger), self.at);
                }
            }
        }
        rest
    }

    fn frame<'a>(&mut self, bytes: &'a [u8], each: &mut impl FnMut(Arrived<'_>, u64)) -> &'a [u8] {
        // Whole frames are read where they are.
        if self.open.is_empty()
            && let Some((length, behind)) = bytes.split_first_chunk()
            && let length = u32::from_be_bytes(*length) as usize
            && length <= self.cap
            && let Some((frame, rest)) = behind.split_at_checked(length)
        {
            self.at += (4 + length) as u64;
            each(Arrived::Frame(frame), self.at);
            return rest;
        }
        let mut rest = self.fill(bytes, 4);
        let Some(length) = self.open.first_chunk() else { return rest };
        let length = u32::from_be_bytes(*length) as usize;
        if length > self.cap {
            self.skip = length as u64;
            self.open = Vec::new();
            each(Arrived::TooLong, self.at + length as u64);
            return rest;
        }
        rest = self.fill(rest, 4 + length);
        if self.open.len() == 4 + length {
            each(Arrived::Frame(&self.open[4..]), self.at);
            self.open = Vec::new();
        }
        rest
    }

    /// Fills the open frame up to `length` bytes; returns the bytes that are left.
    fn fill<'a>(&mut self, bytes: &'a [u8], length: usize) -> &'a [u8] {
        let missing = length.saturating_sub(self.open.len()).min(bytes.len());
        let (filling, rest) = bytes.split_at(missing);
        self.open.extend_from_slice(filling);
        self.at += missing as u64;
        rest
    }

    fn skip<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let skipped = bytes.len().min(usize::try_from(self.skip).unwrap_or(usize::MAX));
        self.at += skipped as u64;
        self.skip -= skipped as u64;
        &bytes[skipped..]
    }

    fn line<'a>(&mut self, bytes: &'a [u8], each: &mut impl FnMut(Arrived<'_>, u64)) -> &'a [u8] {
        let end = memchr::memchr(b'\n', bytes);
        let (text, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
        self.at += text.len() as u64;
        if self.open.len() + text.len() > self.cap {
            self.open = Vec::new();
            self.kind = if end.is_some() { StreamKind::Lines } else { StreamKind::SkippedLine };
            each(Arrived::TooLong, self.at);
        } else if end.is_some() && self.open.is_empty() {
            found_line(text, self.at, each);
        } else {
            self.open.extend_from_slice(text);
            if end.is_some() {
                found_line(&self.open, self.at, each);
                self.open = Vec::new();
            }
        }
        rest
    }

    fn skip_line<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let end = memchr::memchr(b'\n', bytes);
        if end.is_some() {
            self.kind = StreamKind::Lines;
        }
        let (text, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
        self.at += text.len() as u64;
        rest
    }
}

fn found_line(line: &[u8], end: u64, each: &mut impl FnMut(Arrived<'_>, u64)) {
    let line = line.trim_ascii();
    if !line.is_empty() {
        each(Arrived::Frame(line), end);
    }
}

fn stranger(first: [u8; 4]) -> Option<Stranger> {
    match &first {
        [0x16, 0x03, ..] => Some(Stranger::Tls),
        b"GET " | b"POST" | b"PUT " | b"HEAD" | b"OPTI" | b"DELE" | b"PATC" | b"CONN" | b"TRAC" | b"PRI " => {
            Some(Stranger::Http)
        }
        _ if first.iter().all(|byte| matches!(byte, 0x20..0x7f | b'\t' | b'\r' | b'\n')) => {
            Some(Stranger::Text)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(body: &[u8]) -> Vec<u8> {
        [&(body.len() as u32).to_be_bytes(), body].concat()
    }

    /// What is found in a stream that arrives in pieces of one size, with where it ends; and how the stream ends.
    fn found(stream: &[u8], piece: usize) -> (Vec<(String, u64)>, bool) {
        let (mut found, mut reader) = (Vec::new(), FrameReader::new(64));
        let mut each = |what: Arrived<'_>, end: u64| {
            found.push(match what {
                Arrived::Frame(body) => (String::from_utf8_lossy(body).into_owned(), end),
                Arrived::TooLong => ("too long".to_owned(), end),
                Arrived::Strange(stranger) => (format!("{stranger:?}"), end),
            });
        };
        stream.chunks(piece).for_each(|piece| reader.take(piece, &mut each));
        let torn = reader.end(&mut each);
        (found, torn)
    }

    #[track_caller]
    fn holds(stream: &[u8], expected: &[(&str, u64)], torn: bool) {
        let expected: Vec<(String, u64)> =
            expected.iter().map(|(text, end)| ((*text).to_owned(), *end)).collect();
        for piece in 1..=stream.len() {
            assert_eq!(found(stream, piece), (expected.clone(), torn), "in pieces of {piece}");
        }
    }

    #[test]
    fn frames_are_found_however_they_arrive_and_long_ones_are_skipped_in_step() {
        let stream = [frame(b"one"), frame(b""), frame(&[b'x'; 65]), frame(b"{two}")].concat();
        holds(&stream, &[("one", 7), ("", 11), ("too long", 80), ("{two}", 89)], false);
        holds(&stream[..stream.len() - 1], &[("one", 7), ("", 11), ("too long", 80)], true);
        holds(&frame(&[b'x'; 65])[..40], &[("too long", 69)], false);
        holds(&[0, 0], &[], true);
    }

    #[test]
    fn lines_are_found_up_to_the_last_which_may_lack_its_newline() {
        let long = [b'x'; 70];
        let stream = [&b"{1}\n\r\n{2}\r\n"[..], &long, b"\n{3}"].concat();
        for piece in 1..=stream.len() {
            let (found, torn) = found(&stream, piece);
            let texts: Vec<&str> = found.iter().map(|(text, _)| text.as_str()).collect();
            assert_eq!((texts, torn), (vec!["{1}", "{2}", "too long", "{3}"], false), "in pieces of {piece}");
        }
    }

    #[test]
    fn what_is_no_stream_of_records_is_named_once() {
        holds(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", &[("Http", 4)], false);
        holds(b"\x16\x03\x01\x02\0\x01\0", &[("Tls", 4)], false);
        holds(b"<34>1 2026-11-28 syslog\n", &[("Text", 4)], false);
        holds(&[0xff; 40], &[("too long", 4 + u64::from(u32::MAX))], false);
    }
}
