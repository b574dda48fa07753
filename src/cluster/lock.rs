//! Lock files: they are never removed, and the kernel lets go of them when a process dies. The file that the users
//! of the cluster lock also says when it was last used.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, bail};

/// Takes an exclusive lock, waiting at most `patience`; it lasts as long as the returned file.
pub(super) fn exclusive(path: &Path, patience: Duration) -> anyhow::Result<File> {
    drop(open(path)?);
    let deadline = Instant::now() + patience;
    loop {
        if let Some(file) = try_exclusive(path)? {
            return Ok(file);
        }
        if Instant::now() > deadline {
            bail!("failed to lock {}: another process holds it", path.display());
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Takes an exclusive lock if nobody holds it. Makes no file: a folder that is being removed stays so.
pub(super) fn try_exclusive(path: &Path) -> anyhow::Result<Option<File>> {
    let file = File::open(path).with_context(|| format!("failed to open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("failed to lock {}", path.display()))
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

/// Whether somebody holds the lock exclusively.
pub(super) fn is_held(path: &Path) -> anyhow::Result<bool> {
    match open(path)?.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("failed to look at {}", path.display()))
        }
    }
}

fn open(path: &Path) -> anyhow::Result<File> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)
        .with_context(|| format!("failed to open {}", path.display()))
}

/// The last use of the cluster, and how long it stays after that: a line in the users' lock file, whose time of
/// change is the use. So a use that begins and ends between two looks of the keeper counts too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Usage {
    at: SystemTime,
    /// How long the server stays after it.
    pub(super) idle: Duration,
}

impl Usage {
    /// Notes a use in the users' lock file.
    pub(super) fn note(users: &File, idle: Duration) -> anyhow::Result<()> {
        // Always as many bytes, so a reader never sees a part of another number.
        let line = format!("{:20}\n", u64::try_from(idle.as_millis()).unwrap_or(u64::MAX));
        users.write_all_at(line.as_bytes(), 0).context("failed to note the use of the database")
    }

    /// The last use, if anybody noted one.
    pub(super) fn last(users: &Path) -> Option<Self> {
        let at = fs::metadata(users).ok()?.modified().ok()?;
        let idle = fs::read_to_string(users).ok()?.lines().next()?.trim().parse().ok()?;
        Some(Self { at, idle: Duration::from_millis(idle) })
    }
}
