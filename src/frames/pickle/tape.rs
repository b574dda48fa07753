//! Walks through the bytes of a pickle.

use super::arena::Excerpt;

const ENDS_EARLY: &str = "it ends too early";

/// The bytes of a pickle, and how far they are read.
pub(super) struct Tape<'a> {
    pub(super) pickle: &'a [u8],
    at: usize,
}

impl<'a> Tape<'a> {
    pub(super) fn new(pickle: &'a [u8]) -> Self {
        Self { pickle, at: 0 }
    }

    pub(super) fn byte(&mut self) -> Result<u8, &'static str> {
        let byte = *self.pickle.get(self.at).ok_or(ENDS_EARLY)?;
        self.at += 1;
        Ok(byte)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        let bytes = self.pickle[self.at..].first_chunk().ok_or(ENDS_EARLY)?;
        self.at += N;
        Ok(*bytes)
    }

    /// The next bytes, as many as the bytes in front of them say, in little-endian order.
    pub(super) fn counted<const N: usize>(&mut self) -> Result<Excerpt, &'static str> {
        let mut count = [0; 8];
        count[..N].copy_from_slice(&self.array::<N>()?);
        let count = usize::try_from(u64::from_le_bytes(count)).map_err(|_| ENDS_EARLY)?;
        if count > self.pickle.len() - self.at {
            return Err(ENDS_EARLY);
        }
        let from = self.at;
        self.at += count;
        Ok(part(from, self.at))
    }

    /// The rest of the line, without its newline.
    pub(super) fn line(&mut self) -> Result<Excerpt, &'static str> {
        let rest = &self.pickle[self.at..];
        let end = memchr::memchr(b'\n', rest).ok_or(ENDS_EARLY)?;
        let from = self.at;
        self.at += end + 1;
        Ok(part(from, from + end))
    }

    /// The rest of the line as ASCII.
    pub(super) fn word(&mut self) -> Result<&'a str, &'static str> {
        let line = self.line()?.of(self.pickle);
        str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line)).map_err(|_| "it has a number that is none")
    }
}

/// A part; a pickle is shorter than 4 GiB, as the machine has checked.
fn part(from: usize, to: usize) -> Excerpt {
    Excerpt { from: from as u32, to: to as u32 }
}
