//! Writes archives: raw bytes in, members, index and footer out, in bounded memory.

use std::io::{self, BufRead, BufWriter, Write};

use anyhow::Result;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::index::IndexBuilder;
use super::mark::{ArchiveMark, sha256_at, state_of};
use super::member::{LEVELS, LineFacts, WrittenMember};

/// A member is closed at the first line end at or after this many raw bytes.
const MEMBER: u64 = 1 << 20;

/// The longest stretch of a line that is handled at once, in bytes.
const PIECE: usize = 64 << 10;

/// The facts of an archive and of the log in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveSummary {
    pub raw_bytes: u64,
    pub gzip_bytes: u64,
    /// Lines of the raw input; a last line without newline counts.
    pub lines: u64,
    pub raw_sha256: [u8; 32],
    pub gzip_sha256: [u8; 32],
}

/// Reads `raw` to its end and writes its archive to `out`, which is flushed but not synced.
///
/// `facts_of` is as in [`Compressor::new`].
///
/// # Errors
/// `raw` can't be read or `out` can't be written; the written part is then not an archive.
pub fn compress<L: Into<LineFacts>>(
    raw: impl BufRead,
    out: impl Write,
    facts_of: impl Fn(&[u8]) -> L,
) -> io::Result<ArchiveSummary> {
    compress_rest(Compressor::new(facts_of), raw, out)
}

/// The same with an archive that was begun.
///
/// # Errors
/// As [`compress`].
pub fn compress_rest<L: Into<LineFacts>, F: Fn(&[u8]) -> L>(
    mut compressor: Compressor<F>,
    mut raw: impl BufRead,
    mut out: impl Write,
) -> io::Result<ArchiveSummary> {
    loop {
        let bytes = match raw.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            bytes => bytes?,
        };
        if bytes.is_empty() {
            break;
        }
        let pushed = bytes.len();
        compressor.push(bytes);
        raw.consume(pushed);
        out.write_all(&compressor.made())?;
    }
    let (rest, summary) = compressor.finish();
    out.write_all(&rest)?;
    out.flush()?;
    Ok(summary)
}

/// One member of these raw bytes, packed fast rather than small: it does not last.
pub fn encode_member(raw: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(raw.len() / 4), Compression::fast());
    encoder.write_all(raw).and_then(|()| encoder.finish()).expect("memory takes everything")
}

/// An archive that is made while its log grows.
///
/// However the raw bytes are cut into pushes, the archive is the same. It holds what was not taken yet, the
/// member that grows, both compressed, and at most 128 KiB of raw bytes.
pub struct Compressor<F> {
    facts_of: F,
    raw_sha256: Sha256,
    /// Output that nobody has taken yet; the first `complete` bytes are whole members.
    out: Vec<u8>,
    complete: usize,
    /// Of all that was made.
    gzip_bytes: u64,
    gzip_sha256: Sha256,
    index: IndexBuilder,
    member: Option<GrowingMember>,
    /// The latest time of all lines.
    latest: i64,
    within_line: bool,
    /// A piece of a line that came in several pushes. Only lines delimit pieces, since the encoder's output depends
    /// on where they are cut.
    partial: Vec<u8>,
}

/// The member that grows.
struct GrowingMember {
    /// Where it begins in the archive.
    begin: u64,
    raw_len: u64,
    lines: u64,
    levels: [u64; LEVELS],
    /// The encoder is several times slower when it is fed line by line.
    encoder: BufWriter<GzEncoder<Vec<u8>>>,
}

impl<L: Into<LineFacts>, F: Fn(&[u8]) -> L> Compressor<F> {
    /// An archive without a line.
    ///
    /// `facts_of` is given the start of each line (up to 64 KiB of it, with the newline if it fits)
    /// and returns what the index keeps of it.
    pub fn new(facts_of: F) -> Self {
        Self {
            facts_of,
            raw_sha256: Sha256::new(),
            out: Vec::new(),
            complete: 0,
            gzip_bytes: 0,
            gzip_sha256: Sha256::new(),
            index: IndexBuilder::default(),
            member: None,
            latest: i64::MIN,
            within_line: false,
            partial: Vec::new(),
        }
    }

    /// Goes on with an archive behind a mark, of which others have the bytes; `entries` are those of its index so far.
    ///
    /// # Errors
    /// Mark and entries do not belong together.
    pub fn resume(facts_of: F, mark: &ArchiveMark, entries: Vec<u8>) -> Result<Self> {
        Ok(Self {
            raw_sha256: sha256_at(&mark.raw_sha256)?,
            gzip_bytes: mark.gzip_bytes,
            gzip_sha256: sha256_at(&mark.gzip_sha256)?,
            index: IndexBuilder::resume(mark, entries)?,
            latest: mark.latest.unwrap_or(i64::MIN),
            ..Self::new(facts_of)
        })
    }

    /// The mark at the end of a member; `None` within one.
    pub fn mark(&self) -> Option<ArchiveMark> {
        let is_between = self.member.is_none() && self.partial.is_empty();
        is_between.then(|| ArchiveMark {
            raw_bytes: self.index.raw_bytes(),
            gzip_bytes: self.gzip_bytes,
            lines: self.index.lines(),
            members: self.index.members(),
            latest: (self.latest != i64::MIN).then_some(self.latest),
            raw_sha256: state_of(&self.raw_sha256),
            gzip_sha256: state_of(&self.gzip_sha256),
        })
    }

