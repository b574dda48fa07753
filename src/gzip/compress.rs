//! Writes archives: raw lines in, members, index and footer out, in bounded memory.

use std::io::{self, BufRead, BufWriter, Read, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::index::{Builder, Entry};

/// A member is closed at the first line end at or after this many raw bytes.
const MEMBER: u64 = 1 << 20;

/// The longest stretch of a line that is held in memory, in bytes.
const PIECE: u64 = 64 << 10;

/// What [`compress`] read and wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    pub raw_bytes: u64,
    pub gzip_bytes: u64,
    /// Lines of the raw input; a last line without newline counts.
    pub lines: u64,
    pub raw_sha256: [u8; 32],
    pub gzip_sha256: [u8; 32],
}

/// Reads `raw` to its end and writes its archive to `out`, which is flushed but not synced.
///
/// `time_of` is given the start of each line (up to 64 KiB of it, with the newline if it fits)
/// and returns its time in microseconds since 1970 where it has one.
///
/// # Errors
/// When `raw` cannot be read or `out` not written; what was written is no archive then.
pub fn compress(
    mut raw: impl BufRead,
    out: impl Write,
    time_of: impl Fn(&[u8]) -> Option<i64>,
) -> io::Result<Summary> {
    let mut out = Hashed { inner: out, bytes: 0, sha256: Sha256::new() };
    let mut raw_sha256 = Sha256::new();
    let mut index = Builder::default();
    let mut latest = i64::MIN;
    let mut piece = Vec::new();
    let mut starts_line = true;

    let mut more = next_piece(&mut raw, &mut piece)?;
    while more {
        let begin = out.bytes;
        // The encoder is several times slower when it is fed line by line.
        let encoder = GzEncoder::new(&mut out, Compression::default());
        let mut member = BufWriter::with_capacity(PIECE as usize, encoder);
        let mut raw_len = 0;
        let mut lines = 0;
        loop {
            if starts_line {
                lines += 1;
                latest = latest.max(time_of(&piece).unwrap_or(i64::MIN));
            }
            starts_line = piece.ends_with(b"\n");
            raw_len += piece.len() as u64;
            raw_sha256.update(&piece);
            member.write_all(&piece)?;
            more = next_piece(&mut raw, &mut piece)?;
            if !more || (starts_line && raw_len >= MEMBER) {
                break;
            }
        }
        member.into_inner()?.finish()?;
        index.push(&Entry { gzip_len: out.bytes - begin, raw_len, lines, latest });
    }
    let (raw_bytes, lines) = (index.raw_bytes(), index.lines());
    out.write_all(&index.finish())?;
    out.flush()?;
    Ok(Summary {
        raw_bytes,
        gzip_bytes: out.bytes,
        lines,
        raw_sha256: raw_sha256.finalize().into(),
        gzip_sha256: out.sha256.finalize().into(),
    })
}

/// Reads the next line, or the next [`PIECE`] of a longer one; `false` at the end of `raw`.
fn next_piece(raw: &mut impl BufRead, piece: &mut Vec<u8>) -> io::Result<bool> {
    piece.clear();
    Ok(raw.by_ref().take(PIECE).read_until(b'\n', piece)? > 0)
}

/// Counts and hashes what passes through it.
struct Hashed<W> {
    inner: W,
    bytes: u64,
    sha256: Sha256,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.bytes += written as u64;
        self.sha256.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
