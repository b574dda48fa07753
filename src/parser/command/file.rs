//! A file that an external program writes one of its streams to, and that is read as it grows.
//!
//! It lies beside the log of the run, so that the output outlives program and worker alike. Its space is
//! reserved ahead of the program and given back behind the reader: the file grows, but not its share of the
//! disk. Where a folder can't do that, or there is none, the file is in memory: the program sees no
//! difference, but the output is gone with it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{fstat, fstatvfs};
use rustix::io::Errno;

use super::blocks::{self, BLOCK};
use super::stream::Stream;
use crate::faults;
use crate::ids::RunId;

/// The most space that is reserved in front of a program.
const MOST_AHEAD: u64 = 8 << 20;
/// With less than this in front of it, a program could fill the space between two looks.
const LEAST_AHEAD: u64 = 1 << 20;
/// No file takes more than this share of what is free on the disk.
const SHARE: u64 = 8;

/// One file that a program writes to.
#[derive(Debug)]
pub(super) struct OutputFile {
    stream: Stream,
    /// For appending; the program gets it too.
    file: File,
    /// For reading, with a file description of its own.
    reader: File,
    /// `None` for a file in memory.
    path: Option<PathBuf>,
    space: Mutex<FileSpace>,
}

/// The space of a file. If the program empties the file and writes again, the size alone does not show it.
/// But the reserved space goes as well, so the file then holds less of the disk than it should.
#[derive(Debug, Default)]
struct FileSpace {
    /// Reserved up to here.
    reserved: u64,
    /// How much to reserve in front of the program, as far as the disk allows; 0 where nothing can be
    /// reserved.
    ahead: u64,
    given_back: u64,
    /// How often the program emptied the file.
    emptied: u64,
}

impl OutputFile {
    /// Creates the file, and reserves the space in front of the program.
    pub(super) fn create(stem: &Path, stream: Stream) -> io::Result<Self> {
        let path = stem.with_extension(stream.name());
        let file = OpenOptions::new().append(true).create_new(true).mode(0o640).open(&path)?;
        let opened = File::open(&path).and_then(|reader| Ok((reader, first_reserve(&file)?)));
        match opened {
            Ok((reader, ahead)) => Ok(Self::new(stream, file, reader, Some(path), ahead)),
            Err(error) => {
                let _ = fs::remove_file(path);
                Err(error)
            }
        }
    }

    /// Creates the file in memory.
    pub(super) fn in_memory(run: RunId, stream: Stream) -> io::Result<Self> {
        let file = blocks::in_memory(&format!("{run}.{}", stream.name()))?;
        let reader = file.try_clone()?;
        let ahead = blocks::reserve(&file, 0, LEAST_AHEAD).map_or(0, |()| LEAST_AHEAD);
        Ok(Self::new(stream, file, reader, None, ahead))
    }

    fn new(stream: Stream, file: File, reader: File, path: Option<PathBuf>, ahead: u64) -> Self {
        let space = Mutex::new(FileSpace { reserved: ahead, ahead, ..FileSpace::default() });
        Self { stream, file, reader, path, space }
    }

    /// Opens the file that a dead worker left.
    pub(super) fn left_over(stem: &Path, stream: Stream) -> io::Result<Self> {
        let path = stem.with_extension(stream.name());
        let reader = File::open(&path)?;
        let file = OpenOptions::new().append(true).open(&path).or_else(|_| reader.try_clone())?;
        Ok(Self { stream, file, reader, path: Some(path), space: Mutex::default() })
    }

    pub(super) fn stream(&self) -> Stream {
        self.stream
    }

