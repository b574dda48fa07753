//! The part of a frame or line that the kernel can't hold until it is whole, in a file of the spool.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::frames::StreamKind;

/// A frame or line that is not whole: everything from its first byte on.
#[derive(Debug)]
pub(super) struct SpilledFrame {
    path: PathBuf,
    file: File,
    /// The byte of the connection at which it begins.
    pub(super) from: u64,
    length: u64,
}

impl SpilledFrame {
    pub(super) fn create(folder: &Path, connection: u64, from: u64) -> io::Result<Self> {
        let path = folder.join(format!("{connection}.{from}"));
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o640).open(&path)?;
        Ok(Self { path, file, from, length: 0 })
    }

    /// Those that earlier receivers left, by connection.
    pub(super) fn left_over(folder: &Path) -> io::Result<Vec<(u64, Self)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.split_once('.'));
            let Some((Ok(connection), Ok(from))) = name.map(|(id, from)| (id.parse(), from.parse())) else {
                continue;
            };
            let file = OpenOptions::new().read(true).write(true).open(&path)?;
            let length = file.metadata()?.len();
            found.push((connection, Self { path, file, from, length }));
        }
        Ok(found)
    }

    /// The byte of the connection behind what is here.
    pub(super) fn end(&self) -> u64 {
        self.from + self.length
    }

    /// How many of the next bytes belong to it if they complete it, or make it longer than `cap`; `None` if more is
    /// missing. It looks at no more than these bytes and a length, since its sender may send one byte at a time.
    pub(super) fn completed_by(
        &self,
        next: &[u8],
        kind: StreamKind,
        cap: usize,
    ) -> io::Result<Option<usize>> {
        let rest = match kind {
            StreamKind::Lines => memchr::memchr(b'\n', next).map(|end| end as u64 + 1),
            _ => self.frame_length(next)?.map(|length| length.saturating_sub(self.length)),
        };
        let is_too_long = self.length + next.len() as u64 > 4 + cap as u64;
        let whole = rest.filter(|rest| *rest <= next.len() as u64).map(|rest| rest as usize);
        Ok(whole.or_else(|| is_too_long.then_some(next.len())))
    }

    /// The length of the frame, with that of the length itself, if the next bytes say so.
    fn frame_length(&self, next: &[u8]) -> io::Result<Option<u64>> {
        let mut first = [0; 4];
        let (here, there) = first.split_at_mut(self.length.min(4) as usize);
        self.file.read_exact_at(here, 0)?;
        let Some(next) = next.get(..there.len()) else { return Ok(None) };
        there.copy_from_slice(next);
        Ok(Some(4 + u64::from(u32::from_be_bytes(first))))
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.length)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    pub(super) fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(self.length).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    /// Removes it, once its records are stored.
    pub(super) fn remove(self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }
}
