//! The disk space of a file, apart from its bytes: reserves it, gives it back, finds the holes.
//!
//! Only Linux can do all of this. Elsewhere nothing is reserved, so a program's output goes to memory, or to
//! the system's substitute for it.

use std::fs::File;
use std::io;

/// Space is given back in whole blocks of this size, a multiple of every block size in use.
pub(super) const BLOCK: u64 = 64 << 10;

#[cfg(target_os = "linux")]
pub(super) use linux::{content_from, give_back, hole_from, in_memory, reserve};

#[cfg(target_os = "linux")]
mod linux {
    use super::{File, io};

    use rustix::fs::{
        FallocateFlags, MemfdFlags, OFlags, SeekFrom, fallocate, fcntl_setfl, fstat, memfd_create, seek,
    };
    use rustix::io::Errno;

    /// Reserves the space from `from` to `to`, which may lie behind the end.
    pub(in super::super) fn reserve(file: &File, from: u64, to: u64) -> io::Result<()> {
        Ok(fallocate(file, FallocateFlags::KEEP_SIZE, from, to - from)?)
    }

    /// Gives back the space from `from` to `to`, which leaves a hole.
    pub(in super::super) fn give_back(file: &File, from: u64, to: u64) -> io::Result<()> {
        Ok(fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, from, to - from)?)
    }

    /// The first byte of content at or behind byte `at`.
    pub(in super::super) fn content_from(file: &File, at: u64) -> io::Result<u64> {
        match seek(file, SeekFrom::Data(at)) {
            // A hole up to the end.
            Err(Errno::NXIO) => Ok(fstat(file)?.st_size.cast_unsigned().max(at)),
            found => Ok(found?),
        }
    }

    /// The beginning of the first hole at or behind byte `at`.
    pub(in super::super) fn hole_from(file: &File, at: u64) -> io::Result<u64> {
        match seek(file, SeekFrom::Hole(at)) {
            Err(Errno::NXIO) => Ok(at),
            found => Ok(found?),
        }
    }

    /// A file in memory, opened for appending.
    pub(in super::super) fn in_memory(name: &str) -> io::Result<File> {
        let file = memfd_create(name, MemfdFlags::CLOEXEC)?;
        fcntl_setfl(&file, OFlags::APPEND)?;
        Ok(file.into())
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn reserve(_: &File, _: u64, _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn give_back(_: &File, _: u64, _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn content_from(_: &File, at: u64) -> io::Result<u64> {
    Ok(at)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn hole_from(_: &File, _: u64) -> io::Result<u64> {
    Ok(u64::MAX)
}

/// A file in no folder, opened for appending.
#[cfg(not(target_os = "linux"))]
pub(super) fn in_memory(_: &str) -> io::Result<File> {
    let file = tempfile::tempfile()?;
    rustix::fs::fcntl_setfl(&file, rustix::fs::OFlags::APPEND)?;
    Ok(file)
}
