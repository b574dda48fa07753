//! A folder with the roots of any number of disks in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;

pub(super) struct Scratch {
    folder: TempDir,
    next: AtomicU64,
}

impl Scratch {
    pub(super) fn new() -> Self {
        // Nothing here is ever to survive, so memory is as good a disk as any, and quicker.
        let folder = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap();
        Self { folder, next: AtomicU64::new(0) }
    }

    /// A new and empty folder.
    pub(super) fn folder(&self) -> PathBuf {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let folder = self.folder.path().canonicalize().unwrap().join(number.to_string());
        fs::create_dir(&folder).unwrap();
        folder
    }

    pub(super) fn remove(&self, folder: &Path) {
        fs::remove_dir_all(folder).unwrap();
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A failure names the disk that it was seen on.
        if std::thread::panicking() {
            self.folder.disable_cleanup(true);
        }
    }
}