    /// The entries of the index so far, for whoever goes on behind the last mark.
    pub fn entries(&self) -> &[u8] {
        self.index.entries()
    }

    /// Adds raw bytes: any number of lines, cut anywhere.
    pub fn push(&mut self, raw: &[u8]) {
        let mut rest = raw;
        while !rest.is_empty() {
            let taken = self.push_member(rest);
            rest = &rest[taken..];
        }
    }

    /// Adds raw bytes up to the end of a member, if they reach one; returns how many it took.
    pub fn push_member(&mut self, raw: &[u8]) -> usize {
        let (mut rest, mut has_ended) = (raw, false);
        while !rest.is_empty() && !has_ended {
            let most = &rest[..rest.len().min(PIECE - self.partial.len())];
            let length = memchr::memchr(b'\n', most).map_or(most.len(), |at| at + 1);
            let (more, after) = rest.split_at(length);
            rest = after;
            let is_whole = more.ends_with(b"\n") || self.partial.len() + length == PIECE;
            match (self.partial.is_empty(), is_whole) {
                (true, true) => self.add_piece(more),
                (_, false) => self.partial.extend_from_slice(more),
                (false, true) => {
                    self.partial.extend_from_slice(more);
                    self.add_partial();
                }
            }
            has_ended = is_whole && self.member.is_none();
        }
        let taken = raw.len() - rest.len();
        self.raw_sha256.update(&raw[..taken]);
        taken
    }

    /// Hands out the members that became complete since the last call; often none.
    pub fn members(&mut self) -> Vec<u8> {
        let growing = self.out.split_off(self.complete);
        self.complete = 0;
        std::mem::replace(&mut self.out, growing)
    }

    /// Ends the archive, and hands out all of it that was not handed out before.
    pub fn finish(mut self) -> (Vec<u8>, ArchiveSummary) {
        if !self.partial.is_empty() {
            self.add_partial();
        }
        self.end_member();
        let (raw_bytes, lines) = (self.index.raw_bytes(), self.index.lines());
        let index = std::mem::take(&mut self.index).finish();
        self.add_made(&index);
        let summary = ArchiveSummary {
            raw_bytes,
            gzip_bytes: self.gzip_bytes,
            lines,
            raw_sha256: self.raw_sha256.finalize().into(),
            gzip_sha256: self.gzip_sha256.finalize().into(),
        };
        (self.out, summary)
    }

    /// Hands out everything that was made, of the member that grows too: a line may be of any length.
    fn made(&mut self) -> Vec<u8> {
        if let Some(member) = &mut self.member {
            let made = std::mem::take(member.encoder.get_mut().get_mut());
            self.add_made(&made);
        }
        self.complete = 0;
        std::mem::take(&mut self.out)
    }

    fn add_partial(&mut self) {
        let piece = std::mem::take(&mut self.partial);
        self.add_piece(&piece);
        self.partial = piece;
        self.partial.clear();
    }

    /// Adds a line, or a stretch of [`PIECE`] bytes of a longer one, or the rest of it.
    fn add_piece(&mut self, piece: &[u8]) {
        let begin = self.gzip_bytes;
        let member = self.member.get_or_insert_with(|| GrowingMember::at(begin));
        if !self.within_line {
            member.lines += 1;
            let facts: LineFacts = (self.facts_of)(piece).into();
            self.latest = self.latest.max(facts.time.unwrap_or(i64::MIN));
            if let Some(lines) = facts.level.and_then(|level| member.levels.get_mut(usize::from(level))) {
                *lines += 1;
            }
        }
        self.within_line = !piece.ends_with(b"\n");
        member.raw_len += piece.len() as u64;
        member.encoder.write_all(piece).expect("memory takes everything");
        if !self.within_line && member.raw_len >= MEMBER {
            self.end_member();
        }
    }

    fn end_member(&mut self) {
        let Some(GrowingMember { begin, raw_len, lines, levels, encoder }) = self.member.take() else {
            return;
        };
        let encoder = encoder.into_inner().map_err(io::IntoInnerError::into_error);
        let made = encoder.and_then(GzEncoder::finish).expect("memory takes everything");
        self.add_made(&made);
        self.index.push(&WrittenMember {
            gzip_len: self.gzip_bytes - begin,
            raw_len,
            lines,
            latest: self.latest,
            levels,
        });
        self.complete = self.out.len();
    }

    fn add_made(&mut self, made: &[u8]) {
        self.gzip_sha256.update(made);
        self.gzip_bytes += made.len() as u64;
        self.out.extend_from_slice(made);
    }
}

impl GrowingMember {
    fn at(begin: u64) -> Self {
        let encoder = GzEncoder::new(Vec::new(), Compression::default());
        Self {
            begin,
            raw_len: 0,
            lines: 0,
            levels: [0; LEVELS],
            encoder: BufWriter::with_capacity(PIECE, encoder),
        }
    }
}
