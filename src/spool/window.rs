//! An append-only file whose bytes are stored through a memory mapping.
//!
//! A log call must leave its event where `kill -9` can't reach it: in the kernel's page cache. A
//! `write` does that for about a microsecond; a store into a shared mapping does it for the cost of
//! the copy, since the pages belong to the file, not to the process. The kernel writes them back
//! whatever happens to us, and `fdatasync` flushes them as it does written ones.
//!
//! Before it is mapped a [stretch](super::stretch) of the file is written with zeros. That makes a full
//! disk an error here, and one large write with one `madvise` behind it costs half of what the faults of
//! single pages would. A page that can't be had all the same is an error too (`bus`), and leaves the file in
//! doubt. Where a file can't be mapped, each append is one positioned write. The file is longer than
//! its content until [`Window::close`]; the rest is zeros, which no record contains.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::io::Errno;

use super::bus;
use super::given;
use super::stretch::{MappedStretch, StretchAhead, StretchPlan};
use crate::faults;

/// Windows start here and grow fourfold up to [`MAX_WINDOW`], so that short logs write few zeros.
const MIN_WINDOW: u64 = 16 * 1024;
const MAX_WINDOW: u64 = 512 * 1024;
/// Room kept behind every event, so that a log can be closed on a disk that became full.
const CLOSING_ROOM: u64 = 4 * 1024;
/// An ordered stretch begins so far before the zeros, so that an event finds in it what is left of the last one.
const OVERLAP: u64 = 64 * 1024;
/// Windows end on multiples of this, so that no page is reserved in two pieces.
const PAGE: u64 = 4 * 1024;

/// The writer of one file.
#[derive(Debug)]
pub(super) struct Window {
    file: Arc<File>,
    /// Bytes of content.
    len: u64,
    /// Where the zeros behind the content end.
    reserved: u64,
    /// Windows end here: the most that is to be in the file, as far as that is known.
    limit: u64,
    next_size: u64,
    mapping: Mapping,
    /// The stretch behind the mapped one, of a log that is long enough to need it.
    ahead: Option<StretchAhead>,
    doubtful: bool,
    /// Bytes of the content that are a hole, where others gave their space back, as of the last look.
    given_back: u64,
}

#[derive(Debug)]
enum Mapping {
    None,
    Mapped(MappedStretch),
    /// The file can't be mapped: plain writes.
    Unsupported,
}

impl Window {
    /// Appends to `file` after its first `len` bytes. Beyond `limit` it reserves no more than it must.
    pub(super) fn new(file: File, len: u64, limit: u64) -> Self {
        let (next_size, mapping) = (MIN_WINDOW, Mapping::None);
        let given_back = if len == 0 { 0 } else { given::hole_in(&file).min(len) };
        let (file, reserved) = (Arc::new(file), len);
        Self { file, len, reserved, limit, next_size, mapping, ahead: None, doubtful: false, given_back }
    }

    /// Bytes of content.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Bytes of content that take room on the disk.
    pub(super) fn on_disk(&self) -> u64 {
        self.len - self.given_back
    }

    /// Whether the disk failed in such a way that what was appended before may be gone too.
    pub(super) fn is_doubtful(&self) -> bool {
        self.doubtful
    }

    /// The file itself, for a sync or a lock. It is shared, not duplicated: that takes no descriptor, so
    /// it works when the process has none left.
    pub(super) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Appends `head` and `body` as one event, where `keep` bytes of the disk stay free after that.
    /// On an error nothing was appended.
    pub(super) fn append(&mut self, head: &[u8], body: &[u8], keep: u64) -> io::Result<()> {
        self.reserve((head.len() + body.len()) as u64 + CLOSING_ROOM, keep)?;
        self.store(head, body)
    }

    /// Appends what closes the log, for which there is room even on a full disk.
    pub(super) fn append_closing(&mut self, line: &[u8]) -> io::Result<()> {
        self.reserve(line.len() as u64, 0)?;
        self.store(line, b"")
    }

