//! Other folders, on other disks, for logs that the spool's own disk refuses to complete.
//!
//! If a log is readable but can't be sealed in place (a read-only disk, a failed sync), the spool copies it to
//! the first refuge that takes it, and seals it there; from then on it is a sealed log like any other. Its
//! files in the spool are leftovers: no sweep may take them for a log. The spool removes them when the disk
//! allows it; until then `<log>.moved` in the refuge marks them.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::SpooledLog;
use super::files::{file_of, files_in, remove_if_stale, remove_if_there};
use super::given::{GIVEN, NEXT};
use crate::durable::{self, Synced};
use crate::ids::LogId;

/// Everything that the spool may hold of one log.
const ENDINGS: [&str; 12] = [
    "growing", "log.gz", "summary", "tail-0", "tail-1", "stdout", "stderr", "fellback", "log", "open", NEXT,
    GIVEN,
];

/// The contents of the refuges.
#[derive(Debug, Default)]
pub(super) struct Moved {
    /// Complete logs.
    pub(super) logs: Vec<SpooledLog>,
    /// Logs of which the spool holds at most leftovers.
    pub(super) gone: HashSet<LogId>,
}

/// Tries `work` in each refuge until one takes it.
///
/// # Errors
/// The last refuge's; `None` without a refuge.
pub(super) fn first_that_takes<T>(
    refuges: &[PathBuf],
    mut work: impl FnMut(&Path) -> io::Result<T>,
) -> Result<T, Option<io::Error>> {
    let mut refused = None;
    for refuge in refuges {
        match prepare(refuge).and_then(|()| work(refuge)) {
            Ok(taken) => return Ok(taken),
            Err(error) => refused = Some(error),
        }
    }
    Err(refused)
}

/// Lists all refuges, and removes leftovers in `spool` if its disk allows it again.
pub(super) fn look_through(refuges: &[PathBuf], spool: &Path) -> Result<Moved> {
    let mut moved = Moved::default();
    for refuge in ours(refuges) {
        let mut marks = Vec::new();
        for (log, ending, path) in files_in(refuge)? {
            match ending.as_str() {
                "log" => moved.logs.push(SpooledLog { log, sealed: true, path }),
                "moved" => marks.push((log, path)),
                "new" => remove_if_stale(&path),
                _ => continue,
            }
        }
        for (log, mark) in marks {
            moved.gone.insert(log);
            // The mark goes last, so that no moment has the leftovers without it.
            if remove_leftovers(spool, log).is_ok() {
                remove_if_there(&mark)?;
            }
        }
    }
    moved.gone.extend(moved.logs.iter().map(|found| found.log));
    Ok(moved)
}

/// The path of a complete log, and whether the spool holds at most leftovers of it.
pub(super) fn find(refuges: &[PathBuf], log: LogId) -> (Option<PathBuf>, bool) {
    let path = ours(refuges).map(|refuge| file_of(refuge, log, "log")).find(|path| path.exists());
    let is_moved = path.is_some() || ours(refuges).any(|refuge| file_of(refuge, log, "moved").exists());
    (path, is_moved)
}

/// Removes the spool's files of a log that was completed at `path`, or marks them as leftovers.
///
/// # Errors
/// It can do neither; the log itself must stay.
pub(super) fn forget_leftovers(spool: &Path, path: &Path, log: LogId) -> io::Result<()> {
    if remove_leftovers(spool, log).is_ok() {
        return Ok(());
    }
    // Its name is all there is to it.
    File::create(path.with_extension("moved"))?;
    durable::folder(path.parent().expect("a log is in a folder"), Synced::LeftoverMark)
}

/// Removes the spool's files of a log durably: they must not come back when the log in the refuge is gone.
fn remove_leftovers(spool: &Path, log: LogId) -> io::Result<()> {
    ENDINGS.into_iter().try_for_each(|ending| remove_if_there(&file_of(spool, log, ending)))?;
    durable::folder(spool, Synced::LeftoversGone)
}

/// The existing refuges. One may be in a world-writable folder, and another user's files there are not our
/// logs.
pub(super) fn ours(refuges: &[PathBuf]) -> impl Iterator<Item = &PathBuf> {
    refuges.iter().filter(|refuge| {
        fs::symlink_metadata(refuge)
            .is_ok_and(|found| found.is_dir() && found.uid() == rustix::process::geteuid().as_raw())
    })
}

/// Makes a refuge if it is missing.
fn prepare(refuge: &PathBuf) -> io::Result<()> {
    durable::make_folders(refuge, 0o700)?;
    match ours(std::slice::from_ref(refuge)).next() {
        Some(_) => Ok(()),
        None => Err(io::Error::other(format!("{} is not a folder of this user's own", refuge.display()))),
    }
}
