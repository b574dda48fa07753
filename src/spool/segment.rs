//! The last records of a log that reached its cap: two files that the journal writes in turn.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::files::file_of;
use super::window::Window;
use crate::faults;
use crate::ids::LogId;
use crate::record::LevelCounts;

/// The share of the cap for each segment, in eighths.
pub(super) const SEGMENT_EIGHTHS: u64 = 1;

/// Both segments.
#[derive(Debug)]
pub(super) struct TailSegments {
    pub(super) current: TailSegment,
    pub(super) older: Option<TailSegment>,
}

/// One segment.
#[derive(Debug)]
pub(super) struct TailSegment {
    pub(super) window: Window,
    pub(super) path: PathBuf,
    pub(super) stored: LevelCounts,
    /// Its name is not durable yet.
    pub(super) is_new: bool,
}

impl TailSegment {
    /// Makes number 0 or 1 of a log with this cap.
    pub(super) fn create(dir: &Path, log: LogId, number: usize, cap: u64) -> io::Result<Self> {
        let path = segment_path(dir, log, number);
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o640).open(&path)?;
        faults::point("segment-created");
        Ok(Self {
            window: Window::new(file, 0, cap / 8 * SEGMENT_EIGHTHS),
            path,
            stored: LevelCounts::default(),
            is_new: true,
        })
    }
}

/// The file of number 0 or 1.
pub(super) fn segment_path(dir: &Path, log: LogId, number: usize) -> PathBuf {
    file_of(dir, log, &format!("tail-{number}"))
}
