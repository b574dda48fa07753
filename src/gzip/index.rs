//! The index of an archive: how it is written, parsed from the archive's tail, and asked.
//!
//! It never reads anything itself: callers fetch the byte ranges that it names.

use std::ops::Range;

use anyhow::{Context, Result, ensure};

use super::mark::ArchiveMark;
use super::member::{Member, WrittenMember, decode_members, push_member};

/// Payload bytes of one index member; gzip allows an extra field of 65,535.
const PIECE: usize = 60 << 10;

/// The largest index that is believed, in bytes: enough for a log of 500 GB, and small enough that
/// a lie about it costs little memory.
const MAX_INDEX: u64 = 8 << 20;

const INDEX_ID: [u8; 2] = *b"PI";
const FOOTER_ID: [u8; 2] = *b"PF";
/// Archives of the first version have no levels.
const VERSION: u8 = 2;

/// Version, index offset, raw bytes, lines, members (u64 each, little endian), CRC-32 of the index.
const FOOTER_PAYLOAD: usize = 1 + 4 * 8 + 4;
const FOOTER: usize = EMPTY + FOOTER_PAYLOAD;

/// Size of a member without data whose extra field is empty.
const EMPTY: usize = BEFORE + END.len();
/// Its bytes before the payload: the gzip header, the extra field's length, id and length.
const BEFORE: usize = HEADER.len() + 2 + 2 + 2;
/// Deflate, with an extra field, no time, no flags about effort, system unknown.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff];
/// An empty final deflate block, and CRC-32 and length of nothing.
const END: [u8; 10] = [3, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Where the lines of an archive are; by default of one that has none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Index {
    members: Vec<Member>,
    raw_bytes: u64,
    lines: u64,
}

/// The kind of an object's tail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexTail {
    Index(Index),
    /// The tail is too short: call again with all bytes of the object from this offset on.
    NeedMore {
        from: u64,
    },
    /// Not one of our archives. It may be any other gzip, which [`super::BoundedReader`] streams.
    Foreign,
}

impl Index {
    /// Finds the index in `tail`, the last bytes of an object of `object_size` bytes.
    ///
    /// 256 KiB are enough for the index of a 10 GB log.
    ///
    /// # Errors
    /// When the object has our footer but an index that cannot be true: it is damaged.
    pub fn parse(tail: &[u8], object_size: u64) -> Result<IndexTail> {
        let missing = object_size
            .checked_sub(tail.len() as u64)
            .context("the tail is longer than the object that it ends")?;
        if tail.len() < FOOTER && missing > 0 {
            return Ok(IndexTail::NeedMore { from: object_size.saturating_sub(FOOTER as u64) });
        }
        let Some((index, payload)) = split_last_member(tail, FOOTER_PAYLOAD) else {
            return Ok(IndexTail::Foreign);
        };
        let version = payload[0];
        ensure!((1..=VERSION).contains(&version), "archive format {version} is newer than this program");
        let number = |at: usize| u64::from_le_bytes(payload[at..at + 8].try_into().expect("8 bytes"));
        let (begin, raw_bytes, lines, members) = (number(1), number(9), number(17), number(25));
        let crc = u32::from_le_bytes(payload[33..].try_into().expect("4 bytes"));

        let end = object_size - FOOTER as u64;
        ensure!(begin <= end && end - begin <= MAX_INDEX, "damaged archive: its index cannot be there");
        let Some(begin_in_tail) = begin.checked_sub(missing) else {
            return Ok(IndexTail::NeedMore { from: begin });
        };
        let entries = join_pieces(&index[begin_in_tail as usize..])?;
        ensure!(crc32(&entries) == crc, "damaged archive: the checksum of its index is wrong");

        let members = decode_members(&entries, members, version > 1)?;
        let last = members.last();
        let ends_at = last
            .map_or((0, 0, 0), |m| (m.offset + m.gzip_len, m.raw_offset + m.raw_len, m.first_line + m.lines));
        ensure!(ends_at == (begin, raw_bytes, lines), "damaged archive: its index does not add up");
        Ok(IndexTail::Index(Self { members, raw_bytes, lines }))
    }

