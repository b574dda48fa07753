//! A file that an external program writes one of its streams to, and that is read as it grows.
//!
//! It lies beside the log of the run, so that what was written outlives program and worker alike. Its space is
//! reserved ahead of what is written, and what was read is given back: the file grows, what it takes of the
//! disk does not. Where a folder can't do that, or there is none, it is memory: the same for the program, and
//! gone with it.

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

/// What is reserved in front of a program, at most.
const MOST_AHEAD: u64 = 8 << 20;
/// A program that has less than this in front of it could come to its end between two looks.
const LEAST_AHEAD: u64 = 1 << 20;
/// No file takes more than this share of what is free on the disk.
const SHARE: u64 = 8;

/// One file that a program writes to.
#[derive(Debug)]
pub(super) struct OutputFile {
    stream: Stream,
    /// Appends, and what the program gets.
    file: File,
    /// Reads, from a description of its own.
    reader: File,
    /// `None` where it is memory.
    path: Option<PathBuf>,
    space: Mutex<FileSpace>,
}

/// The space of a file. Its size alone does not tell that the program emptied it and wrote again, but what was
/// reserved goes with that, so the disk then holds less than it should.
#[derive(Debug, Default)]
struct FileSpace {
    /// Reserved up to here.
    reserved: u64,
    /// To be reserved in front of the program, as far as the disk allows; 0 where nothing can be.
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

    /// The same in memory.
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

    /// What is left of one whose worker is dead.
    pub(super) fn left_over(stem: &Path, stream: Stream) -> io::Result<Self> {
        let path = stem.with_extension(stream.name());
        let reader = File::open(&path)?;
        let file = OpenOptions::new().append(true).open(&path).or_else(|_| reader.try_clone())?;
        Ok(Self { stream, file, reader, path: Some(path), space: Mutex::default() })
    }

    pub(super) fn stream(&self) -> Stream {
        self.stream
    }

    /// What the program writes to.
    pub(super) fn for_program(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Bytes that were written, those that were given back too.
    pub(super) fn size(&self) -> io::Result<u64> {
        Ok(fstat(&self.reader)?.st_size.cast_unsigned())
    }

    /// Reads content from byte `at` on; returns where it begins, behind a hole, and how much it is. A hole is
    /// nothing that anybody wrote.
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

    /// Where content begins, at byte `at` or behind the hole there.
    pub(super) fn content_from(&self, at: u64) -> io::Result<u64> {
        blocks::content_from(&self.reader, at)
    }

    /// How often the program emptied it, as it does by opening it anew.
    pub(super) fn times_emptied(&self) -> u64 {
        self.space().0.emptied
    }

    /// Sees to it that enough space is reserved in front of the program; `false` if the disk has none.
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

    /// Gives back the space in front of byte `kept`, if that is `least` bytes or more, but for the last byte there,
    /// which says whether a line ends. Gives back nothing if the file was emptied since it was so `emptied` times.
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

    /// Gives back what was reserved in front of a program that is dead.
    pub(super) fn end_reserve(&self) {
        let Ok(size) = self.size() else { return };
        let end = size.next_multiple_of(BLOCK);
        let _ = blocks::give_back(&self.file, end, end + 2 * MOST_AHEAD);
        // Some filesystems do it by this alone.
        let _ = self.file.set_len(size);
    }

    /// Removes it from its folder.
    pub(super) fn remove(&self) {
        if let Some(path) = &self.path {
            // What stays is removed with the log.
            let _ = fs::remove_file(path);
        }
    }
}

/// Reserves the first space in front of a program, no more than the disk can spare; returns how much.
fn first_reserve(file: &File) -> io::Result<u64> {
    let disk = fstatvfs(file)?;
    let ahead = (disk.f_bavail * disk.f_frsize / SHARE).min(MOST_AHEAD);
    if ahead < LEAST_AHEAD {
        return Err(Errno::NOSPC.into());
    }
    blocks::reserve(file, 0, ahead)?;
    // A file whose space can't be given back would take the disk.
    blocks::give_back(file, ahead, ahead + BLOCK)?;
    Ok(ahead)
}
