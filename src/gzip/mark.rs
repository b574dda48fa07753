//! A place between two members, behind which another process can go on with an archive.
//!
//! Whoever goes on needs none of the bytes before it: the counts, the entries of the index and what SHA-256 makes of
//! the bytes so far are enough. Nothing is compressed twice, so it does not matter whether another version of this
//! program would make the same bytes of the same lines.

use std::io::Read;

use anyhow::{Context, Result};
use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use sha2::{Digest, Sha256};

/// An archive up to the end of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveMark {
    /// Bytes and lines of the raw log, and of the archive.
    pub raw_bytes: u64,
    pub gzip_bytes: u64,
    pub lines: u64,
    pub members: u64,
    /// The latest time of any line, in microseconds since 1970.
    pub latest: Option<i64>,
    /// The state of SHA-256 behind these bytes.
    pub raw_sha256: Vec<u8>,
    pub gzip_sha256: Vec<u8>,
}

/// What SHA-256 has made of the bytes so far, for another process; as in [`ArchiveMark::raw_sha256`].
pub fn state_of(sha256: &Sha256) -> Vec<u8> {
    sha256.serialize().to_vec()
}

/// Whether SHA-256 comes from one such state to the other one with these bytes.
///
/// # Errors
/// They can't be read, or the first is no such state.
pub fn leads_to(from: &[u8], mut bytes: impl Read, to: &[u8]) -> Result<bool> {
    let (mut sha256, mut buffer) = (sha256_at(from)?, vec![0; 1 << 16]);
    loop {
        match bytes.read(&mut buffer).context("failed to read what was noted")? {
            0 => return Ok(state_of(&sha256) == to),
            read => sha256.update(&buffer[..read]),
        }
    }
}

/// SHA-256 behind the bytes of this state.
///
/// # Errors
/// It is no such state.
pub(super) fn sha256_at(state: &[u8]) -> Result<Sha256> {
    let state = SerializedState::<Sha256>::try_from(state).ok();
    state.and_then(|state| Sha256::deserialize(&state).ok()).context("a state of SHA-256 can't be read")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gzip::{Compressor, LineFacts};

    fn facts(line: &[u8]) -> LineFacts {
        LineFacts { time: Some(line.len() as i64), level: Some(line[0] % 5) }
    }

    fn raw() -> Vec<u8> {
        (0..90_000_u32)
            .flat_map(|number| {
                format!("{} {:x}\n", number % 7, number.wrapping_mul(2_654_435_761)).into_bytes().repeat(4)
            })
            .collect()
    }

    #[test]
    fn an_archive_that_another_process_goes_on_with_at_any_mark_has_the_same_bytes_and_hashes() {
        let raw = raw();
        let mut whole = Compressor::new(facts);
        whole.push(&raw);
        let (bytes, summary) = whole.finish();
        let (mut first, mut at, mut marks) = (Compressor::new(facts), 0, 0);
        while at < raw.len() {
            at += first.push_member(&raw[at..raw.len().min(at + 300_000)]);
            let Some(mark) = first.mark() else { continue };
            assert_eq!(mark.raw_bytes, at as u64);
            let begin = state_of(&Sha256::new());
            assert!(leads_to(&begin, &raw[..at], &mark.raw_sha256).expect("a state"));
            assert!(!leads_to(&begin, &raw[..at - 1], &mark.raw_sha256).expect("a state"));
            let mut second = Compressor::resume(facts, &mark, first.entries().to_vec()).expect("a mark");
            second.push(&raw[at..]);
            let (rest, resumed) = second.finish();
            assert_eq!(resumed, summary);
            assert!(rest == bytes[mark.gzip_bytes as usize..]);
            marks += 1;
        }
        assert!(marks > 2, "{marks}");
    }

    #[test]
    fn what_does_not_belong_together_is_not_gone_on_with() {
        let mut archive = Compressor::new(facts);
        archive.push_member(&raw());
        let (mark, entries) = (archive.mark().expect("a mark"), archive.entries().to_vec());
        let resume =
            |mark: &ArchiveMark, entries: &[u8]| Compressor::resume(facts, mark, entries.to_vec()).is_ok();
        assert!(resume(&mark, &entries));
        assert!(!resume(&mark, &[]) && !resume(&mark, &entries[1..]));
        assert!(!resume(&ArchiveMark { lines: mark.lines + 1, ..mark.clone() }, &entries));
        assert!(!resume(&ArchiveMark { raw_sha256: vec![1; 4], ..mark }, &entries));
    }
}