    /// The index of an archive up to a mark, of what it gained until then.
    ///
    /// # Errors
    /// They do not belong together.
    pub fn up_to(mark: &ArchiveMark, entries: &[u8]) -> Result<Self> {
        let members = decode_members(entries, mark.members, true)?;
        let ends_at = members.last().map_or((0, 0, 0, None), |m| {
            (m.offset + m.gzip_len, m.raw_offset + m.raw_len, m.first_line + m.lines, m.latest)
        });
        ensure!(
            ends_at == (mark.gzip_bytes, mark.raw_bytes, mark.lines, mark.latest),
            "the entries of an index do not belong to its mark"
        );
        Ok(Self { members, raw_bytes: mark.raw_bytes, lines: mark.lines })
    }

    /// The data members, in order; each begins where the one before it ends.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Bytes of the raw log.
    pub fn raw_bytes(&self) -> u64 {
        self.raw_bytes
    }

    /// Lines of the raw log; a last line without newline counts.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// The members that hold any of these lines, counted from 0; lines past the end are ignored.
    pub fn members_for_lines(&self, lines: Range<u64>) -> Range<usize> {
        let begin = self.members.partition_point(|m| m.first_line + m.lines <= lines.start);
        if lines.is_empty() {
            return begin..begin;
        }
        let end = self.members.partition_point(|m| m.first_line < lines.end);
        begin..end.max(begin)
    }

    /// The members that hold the last `lines` lines.
    pub fn members_for_tail(&self, lines: u64) -> Range<usize> {
        self.members_for_lines(self.lines.saturating_sub(lines)..self.lines)
    }

    /// The members from the first one on that holds a line of this time or later, in
    /// microseconds since 1970. No earlier member holds one, in whatever order the lines are.
    pub fn members_since(&self, time: i64) -> Range<usize> {
        // `None` sorts before every time.
        self.members.partition_point(|m| m.latest < Some(time))..self.members.len()
    }

    /// Where the bytes of these members are in the archive, for one range request.
    pub fn byte_range(&self, members: Range<usize>) -> Range<u64> {
        match &self.members[members] {
            [] => 0..0,
            [first, .., last] => first.offset..last.offset + last.gzip_len,
            [only] => only.offset..only.offset + only.gzip_len,
        }
    }
}

/// Collects the index while an archive is written.
pub(super) struct IndexBuilder {
    entries: Vec<u8>,
    members: u64,
    gzip_bytes: u64,
    raw_bytes: u64,
    lines: u64,
    latest: i64,
}

impl Default for IndexBuilder {
    fn default() -> Self {
        Self { entries: Vec::new(), members: 0, gzip_bytes: 0, raw_bytes: 0, lines: 0, latest: i64::MIN }
    }
}

impl IndexBuilder {
    /// Goes on behind a mark.
    pub(super) fn resume(mark: &ArchiveMark, entries: Vec<u8>) -> Result<Self> {
        Index::up_to(mark, &entries)?;
        Ok(Self {
            entries,
            members: mark.members,
            gzip_bytes: mark.gzip_bytes,
            raw_bytes: mark.raw_bytes,
            lines: mark.lines,
            latest: mark.latest.unwrap_or(i64::MIN),
        })
    }

    pub(super) fn entries(&self) -> &[u8] {
        &self.entries
    }

    pub(super) fn members(&self) -> u64 {
        self.members
    }

    pub(super) fn push(&mut self, entry: &WrittenMember) {
        push_member(&mut self.entries, entry, self.latest);
        self.members += 1;
        self.gzip_bytes += entry.gzip_len;
        self.raw_bytes += entry.raw_len;
        self.lines += entry.lines;
        self.latest = entry.latest;
    }

    pub(super) fn raw_bytes(&self) -> u64 {
        self.raw_bytes
    }

    pub(super) fn lines(&self) -> u64 {
        self.lines
    }

