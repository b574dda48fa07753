//! Packed bodies: gzip, deflate, zstd and snappy blocks, with bounds on what comes out.

use std::io::Read;

use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

/// Bytes that are unpacked between two looks at the bounds.
const STEP: usize = 64 << 10;

/// The largest window of zstd (a power of two) that is taken: the format's own advice for decoders.
const MAX_WINDOW_LOG: u32 = 23;

/// How a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    Gzip,
    Deflate,
    Zstd,
    /// One block of snappy, without frames, as Loki's clients send it.
    Snappy,
}

/// Why a body can't be unpacked.
#[derive(Debug, PartialEq, Eq)]
pub enum UnpackError {
    /// It is damaged.
    Damaged(String),
    /// More comes out than one body may hold.
    TooLarge,
    /// There is no memory for it now.
    NoRoom,
}

/// Unpacks within bounds.
pub struct Unpack<'r> {
    /// The most bytes that may come out.
    pub limit: usize,
    /// Asks for room for so many more bytes.
    pub room: &'r mut dyn FnMut(usize) -> bool,
}

impl Coding {
    /// The coding by its name in a header; `None` if it is not known.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => Self::Gzip,
            "deflate" => Self::Deflate,
            "zstd" => Self::Zstd,
            "snappy" => Self::Snappy,
            _ => return None,
        })
    }
}

impl Unpack<'_> {
    /// What was packed.
    ///
    /// # Errors
    /// It is damaged, or larger than the bounds.
    pub fn unpack(&mut self, coding: Coding, packed: &[u8]) -> Result<Vec<u8>, UnpackError> {
        match coding {
            Coding::Gzip => self.read(MultiGzDecoder::new(packed)),
            // By the standard it has the header of zlib; many send it without.
            Coding::Deflate if is_zlib(packed) => self.read(ZlibDecoder::new(packed)),
            Coding::Deflate => self.read(DeflateDecoder::new(packed)),
            Coding::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(packed).map_err(|error| damaged(&error))?;
                decoder.window_log_max(MAX_WINDOW_LOG).map_err(|error| damaged(&error))?;
                self.read(decoder)
            }
            Coding::Snappy => {
                let length = snap::raw::decompress_len(packed).map_err(|error| damaged(&error))?;
                if length > self.limit {
                    return Err(UnpackError::TooLarge);
                }
                self.reserve(length)?;
                snap::raw::Decoder::new().decompress_vec(packed).map_err(|error| damaged(&error))
            }
        }
    }

    fn read(&mut self, mut from: impl Read) -> Result<Vec<u8>, UnpackError> {
        let mut unpacked = Vec::new();
        loop {
            if unpacked.len() == unpacked.capacity() {
                // One byte beyond the limit shows that there is more.
                let left = (self.limit + 1).saturating_sub(unpacked.len());
                let more = unpacked.len().max(STEP).min(left);
                self.reserve(more)?;
                unpacked.reserve_exact(more);
            }
            let spare = unpacked.capacity() - unpacked.len();
            let read = from.by_ref().take(spare as u64).read_to_end(&mut unpacked);
            let read = read.map_err(|error| damaged(&error))?;
            if unpacked.len() > self.limit {
                return Err(UnpackError::TooLarge);
            }
            if read == 0 {
                return Ok(unpacked);
            }
        }
    }

    fn reserve(&mut self, more: usize) -> Result<(), UnpackError> {
        if (self.room)(more) { Ok(()) } else { Err(UnpackError::NoRoom) }
    }
}

/// Whether it begins with the header of zlib.
fn is_zlib(packed: &[u8]) -> bool {
    matches!(packed, [first, second, ..]
        if first & 0x0f == 8 && u16::from_be_bytes([*first, *second]).is_multiple_of(31))
}

fn damaged(error: &dyn std::fmt::Display) -> UnpackError {
    UnpackError::Damaged(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    fn packed(content: &[u8]) -> [(Coding, Vec<u8>); 5] {
        let level = Compression::fast();
        let mut gzip = GzEncoder::new(Vec::new(), level);
        gzip.write_all(content).expect("memory takes all");
        let mut zlib = ZlibEncoder::new(Vec::new(), level);
        zlib.write_all(content).expect("memory takes all");
        let mut bare = DeflateEncoder::new(Vec::new(), level);
        bare.write_all(content).expect("memory takes all");
        [
            (Coding::Gzip, gzip.finish().expect("as above")),
            (Coding::Deflate, zlib.finish().expect("as above")),
            (Coding::Deflate, bare.finish().expect("as above")),
            (Coding::Zstd, zstd::encode_all(content, 1).expect("as above")),
            (Coding::Snappy, snap::raw::Encoder::new().compress_vec(content).expect("as above")),
        ]
    }

    fn unpack(coding: Coding, packed: &[u8], limit: usize) -> Result<Vec<u8>, UnpackError> {
        Unpack { limit, room: &mut |_| true }.unpack(coding, packed)
    }

    #[test]
    fn what_was_packed_comes_out_up_to_the_limit() {
        let content: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        for (coding, packed) in packed(&content) {
            assert!(unpack(coding, &packed, content.len()) == Ok(content.clone()), "{coding:?}");
            assert_eq!(unpack(coding, &packed, content.len() - 1), Err(UnpackError::TooLarge), "{coding:?}");
            assert!(unpack(coding, &packed[..packed.len() / 2], content.len()).is_err(), "{coding:?}");
        }
        for (coding, packed) in packed(b"") {
            assert_eq!(unpack(coding, &packed, 0), Ok(Vec::new()), "{coding:?}");
        }
        assert!(matches!(unpack(Coding::Zstd, b"no zstd", 9), Err(UnpackError::Damaged(_))));
    }

    #[test]
    fn a_bomb_takes_no_more_memory_than_the_limit() {
        for (coding, packed) in packed(&vec![0; 64 << 20]) {
            let mut taken = 0;
            let mut room = |more| {
                taken += more;
                true
            };
            let refused = Unpack { limit: 1 << 20, room: &mut room }.unpack(coding, &packed);
            assert_eq!(refused, Err(UnpackError::TooLarge), "{coding:?}");
            assert!(taken <= (1 << 20) + 1, "{coding:?}: {taken}");
            let none = Unpack { limit: usize::MAX - 1, room: &mut |_| false }.unpack(coding, &packed);
            assert_eq!(none, Err(UnpackError::NoRoom), "{coding:?}");
        }
    }
}
