//! Other folders, on other disks, for logs that the spool's own disk refuses to complete.
//!
//! A log that can be read and not be sealed where it lies (a read-only disk, a failed sync) is copied to
//! the first refuge that takes it, and sealed there; from then on it is a sealed log like any other. What
//! the spool still holds of it is a leftover: no sweep may take it for a log of its own. It is removed
//! when the disk allows it; until then `<run>.moved` in the refuge says what it is.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::names::{file_of, files_in, remove_if_stale, remove_if_there};
use super::{Entry, SealedLog};
use crate::durable::{self, Synced};
use crate::ids::RunId;

/// Everything that the spool may hold of one run.
const ENDINGS: [&str; 7] = ["log.gz", "summary", "tail-0", "tail-1", "fellback", "log", "open"];

/// What is in the refuges.
#[derive(Debug, Default)]
pub(super) struct Moved {
    /// Complete logs.
    pub(super) logs: Vec<Entry>,
    /// The runs of which the spool holds leftovers at most.
    pub(super) runs: HashSet<RunId>,
}

/// Tries `work` in each refuge until one takes it.
///
/// # Errors
/// The last refuge's; `None` where there is none.
pub(super) fn first_that_takes(
    refuges: &[PathBuf],
    mut work: impl FnMut(&Path) -> io::Result<SealedLog>,
) -> Result<SealedLog, Option<io::Error>> {
    let mut refused = None;
    for refuge in refuges {
        match prepare(refuge).and_then(|()| work(refuge)) {
            Ok(log) => return Ok(log),
            Err(error) => refused = Some(error),
        }
    }
    Err(refused)
}

/// Looks through all refuges, and removes leftovers in `spool` where its disk allows it again.
pub(super) fn look_through(refuges: &[PathBuf], spool: &Path) -> Result<Moved> {
    let mut moved = Moved::default();
    for refuge in ours(refuges) {
        let mut marks = Vec::new();
        for (run, ending, path) in files_in(refuge)? {
            match ending.as_str() {
                "log" => moved.logs.push(Entry { run, sealed: true, path }),
                "moved" => marks.push((run, path)),
                "new" => remove_if_stale(&path),
                _ => continue,
            }
        }
        for (run, mark) in marks {
            moved.runs.insert(run);
            // The mark goes last, so that no moment has the leftovers without it.
            if remove_leftovers(spool, run).is_ok() {
                remove_if_there(&mark)?;
            }
        }
    }
    moved.runs.extend(moved.logs.iter().map(|log| log.run));
    Ok(moved)
}

/// The complete log of a run, or whether the spool holds leftovers of it at most.
pub(super) fn find(refuges: &[PathBuf], run: RunId) -> (Option<PathBuf>, bool) {
    let log = ours(refuges).map(|refuge| file_of(refuge, run, "log")).find(|path| path.exists());
    let is_moved = log.is_some() || ours(refuges).any(|refuge| file_of(refuge, run, "moved").exists());
    (log, is_moved)
}

/// Removes what the spool holds of a log that was completed at `log`, or marks it as a leftover.
///
/// # Errors
/// Neither can be done; the log itself must stay.
pub(super) fn forget_leftovers(spool: &Path, log: &Path, run: RunId) -> io::Result<()> {
    if remove_leftovers(spool, run).is_ok() {
        return Ok(());
    }
    // Its name is all there is to it.
    File::create(log.with_extension("moved"))?;
    durable::folder(log.parent().expect("a log is in a folder"), Synced::LeftoverMark)
}

/// Removes what the spool holds of a log, for good: it must not come back when the log in the refuge is gone.
fn remove_leftovers(spool: &Path, run: RunId) -> io::Result<()> {
    ENDINGS.into_iter().try_for_each(|ending| remove_if_there(&file_of(spool, run, ending)))?;
    durable::folder(spool, Synced::LeftoversGone)
}

/// The refuges that are there. One may be in a folder that everybody can write to, and what another user
/// put there is no log of ours.
pub(super) fn ours(refuges: &[PathBuf]) -> impl Iterator<Item = &PathBuf> {
    refuges.iter().filter(|refuge| {
        fs::symlink_metadata(refuge)
            .is_ok_and(|found| found.is_dir() && found.uid() == rustix::process::geteuid().as_raw())
    })
}

/// Makes a refuge where it is missing.
fn prepare(refuge: &PathBuf) -> io::Result<()> {
    durable::make_folders(refuge, 0o700)?;
    match ours(std::slice::from_ref(refuge)).next() {
        Some(_) => Ok(()),
        None => Err(io::Error::other(format!("{} is not a folder of this user's own", refuge.display()))),
    }
}
