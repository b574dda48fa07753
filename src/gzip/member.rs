//! What the index keeps of each member, and of each line, in as few bytes as it takes.
//!
//! ```text
//! gzip bytes, raw bytes, lines, microseconds since the latest time before   all as LEB128
//! classes    one bit for each level that its lines have, from the least severe, and one for lines without
//! lines      of each class of these, but for the last, which has the rest
//! ```
//!
//! Most members have two or three levels, so a level costs a byte or two.

use anyhow::{Context, Result, ensure};

/// One data member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Its first byte in the archive.
    pub offset: u64,
    pub gzip_len: u64,
    /// Its first byte in the raw log.
    pub raw_offset: u64,
    pub raw_len: u64,
    /// The number of its first line in the log, counted from 0.
    pub first_line: u64,
    pub lines: u64,
    /// The latest time of any line in this member **or before it**, in microseconds since 1970;
    /// `None` while no line had one. Lines need not be in order of time for this to be exact.
    pub latest: Option<i64>,
    /// Its lines of each level, as [`LineFacts::level`] numbers them; lines without a level are not among them.
    /// `None` in an archive of the first version.
    pub levels: Option<[u64; LEVELS]>,
}

/// Levels that an index tells apart.
pub const LEVELS: usize = 5;

/// What an index keeps of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LineFacts {
    /// In microseconds since 1970.
    pub time: Option<i64>,
    /// From 0, the least severe, to 4.
    pub level: Option<u8>,
}

impl From<Option<i64>> for LineFacts {
    /// Of a line that has no level.
    fn from(time: Option<i64>) -> Self {
        Self { time, level: None }
    }
}

/// The levels, and lines without one.
const CLASSES: usize = LEVELS + 1;

/// One member as the writer knows it.
pub(super) struct WrittenMember {
    pub(super) gzip_len: u64,
    pub(super) raw_len: u64,
    pub(super) lines: u64,
    /// As [`Member::latest`], `i64::MIN` for none.
    pub(super) latest: i64,
    /// As [`Member::levels`].
    pub(super) levels: [u64; LEVELS],
}

/// Appends an entry; `before` is the latest time of the member before it.
pub(super) fn push_member(out: &mut Vec<u8>, entry: &WrittenMember, before: i64) {
    for number in [entry.gzip_len, entry.raw_len, entry.lines, entry.latest.abs_diff(before)] {
        put_varint(out, number);
    }
    let without = entry.lines - entry.levels.iter().sum::<u64>();
    let classes: [u64; CLASSES] = std::array::from_fn(|at| entry.levels.get(at).copied().unwrap_or(without));
    let present = classes.iter().enumerate().filter(|(_, lines)| **lines > 0);
    put_varint(out, present.clone().map(|(at, _)| 1 << at).sum());
    // What the last of them has, the number of lines says.
    let mut last = None;
    for (_, lines) in present {
        if let Some(before) = last.replace(*lines) {
            put_varint(out, before);
        }
    }
}

/// The lines of each level of a member with so many lines.
fn take_levels(entries: &mut &[u8], lines: u64) -> Option<[u64; LEVELS]> {
    let classes = take_varint(entries).filter(|classes| (1..1 << CLASSES).contains(classes))?;
    let (mut levels, mut left) = ([0; LEVELS], lines);
    for at in (0..CLASSES).filter(|at| classes & (1 << at) != 0) {
        let is_last = classes >> at == 1;
        let count = if is_last { left } else { take_varint(entries)? };
        left = left.checked_sub(count).filter(|_| count > 0)?;
        if let Some(level) = levels.get_mut(at) {
            *level = count;
        }
    }
    Some(levels)
}

/// Reads the entries of so many members; those of the first version have no levels.
///
/// # Errors
/// They can't be true.
pub(super) fn decode_members(mut entries: &[u8], members: u64, has_levels: bool) -> Result<Vec<Member>> {
    let damaged = "damaged archive: an index entry cannot be true";
    // An entry has at least four bytes, so a lie about the number cannot make this allocate much.
    ensure!(members <= entries.len() as u64 / 4, "damaged archive: its index is too short");
    let mut decoded = Vec::with_capacity(members as usize);
    let (mut offset, mut raw_offset, mut first_line, mut latest) = (0_u64, 0_u64, 0_u64, i64::MIN);
    for _ in 0..members {
        let mut number = || take_varint(&mut entries).context(damaged);
        let (gzip_len, raw_len, lines, elapsed) = (number()?, number()?, number()?, number()?);
        latest = latest.checked_add_unsigned(elapsed).context(damaged)?;
        let known = (latest != i64::MIN).then_some(latest);
        ensure!(gzip_len > 0 && lines > 0 && lines <= raw_len, damaged);
        let levels = if has_levels { Some(take_levels(&mut entries, lines).context(damaged)?) } else { None };
        decoded.push(Member {
            offset,
            gzip_len,
            raw_offset,
            raw_len,
            first_line,
            lines,
            latest: known,
            levels,
        });
        offset = offset.checked_add(gzip_len).context(damaged)?;
        raw_offset = raw_offset.checked_add(raw_len).context(damaged)?;
        first_line = first_line.checked_add(lines).context(damaged)?;
    }
    ensure!(entries.is_empty(), "damaged archive: its index is too long");
    Ok(decoded)
}

/// Appends `number` as LEB128: seven bits a byte, lowest first.
fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        // The tenth byte has room for one bit only.
        if bits << shift >> shift != bits {
            return None;
        }
        number |= bits << shift;
        if *byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_length_come_back() {
        for number in (0..64).flat_map(|bit| [1 << bit, (1 << bit) - 1]).chain([u64::MAX]) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, number);
            assert_eq!(take_varint(&mut &bytes[..]), Some(number));
            assert_eq!(take_varint(&mut &bytes[..bytes.len() - 1]), None);
        }
        assert_eq!(take_varint(&mut &[0xff; 10][..]), None);
    }

    #[test]
    fn the_lines_of_each_level_come_back_and_no_others_are_believed() {
        for levels in [[0; LEVELS], [0, 0, 7, 0, 0], [1, 2, 3, 4, 5], [0, 0, 0, 0, 20], [0, 300, 0, 1, 0]] {
            for without in [0, 1, 1 << 40] {
                let lines = levels.iter().sum::<u64>() + without;
                if lines == 0 {
                    continue;
                }
                let entry = WrittenMember { gzip_len: 9, raw_len: 1 << 50, lines, latest: 5, levels };
                let mut bytes = Vec::new();
                push_member(&mut bytes, &entry, 3);
                let decoded = decode_members(&bytes, 1, true).expect("an entry");
                assert_eq!(decoded[0].levels, Some(levels));
                assert!(decode_members(&bytes[..bytes.len() - 1], 1, true).is_err());
                assert!(decode_members(&bytes, 1, false).is_err(), "the first version has no levels");
            }
        }
        for lie in [&[9, 9, 3, 0, 0][..], &[9, 9, 3, 0, 64], &[9, 9, 3, 0, 3, 3], &[9, 9, 3, 0, 3, 0]] {
            assert!(decode_members(lie, 1, true).is_err(), "{lie:?}");
        }
        let first_version = decode_members(&[9, 9, 3, 0], 1, false).expect("an entry");
        assert!(first_version[0].levels.is_none());
    }
}