    /// The file for the program to write to.
    pub(super) fn for_program(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Bytes that were written, including those that were given back.
    pub(super) fn size(&self) -> io::Result<u64> {
        Ok(fstat(&self.reader)?.st_size.cast_unsigned())
    }

    /// Reads content from byte `at` on; returns where it begins and how many bytes it has. Skips a hole,
    /// since nobody wrote it.
    pub(super) fn read(&self, at: u64, buffer: &mut [u8]) -> io::Result<(u64, usize)> {
        let mut from = at;
        let mut read = self.reader.read_at(buffer, from)?;
        if buffer[..read].first() != Some(&0) {
            return Ok((from, memchr::memchr(0, &buffer[..read]).unwrap_or(read)));
        }
        let content = blocks::content_from(&self.reader, from)?;
        if content > from {
            from = content;
            read = self.reader.read_at(buffer, from)?;
        }
        // Zeros that were written, up to where the next hole may be.
        let hole = blocks::hole_from(&self.reader, from)?;
        Ok((from, read.min(usize::try_from(hole - from).unwrap_or(read))))
    }

    /// The first byte of content at or behind byte `at`.
    pub(super) fn content_from(&self, at: u64) -> io::Result<u64> {
        blocks::content_from(&self.reader, at)
    }

    /// How often the program emptied it; opening it anew can do that.
    pub(super) fn times_emptied(&self) -> u64 {
        self.space().0.emptied
    }

    /// Reserves enough space in front of the program; `false` if the disk has none.
    pub(super) fn reserve_ahead(&self) -> bool {
        let (mut space, size) = self.space();
        if space.reserved >= size + space.ahead / 2 {
            return true;
        }
        let most = if self.path.is_some() { MOST_AHEAD } else { LEAST_AHEAD };
        let mut ahead = (space.ahead * 2).min(most);
        while ahead >= LEAST_AHEAD && size + ahead > space.reserved {
            if blocks::reserve(&self.file, size.max(space.reserved), size + ahead).is_ok() {
                (space.reserved, space.ahead) = (size + ahead, ahead);
                return true;
            }
            ahead /= 2;
        }
        false
    }

    /// Gives back the space in front of byte `kept`, if it is at least `least` bytes. Keeps the last byte
    /// before `kept`, which says whether a line ends there. Does nothing if the file has been emptied more
    /// than `emptied` times.
    pub(super) fn give_back(&self, kept: u64, emptied: u64, least: u64) {
        let (mut space, _) = self.space();
        let (from, to) = (space.given_back, kept.saturating_sub(1) / BLOCK * BLOCK);
        if to >= from + least && space.emptied == emptied && blocks::give_back(&self.file, from, to).is_ok() {
            space.given_back = to;
            faults::point("output-given-back");
        }
    }

    /// The space and the size now, after a look at whether the program emptied the file.
    fn space(&self) -> (MutexGuard<'_, FileSpace>, u64) {
        let mut space = self.space.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(found) = fstat(&self.reader) else { return (space, 0) };
        let (size, held) = (found.st_size.cast_unsigned(), found.st_blocks.cast_unsigned() * 512);
        if held < space.reserved.saturating_sub(space.given_back) {
            let reserved = blocks::reserve(&self.file, size, size + BLOCK).map_or(0, |()| size + BLOCK);
            *space = FileSpace { reserved, given_back: 0, emptied: space.emptied + 1, ahead: space.ahead };
        }
        (space, size)
    }

    /// Gives back the reserved space in front of a dead program.
    pub(super) fn end_reserve(&self) {
        let Ok(size) = self.size() else { return };
        let end = size.next_multiple_of(BLOCK);
        let _ = blocks::give_back(&self.file, end, end + 2 * MOST_AHEAD);
        // On some filesystems this alone gives it back.
        let _ = self.file.set_len(size);
    }

    /// Removes it from its folder.
    pub(super) fn remove(&self) {
        if let Some(path) = &self.path {
            // If this fails, it is removed with the log.
            let _ = fs::remove_file(path);
        }
    }
}

/// Reserves the first space in front of a program, at most what the disk can spare; returns how much.
fn first_reserve(file: &File) -> io::Result<u64> {
    let disk = fstatvfs(file)?;
    let ahead = (disk.f_bavail * disk.f_frsize / SHARE).min(MOST_AHEAD);
    if ahead < LEAST_AHEAD {
        return Err(Errno::NOSPC.into());
    }
    blocks::reserve(file, 0, ahead)?;
    // If its space can't be given back, a file would fill the disk.
    blocks::give_back(file, ahead, ahead + BLOCK)?;
    Ok(ahead)
}
