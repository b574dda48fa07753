//! Reads archives back: one member by its place in the index, or any gzip as one stream.
//!
//! Both are bounded, so that a decompression bomb ends in an error and not in a full memory.

use std::io::{self, BufRead, Read};

use anyhow::{Context, Result, ensure};
use flate2::bufread::{GzDecoder, MultiGzDecoder};

/// The largest member that [`decode_member`] holds in memory, in raw bytes. Members are about
/// 1 MiB; only a single line of this size makes one longer, and [`BoundedReader`] still streams it.
pub const MAX_MEMBER: u64 = 64 << 20;

/// Deflate packs at most 1,032 bytes into one.
const MAX_RATIO: u64 = 1032;

/// Inflates `bytes`, which must be exactly one member of `raw_len` raw bytes, and checks its CRC.
///
/// # Errors
/// When it is anything else, or longer than [`MAX_MEMBER`].
pub fn decode_member(bytes: &[u8], raw_len: u64) -> Result<Vec<u8>> {
    ensure!(raw_len <= MAX_MEMBER, "a member of {raw_len} bytes is too long to be read at once");
    ensure!(
        raw_len <= bytes.len() as u64 * MAX_RATIO,
        "damaged archive: {} bytes cannot hold {raw_len}",
        bytes.len()
    );
    let mut decoder = GzDecoder::new(bytes);
    let mut raw = Vec::with_capacity(raw_len as usize);
    // One byte more than declared is enough to see that the declaration is wrong.
    decoder
        .by_ref()
        .take(raw_len + 1)
        .read_to_end(&mut raw)
        .context("damaged archive: failed to inflate a member")?;
    ensure!(raw.len() as u64 == raw_len, "damaged archive: a member is not {raw_len} bytes long");
    ensure!(decoder.into_inner().is_empty(), "damaged archive: a member ends too early");
    Ok(raw)
}

/// Streams the raw bytes of a whole archive, or of any other gzip with any number of members.
///
/// Reading fails when the stream inflates to more than the limit, is cut, or has a wrong CRC.
/// A cut exactly between two members shows only in the sizes and the checksum that the caller
/// compares.
pub struct BoundedReader<R> {
    inner: MultiGzDecoder<R>,
    limit: u64,
    left: u64,
}

impl<R: BufRead> BoundedReader<R> {
    /// Reads `inner` to at most `limit` raw bytes.
    pub fn new(inner: R, limit: u64) -> Self {
        Self { inner: MultiGzDecoder::new(inner), limit, left: limit }
    }
}

impl<R: BufRead> Read for BoundedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        match self.left.checked_sub(read as u64) {
            Some(left) => self.left = left,
            None => {
                let message = format!("the archive inflates to more than {} bytes", self.limit);
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
        }
        Ok(read)
    }
}
