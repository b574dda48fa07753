//! Composes the log of a machine that is gone, from the stretches of it that had left the machine.
//!
//! The same stretches always make the same log, whoever composes it, so that it can be stored again.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::copy::{CopyEnd, LogCopy};
use super::files::file_of;
use super::{Closed, MissingEvents, SealedLog, Stretch};
use crate::carry;
use crate::record::{Head, LogCount, LogEnding, seq_of};

/// A log while it is composed, in a folder of its own.
pub struct Composer {
    copy: LogCopy<Arc<File>>,
    file: Arc<File>,
    path: PathBuf,
    head: Head,
    /// Where the next stretch begins, if none is missing.
    end: u64,
    has_gap: bool,
}

/// A log that was composed.
#[derive(Debug)]
pub struct ComposedLog {
    pub log: SealedLog,
    /// The number of the last event that is known, 0 for none, if more of the log may have been lost behind it.
    pub lost_after: Option<u64>,
}

impl Composer {
    /// Begins the log of this head, should its own not be among the stretches. What the log says of its end has the
    /// time `at`.
    ///
    /// # Errors
    /// The folder can't take it, or another process composes it there.
    pub fn begin(folder: &Path, head: Head, at: DateTime<Utc>) -> io::Result<Self> {
        let (file, path) = create(folder, &head)?;
        let copy = LogCopy::new(Arc::clone(&file), at);
        Ok(Self { copy, file, path, head, end: 0, has_gap: false })
    }

    /// Begins with the log behind its first `raw_bytes`, which have this `count` and are elsewhere: only what comes
    /// behind them is written.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub fn begin_behind(
        folder: &Path,
        head: Head,
        at: DateTime<Utc>,
        raw_bytes: u64,
        count: LogCount,
    ) -> io::Result<Self> {
        let (file, path) = create(folder, &head)?;
        let copy = LogCopy::behind(Arc::clone(&file), at, head.clone(), count);
        Ok(Self { copy, file, path, head, end: raw_bytes, has_gap: false })
    }

    /// Adds the next stretch: first those of the log's file in their order, then those behind its cut in theirs.
    ///
    /// # Errors
    /// The file can't be written to.
    pub fn push(&mut self, stretch: &Stretch) -> io::Result<()> {
        carry::may_block();
        self.has_gap |= stretch.behind || stretch.at > self.end;
        if !stretch.behind {
            self.end = self.end.max(stretch.at + stretch.lines.len() as u64);
        }
        for line in stretch.lines.split_inclusive(|byte| *byte == b'\n') {
            match seq_of(line) {
                Some(0) | None => self.copy.frame(line, Some(&self.head))?,
                Some(seq) if seq <= self.copy.last() => {}
                Some(seq) => {
                    if self.has_gap && self.copy.lacks_before(seq) {
                        self.copy.mark_cut(seq, Some(&self.head))?;
                    }
                    self.copy.event(seq, line, Some(&self.head))?;
                }
            }
        }
        Ok(())
    }

    /// Completes it; `reason` says why it ends there, given the number of the last event.
    ///
    /// # Errors
    /// The file can't be written to.
    pub fn finish(mut self, reason: impl FnOnce(u64) -> String) -> io::Result<ComposedLog> {
        carry::may_block();
        let last = self.copy.last();
        let lost_after = (!self.copy.has_tail()).then_some(last);
        let end = CopyEnd {
            head: Some(&self.head),
            missing: MissingEvents::default(),
            ending: LogEnding::Crash,
            reason: Some(reason(last)),
        };
        let (head, Closed { tail, at: closed_at }) = self.copy.finish(&end)?;
        let (lines, path, file) = (self.copy.lines(), self.path, self.file);
        let log = SealedLog { head, tail, closed_at, lines, path, file, leftovers: None };
        Ok(ComposedLog { log, lost_after })
    }
}

/// Makes the file of a log, or empties it, and locks it.
fn create(folder: &Path, head: &Head) -> io::Result<(Arc<File>, PathBuf)> {
    carry::may_block();
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let path = file_of(folder, head.log, "log");
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
    file.try_lock()?;
    file.set_len(0)?;
    Ok((Arc::new(file), path))
}
