//! A stretch of a file, filled with zeros and mapped; the next one is prepared while events fill this one.
//!
//! The zeros and their pages are a third of what an event costs otherwise. A thread of the process does that work
//! ahead, so that it is no part of a log call, and of the lock that the call holds. An order that the
//! thread has not begun is taken back, and one that it is at is waited for: zeros never come late over events.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use memmap2::{Advice, MmapMut, MmapOptions};
use rustix::io::Errno;

use crate::carry;

/// Mappings start on multiples of this, a multiple of every page size in use.
const ALIGNMENT: u64 = 64 * 1024;

/// So much is written at once: the kernel takes fewer and larger folios for it.
const ZEROS: usize = 512 * 1024;

/// A mapped stretch of a file.
#[derive(Debug)]
pub(super) struct MappedStretch {
    /// Where it begins in the file.
    start: u64,
    map: MmapMut,
}

/// Which stretch of a file is to be prepared.
#[derive(Debug, Clone)]
pub(super) struct StretchPlan {
    pub file: Arc<File>,
    /// Bytes from here on are to be in the mapping.
    pub from: u64,
    /// The zeros begin here.
    pub reserved: u64,
    /// The zeros end here.
    pub end: u64,
    /// Bytes of the disk that are to stay free.
    pub keep: u64,
    /// It is known that somebody cut the file.
    pub is_cut: bool,
}

/// A stretch that the process's thread prepares. Dropped, it is not prepared any more.
#[derive(Debug)]
pub(super) struct StretchAhead(Arc<Mutex<StretchOrder>>);

#[derive(Debug)]
enum StretchOrder {
    /// Not begun. The stretch that was in use before goes with it, since to unmap it is work of the same kind.
    Wanted(StretchPlan, Option<MappedStretch>),
    Ready(io::Result<MappedStretch>),
    /// Taken back, or done with.
    Over,
}

impl MappedStretch {
    /// Where it ends in the file.
    pub(super) fn end(&self) -> u64 {
        self.start + self.map.len() as u64
    }

    /// Whether these bytes of the file are in it.
    pub(super) fn has(&self, from: u64, size: u64) -> bool {
        self.start <= from && from + size <= self.end()
    }

    /// The memory of bytes that [are in it](Self::has).
    pub(super) fn room(&mut self, from: u64, size: usize) -> &mut [u8] {
        let from = (from - self.start) as usize;
        &mut self.map[from..from + size]
    }
}

impl StretchPlan {
    /// Writes the zeros, where the disk has room for them.
    ///
    /// # Errors
    /// The disk is full or fails, or somebody cut the file. Some zeros may be there.
    pub(super) fn fill(&self) -> io::Result<()> {
        // Zeros behind the end would hide that what was stored before it is gone.
        if !self.is_cut && self.file.metadata()?.len() < self.reserved {
            return Err(Errno::IO.into());
        }
        let free = rustix::fs::fstatvfs(&*self.file).map_or(u64::MAX, |disk| disk.f_bavail * disk.f_frsize);
        if self.end.saturating_sub(self.reserved) + self.keep > free {
            return Err(Errno::NOSPC.into());
        }
        // Memory that nobody wrote to is one page of the kernel's, however much of it there is.
        static NOTHING: OnceLock<Vec<u8>> = OnceLock::new();
        let nothing = NOTHING.get_or_init(|| vec![0; ZEROS]);
        let mut at = self.reserved;
        while at < self.end {
            let zeros = &nothing[..ZEROS.min((self.end - at) as usize)];
            self.file.write_all_at(zeros, at)?;
            at += zeros.len() as u64;
        }
        Ok(())
    }