    fn store(&mut self, head: &[u8], body: &[u8]) -> io::Result<()> {
        let size = (head.len() + body.len()) as u64;
        match &mut self.mapping {
            Mapping::Mapped(stretch) => {
                let stored = bus::guarded(stretch.room(self.len, size as usize), |room| {
                    let (first, rest) = room.split_at_mut(head.len());
                    first.copy_from_slice(head);
                    faults::point("half-written");
                    rest.copy_from_slice(body);
                });
                if stored.is_err() {
                    (self.mapping, self.ahead) = (Mapping::None, None);
                    // The reserved space may be gone with the page, so this writes it again.
                    self.reserved = self.len;
                    self.doubtful = true;
                    return stored;
                }
            }
            Mapping::Unsupported | Mapping::None => {
                let mut record = Vec::with_capacity(size as usize);
                record.extend_from_slice(head);
                record.extend_from_slice(body);
                self.file.write_all_at(&record, self.len)?;
            }
        }
        self.len += size;
        Ok(())
    }

    /// Forgets all content and starts anew at the beginning of the file.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        (self.mapping, self.ahead) = (Mapping::None, None);
        self.file.set_len(0)?;
        (self.len, self.reserved, self.given_back) = (0, 0, 0);
        Ok(())
    }

    /// Cuts the file to its content.
    pub(super) fn close(&mut self) -> io::Result<()> {
        self.ahead = None;
        if !matches!(self.mapping, Mapping::Unsupported) {
            self.mapping = Mapping::None;
        }
        self.file.set_len(self.len)
    }

    /// Maps room for `size` bytes more, where `keep` bytes of the disk stay free after that.
    fn reserve(&mut self, size: u64, keep: u64) -> io::Result<()> {
        match &self.mapping {
            Mapping::None if !bus::is_ready() => {
                self.mapping = Mapping::Unsupported;
                return Ok(());
            }
            Mapping::Unsupported => return Ok(()),
            Mapping::Mapped(stretch) if stretch.has(self.len, size) => return Ok(()),
            _ => {}
        }
        if let Some(stretch) = self.ahead.take().and_then(StretchAhead::take) {
            self.reserved = stretch.end();
            if stretch.has(self.len, size) {
                self.map(stretch, keep);
                return Ok(());
            }
        }
        let needed = (self.len + size).next_multiple_of(PAGE).max(self.reserved);
        let wanted = (self.len + self.next_size).min(self.limit).next_multiple_of(PAGE).max(needed);
        let plan = |end| StretchPlan { from: self.len, end, ..self.plan(keep) };
        let (wanted, needed) = (plan(wanted), plan(needed));
        let filled = wanted.fill().map(|()| wanted).or_else(|_| needed.fill().map(|()| needed));
        // On a full disk all that was appended is as safe as before.
        let plan = filled
            .inspect_err(|error| self.doubtful |= error.raw_os_error() == Some(Errno::IO.raw_os_error()))?;
        self.reserved = plan.end;
        faults::point("window-reserved");
        match plan.map() {
            Ok(stretch) => self.map(stretch, keep),
            Err(_) => self.mapping = Mapping::Unsupported,
        }
        Ok(())
    }

    /// Uses a stretch from now on, and has the next one prepared.
    fn map(&mut self, stretch: MappedStretch, keep: u64) {
        self.given_back = given::hole_in(&self.file).min(self.len);
        let before = std::mem::replace(&mut self.mapping, Mapping::Mapped(stretch));
        let is_long = self.next_size == MAX_WINDOW;
        self.next_size = (self.next_size * 4).min(MAX_WINDOW);
        let plan = self.plan(keep);
        if is_long && plan.end > self.reserved {
            let before = if let Mapping::Mapped(before) = before { Some(before) } else { None };
            self.ahead = Some(StretchAhead::order(plan, before));
        }
    }

    /// The stretch behind all zeros.
    fn plan(&self, keep: u64) -> StretchPlan {
        let (file, reserved) = (Arc::clone(&self.file), self.reserved);
        let end = (reserved + MAX_WINDOW).min(self.limit).next_multiple_of(PAGE);
        StretchPlan {
            file,
            from: reserved.saturating_sub(OVERLAP),
            reserved,
            end,
            keep,
            is_cut: self.doubtful,
        }
    }
}
