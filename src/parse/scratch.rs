//! Short-lived local copies of submitted files and reports.
//!
//! A submitted file holds private data, so no copy may outlive its parse, even if the process is killed.
//! Each process locks its copies; the next process in the folder removes copies that nobody has locked.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::ids::RunId;

const COPY: &str = "copy";

/// A file for a copy, removed when dropped.
#[derive(Debug)]
pub struct LocalCopy {
    /// Its path.
    pub path: PathBuf,
    /// Held for its lock.
    _file: File,
}

impl LocalCopy {
    /// Makes an empty file of this kind for a run; only this user can read it.
    ///
    /// # Errors
    /// The folder can't take the file.
    pub fn create(folder: &Path, run: RunId, kind: &str) -> io::Result<Self> {
        let path = folder.join(format!("{run}.{kind}.{COPY}"));
        loop {
            let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
            // Before we locked it, another process may have removed it as abandoned.
            if file.try_lock().is_ok() && path.exists() {
                return Ok(Self { path, _file: file });
            }
        }
    }
}

impl Drop for LocalCopy {
    fn drop(&mut self) {
        // If this fails, a later process removes it as abandoned.
        let _ = fs::remove_file(&self.path);
    }
}

/// Makes the folder if missing, and removes the copies of dead processes.
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
