//! The file that `run --records` writes: the accepted records, private values included.
//!
//! It is for its owner alone, and takes its place when the parse has come to an outcome: what was
//! there before stays until then.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Map, Value};
use tempfile::NamedTempFile;

use super::show;
use crate::parser::RecordSink;

/// Takes accepted records, one JSON object per line, the record type first.
pub(super) struct Records {
    out: BufWriter<Box<dyn Write + Send>>,
    /// What becomes the file, and the file's path.
    file: Option<(NamedTempFile, PathBuf)>,
}

impl Records {
    /// Whether the records of a run that has not begun can be written there.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub(super) fn check(path: &Path) -> Result<()> {
        // A pipe that is opened and closed would end for its reader.
        let is_special = fs::metadata(path).is_ok_and(|found| !found.is_file());
        if !is_special {
            Self::create(path)?;
        }
        Ok(())
    }

    /// Records for this path; `-` is stdout.
    ///
    /// # Errors
    /// The folder or the device can't be written to.
    pub(super) fn create(path: &Path) -> Result<Self> {
        let failed = || format!("failed to create {}", path.display());
        if is_stdout(path) {
            return Ok(Self::to(Box::new(show::Out), None));
        }
        // Behind a link is the file that is meant; a pipe or a device is written to as it is.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if fs::metadata(&path).is_ok_and(|found| !found.is_file()) {
            let device = OpenOptions::new().write(true).open(&path).with_context(failed)?;
            return Ok(Self::to(Box::new(device), None));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let file = tempfile::Builder::new()
            .prefix(".records-")
            .tempfile_in(folder.unwrap_or(Path::new(".")))
            .with_context(failed)?;
        let out = file.reopen().with_context(failed)?;
        Ok(Self::to(Box::new(out), Some((file, path))))
    }

    fn to(out: Box<dyn Write + Send>, file: Option<(NamedTempFile, PathBuf)>) -> Self {
        Self { out: BufWriter::new(out), file }
    }
}

impl RecordSink for Records {
    fn accept(&mut self, record_type: &str, record: &Map<String, Value>) -> io::Result<()> {
        let mut line = Map::new();
        line.insert("record_type".to_owned(), Value::from(record_type));
        line.extend(record.clone());
        show::write_json(&mut self.out, &line)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.out.flush()?;
        if let Some((file, path)) = self.file.take() {
            file.persist(path).map_err(|failed| failed.error)?;
        }
        Ok(())
    }
}

/// Whether records go to stdout.
pub(super) fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == "-"
}
