//! When the cluster was last used, and how long it stays after that: a line in the lock file of its
//! users, whose time of change is the use. So a use that begins and ends between two looks of the
//! keeper counts too.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;

/// The last use.
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
