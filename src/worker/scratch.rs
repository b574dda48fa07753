//! Local copies of submitted files and reports, for as long as they are needed.
//!
//! A submitted file holds private data, so no copy may outlive its parse, not even when the process
//! is killed. Each copy is locked by its process; one whose lock nobody holds is removed by the next
//! process that works in the folder.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::ids::RunId;

const COPY: &str = "copy";

/// A file for a copy, removed when dropped.
#[derive(Debug)]
pub(super) struct LocalCopy {
    pub(super) path: PathBuf,
    /// Held for its lock.
    _file: File,
}

impl LocalCopy {
    /// Makes the empty file of a run, of this kind, readable by this user alone.
    pub(super) fn create(folder: &Path, run: RunId, kind: &str) -> io::Result<Self> {
        let path = folder.join(format!("{run}.{kind}.{COPY}"));
        loop {
            let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
            // Somebody who clears the folder may have taken it for abandoned before it was locked.
            if file.try_lock().is_ok() && path.exists() {
                return Ok(Self { path, _file: file });
            }
        }
    }
}

impl Drop for LocalCopy {
    fn drop(&mut self) {
        // What can't be removed now is removed as abandoned later.
        let _ = fs::remove_file(&self.path);
    }
}

/// Makes the folder where it is missing, and removes the copies of processes that are gone.
///
/// # Errors
/// When the folder can't be made or read.
pub fn prepare_scratch(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == COPY)
            && File::open(&path).is_ok_and(|file| file.try_lock().is_ok())
        {
            let _ = fs::remove_file(&path);
        }
    }
    Ok(())
}