    /// The index members and the footer.
    pub(super) fn finish(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.entries.len() + 4096);
        for piece in self.entries.chunks(PIECE) {
            put_member(&mut out, INDEX_ID, piece);
        }
        let mut footer = vec![VERSION];
        for number in [self.gzip_bytes, self.raw_bytes, self.lines, self.members] {
            footer.extend(number.to_le_bytes());
        }
        footer.extend(crc32(&self.entries).to_le_bytes());
        put_member(&mut out, FOOTER_ID, &footer);
        out
    }
}

/// Appends a member without data whose extra field holds `payload`, at most [`PIECE`] bytes.
fn put_member(out: &mut Vec<u8>, id: [u8; 2], payload: &[u8]) {
    let len = payload.len() as u16;
    out.extend(HEADER);
    out.extend((len + 4).to_le_bytes());
    out.extend(id);
    out.extend(len.to_le_bytes());
    out.extend(payload);
    out.extend(END);
}

/// If `bytes` ends in a footer member, the bytes before it and its payload of `len` bytes.
fn split_last_member(bytes: &[u8], len: usize) -> Option<(&[u8], &[u8])> {
    let (before, member) = bytes.split_at_checked(bytes.len().checked_sub(EMPTY + len)?)?;
    let payload = &member[BEFORE..BEFORE + len];
    let mut expected = Vec::new();
    put_member(&mut expected, FOOTER_ID, payload);
    (member == expected).then_some((before, payload))
}

/// Joins the payloads of the index members that `bytes` consists of.
fn join_pieces(mut bytes: &[u8]) -> Result<Vec<u8>> {
    let mut joined = Vec::with_capacity(bytes.len());
    while !bytes.is_empty() {
        let len = bytes.get(BEFORE - 2..BEFORE).map(|len| usize::from(u16::from_le_bytes([len[0], len[1]])));
        let piece = len.filter(|len| *len <= PIECE).and_then(|len| bytes.get(BEFORE..BEFORE + len));
        let piece = piece.context("damaged archive: its index is cut")?;
        let mut expected = Vec::with_capacity(EMPTY + piece.len());
        put_member(&mut expected, INDEX_ID, piece);
        ensure!(bytes.starts_with(&expected), "damaged archive: its index is malformed");
        joined.extend(piece);
        bytes = &bytes[expected.len()..];
    }
    Ok(joined)
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_of_a_10_gb_log_is_small_and_parsed_from_several_pieces() {
        let mut builder = IndexBuilder::default();
        for number in 1..=10_000 {
            let latest = 1_767_225_600_000_000 + number as i64 * 20_000_000;
            let entry = WrittenMember {
                gzip_len: 90_000 + number,
                raw_len: (1 << 20) + number % 300,
                lines: 4_000,
                latest,
                levels: [0, 1_000, 2_990, 10, 0],
            };
            builder.push(&entry);
        }
        let (gzip_bytes, lines) = (builder.gzip_bytes, builder.lines);
        let tail = builder.finish();
        assert!(tail.len() > PIECE && tail.len() <= 180_000, "{} bytes", tail.len());

        let IndexTail::Index(index) = Index::parse(&tail, gzip_bytes + tail.len() as u64).unwrap() else {
            panic!("an index");
        };
        assert_eq!((index.members().len(), index.lines()), (10_000, lines));
        assert_eq!(index.members_for_lines(39_999_999..40_000_000), 9_999..10_000);
        assert_eq!(index.members_since(1_767_225_600_000_000 + 20_000_001), 1..10_000);
    }

    #[test]
    fn an_index_of_the_first_version_is_read_as_ever() {
        let entries = [90, 100, 4, 0, 80, 90, 3, 0];
        let (mut tail, mut footer) = (Vec::new(), vec![1]);
        for number in [170_u64, 190, 7, 2] {
            footer.extend(number.to_le_bytes());
        }
        footer.extend(crc32(&entries).to_le_bytes());
        put_member(&mut tail, INDEX_ID, &entries);
        put_member(&mut tail, FOOTER_ID, &footer);
        let IndexTail::Index(index) = Index::parse(&tail, 170 + tail.len() as u64).unwrap() else {
            panic!("an index");
        };
        assert_eq!((index.members().len(), index.lines(), index.raw_bytes()), (2, 7, 190));
        assert!(index.members().iter().all(|member| member.levels.is_none()));
    }
}
