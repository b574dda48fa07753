//! Lock files: they are never removed, and the kernel lets go of them when a process dies.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// Takes an exclusive lock, waiting at most `patience`; it lasts as long as the returned file.
pub(super) fn exclusive(path: &Path, patience: Duration) -> anyhow::Result<File> {
    let file = open(path)?;
    let deadline = Instant::now() + patience;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(10));
            }
            Err(error) => {
                return Err(error).with_context(|| format!("failed to lock {}", path.display()));
            }
        }
    }
}

/// Takes a shared lock; it lasts as long as the returned file.
///
/// Nobody holds this lock exclusively without holding the start lock too, so it never waits.
pub(super) fn shared(path: &Path) -> anyhow::Result<File> {
    let file = open(path)?;
    file.lock_shared().with_context(|| format!("failed to lock {}", path.display()))?;
    Ok(file)
}

fn open(path: &Path) -> anyhow::Result<File> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .with_context(|| format!("failed to open {}", path.display()))
}