    /// Maps a stretch that is filled.
    ///
    /// # Errors
    /// The file can't be mapped.
    #[expect(unsafe_code, reason = "a shared file mapping is unsafe unless nobody else cuts the file")]
    pub(super) fn map(&self) -> io::Result<MappedStretch> {
        let start = self.from / ALIGNMENT * ALIGNMENT;
        let size = (self.end - start) as usize;
        // SAFETY: the range is written, in a file of the private spool folder. Only the holder of its
        // lock writes to it or cuts it, and a plan is made for that holder alone; readers use plain reads.
        // The holder drops mapping and order before it cuts the file, so no access falls behind its end.
        let map = unsafe { MmapOptions::new().offset(start).len(size).map_mut(&*self.file) }?;
        // Only speed hangs on it, and kernels before 5.14 don't know it. Pages before the zeros are used up, but the
        // last one.
        let used = (self.reserved.max(start) - start) as usize;
        let _ = map.advise_range(Advice::PopulateWrite, used, size - used);
        Ok(MappedStretch { start, map })
    }
}

impl StretchAhead {
    /// Has a stretch prepared, and the one that was in use before unmapped.
    pub(super) fn order(plan: StretchPlan, before: Option<MappedStretch>) -> Self {
        static ORDERS: OnceLock<Sender<Arc<Mutex<StretchOrder>>>> = OnceLock::new();
        let orders = ORDERS.get_or_init(|| {
            let (sender, orders) = mpsc::channel::<Arc<Mutex<StretchOrder>>>();
            carry::thread_of_process(move || {
                for order in orders {
                    prepare(&mut lock(&order));
                }
            });
            sender
        });
        let order = Arc::new(Mutex::new(StretchOrder::Wanted(plan, before)));
        // Without the thread the order stays as it is, and is taken back.
        let _ = orders.send(Arc::clone(&order));
        Self(order)
    }

    /// The stretch; `None` if it is not begun, or failed.
    pub(super) fn take(self) -> Option<MappedStretch> {
        match std::mem::replace(&mut *lock(&self.0), StretchOrder::Over) {
            StretchOrder::Ready(Ok(stretch)) => Some(stretch),
            _ => None,
        }
    }
}

impl Drop for StretchAhead {
    fn drop(&mut self) {
        *lock(&self.0) = StretchOrder::Over;
    }
}

fn prepare(order: &mut StretchOrder) {
    if let StretchOrder::Wanted(plan, before) = std::mem::replace(order, StretchOrder::Over) {
        drop(before);
        *order = StretchOrder::Ready(plan.fill().and_then(|()| plan.map()));
    }
}

fn lock(order: &Mutex<StretchOrder>) -> MutexGuard<'_, StretchOrder> {
    order.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(file: &Arc<File>, reserved: u64, end: u64, keep: u64) -> StretchPlan {
        StretchPlan {
            file: Arc::clone(file),
            from: reserved.saturating_sub(100),
            reserved,
            end,
            keep,
            is_cut: false,
        }
    }

    #[test]
    fn a_stretch_behind_content_that_somebody_cut_off_is_refused_and_nothing_is_written() {
        let file = Arc::new(tempfile::tempfile().unwrap());
        plan(&file, 0, 8192, 0).fill().unwrap();
        file.set_len(100).unwrap();
        assert!(plan(&file, 8192, 16384, 0).fill().is_err());
        assert_eq!(file.metadata().unwrap().len(), 100);
        assert_eq!(plan(&file, 100, 8192, u64::MAX / 2).fill().unwrap_err().raw_os_error(), Some(28));
    }

    #[test]
    fn a_stretch_that_is_ordered_is_there_or_can_be_made_and_one_taken_back_writes_no_more() {
        for _ in 0..200 {
            let file = Arc::new(tempfile::tempfile().unwrap());
            let ordered = || StretchAhead::order(plan(&file, 0, 1 << 19, 0), None);
            if let Some(mut stretch) = ordered().take() {
                assert!(stretch.has(0, 1 << 19) && stretch.room(7, 3) == [0; 3]);
            }
            drop(ordered());
            file.set_len(0).unwrap();
            std::thread::yield_now();
            assert_eq!(file.metadata().unwrap().len(), 0, "zeros came late");
        }
    }
}
