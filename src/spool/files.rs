//! The names of the files in a folder of logs, and what is done with files by their names alone.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::durable::{self, Synced};
use crate::ids::LogId;

/// A `.new` file older than this belongs to a process that died while creating it.
const NEW_FILE_GRACE: Duration = Duration::from_secs(60);

/// A folder that is held open, so that its changes can be made durable when no descriptor is left.
#[derive(Debug, Clone)]
pub(super) struct SpoolFolder {
    path: PathBuf,
    handle: Arc<File>,
}

/// The parts of a log that may not be on stable storage yet.
#[derive(Debug, Default)]
pub(super) struct Unsynced {
    pub(super) files: Vec<Arc<File>>,
    /// Where names of its files are new in it.
    pub(super) folder: Option<SpoolFolder>,
}

impl SpoolFolder {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), handle: Arc::new(File::open(path)?) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The file of a log with this ending.
    pub(super) fn file(&self, log: LogId, ending: &str) -> PathBuf {
        file_of(&self.path, log, ending)
    }

    /// Makes the names in it durable.
    pub(super) fn sync(&self, what: Synced) -> io::Result<()> {
        durable::file(&self.handle, what)
    }
}

/// The file of a log with this ending.
pub(super) fn file_of(folder: &Path, log: LogId, ending: &str) -> PathBuf {
    folder.join(format!("{log}.{ending}"))
}

/// The files in a folder that belong to logs: log, ending and path.
pub(super) fn files_in(folder: &Path) -> Result<Vec<(LogId, String, PathBuf)>> {
    let failed = || format!("failed to list the spool folder {}", folder.display());
    let mut files = Vec::new();
    for found in fs::read_dir(folder).with_context(failed)? {
        let path = found.with_context(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.split_once('.'));
        if let Some((log, ending)) = name
            && let Ok(log) = log.parse()
        {
            files.push((log, ending.to_owned(), path));
        }
    }
    Ok(files)
}

pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Removes what a process that died was creating.
pub(super) fn remove_if_stale(path: &Path) {
    if is_older(path, NEW_FILE_GRACE) && File::open(path).is_ok_and(|file| file.try_lock().is_ok()) {
        let _ = fs::remove_file(path);
    }
}

pub(super) fn is_older(path: &Path, age: Duration) -> bool {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    modified.and_then(|at| at.elapsed().ok()).is_some_and(|elapsed| elapsed > age)
}
