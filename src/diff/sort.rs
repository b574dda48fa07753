//! Sorting any number of entries in bounded memory: sorted pieces in a temporary file, merged.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::Arc;

use uuid::Uuid;

/// One problem of a log; sorted by digest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ProblemDigest {
    pub(super) digest: [u8; 16],
    /// Its number in the log.
    pub(super) at: u64,
    pub(super) category: u8,
}

/// Bytes of an entry in the file.
const WIDTH: usize = 16 + 8 + 1;

/// Entries that are read from the file at once.
const AT_ONCE: u64 = 4096;

/// Takes entries in any order.
pub(super) struct Sorter {
    held: Vec<ProblemDigest>,
    most: usize,
    file: Option<Arc<File>>,
    /// The sorted pieces in the file, by entries.
    pieces: Vec<Range<u64>>,
}

/// Gives them back in order.
pub(super) struct Sorted {
    pieces: Vec<Piece>,
    heads: BinaryHeap<Reverse<(ProblemDigest, usize)>>,
}

struct Piece {
    here: std::vec::IntoIter<ProblemDigest>,
    file: Option<Arc<File>>,
    left: Range<u64>,
}

impl Sorter {
    /// Holds at most `most` entries in memory.
    pub(super) fn new(most: usize) -> Self {
        Self { held: Vec::new(), most: most.max(1), file: None, pieces: Vec::new() }
    }

    pub(super) fn push(&mut self, entry: ProblemDigest) -> io::Result<()> {
        self.held.push(entry);
        if self.held.len() == self.most { self.spill() } else { Ok(()) }
    }

    pub(super) fn finish(mut self) -> io::Result<Sorted> {
        self.held.sort_unstable();
        let mut pieces: Vec<Piece> = self
            .pieces
            .into_iter()
            .map(|left| Piece { here: Vec::new().into_iter(), file: self.file.clone(), left })
            .collect();
        pieces.push(Piece { here: self.held.into_iter(), file: None, left: 0..0 });
        let mut sorted = Sorted { pieces, heads: BinaryHeap::new() };
        for number in 0..sorted.pieces.len() {
            sorted.take_head(number)?;
        }
        Ok(sorted)
    }

    fn spill(&mut self) -> io::Result<()> {
        let file = match &self.file {
            Some(file) => Arc::clone(file),
            None => Arc::clone(self.file.insert(Arc::new(nameless_file()?))),
        };
        self.held.sort_unstable();
        let mut out = BufWriter::with_capacity(1 << 16, &*file);
        for entry in &self.held {
            out.write_all(&entry.digest)?;
            out.write_all(&entry.at.to_le_bytes())?;
            out.write_all(&[entry.category])?;
        }
        out.flush()?;
        let from = self.pieces.last().map_or(0, |piece| piece.end);
        self.pieces.push(from..from + self.held.len() as u64);
        self.held.clear();
        Ok(())
    }
}

impl Sorted {
    fn take_head(&mut self, number: usize) -> io::Result<()> {
        if let Some(entry) = self.pieces[number].next()? {
            self.heads.push(Reverse((entry, number)));
        }
        Ok(())
    }
}

impl Iterator for Sorted {
    type Item = io::Result<ProblemDigest>;

    fn next(&mut self) -> Option<Self::Item> {
        let Reverse((entry, number)) = self.heads.pop()?;
        Some(self.take_head(number).map(|()| entry))
    }
}

impl Piece {
    fn next(&mut self) -> io::Result<Option<ProblemDigest>> {
        if let Some(entry) = self.here.next() {
            return Ok(Some(entry));
        }
        let Some(file) = self.file.as_ref().filter(|_| !self.left.is_empty()) else { return Ok(None) };
        let until = self.left.end.min(self.left.start + AT_ONCE);
        let mut bytes = vec![0; (until - self.left.start) as usize * WIDTH];
        file.read_exact_at(&mut bytes, self.left.start * WIDTH as u64)?;
        self.left.start = until;
        let entries = bytes.chunks_exact(WIDTH).map(|bytes| ProblemDigest {
            digest: bytes[..16].try_into().expect("16 bytes"),
            at: u64::from_le_bytes(bytes[16..24].try_into().expect("8 bytes")),
            category: bytes[24],
        });
        self.here = entries.collect::<Vec<_>>().into_iter();
        Ok(self.here.next())
    }
}

/// A file for this process alone, which is gone however the process ends. It holds digests only.
fn nameless_file() -> io::Result<File> {
    let path = std::env::temp_dir().join(format!("parselog-diff-{}", Uuid::new_v4().simple()));
    let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}
