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

/// The longest name of a file.
const LONGEST_NAME: usize = 255;

/// A file for a copy, in a folder of its own, which is removed when this is dropped.
#[derive(Debug)]
pub struct LocalCopy {
    /// The path of the file.
    pub path: PathBuf,
    folder: PathBuf,
    /// The folder, held for its lock.
    _locked: File,
}

impl LocalCopy {
    /// Makes an empty file of this kind for a run, with the last part of `name` as its name, so that a parser
    /// knows the file by its ending; only this user can read it.
    ///
    /// # Errors
    /// The folder can't take the file.
    pub fn create(scratch: &Path, run: RunId, kind: &str, name: &str) -> io::Result<Self> {
        let folder = scratch.join(format!("{run}.{kind}.{COPY}"));
        let path = folder.join(file_name(name));
        loop {
            DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
            let Ok(locked) = File::open(&folder) else { continue };
            // Before we locked it, another process may have removed it as abandoned.
            if locked.try_lock().is_ok() && folder.exists() {
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
                return Ok(Self { path, folder, _locked: locked });
            }
        }
    }
}

impl Drop for LocalCopy {
    fn drop(&mut self) {
        // If this fails, a later process removes it as abandoned.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A submitter's name as that of a file: no folder, and not too long.
fn file_name(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or_default().replace('\0', "_");
    match last.as_str() {
        "" | "." | ".." => "submitted".to_owned(),
        name => name[name.ceil_char_boundary(name.len().saturating_sub(LONGEST_NAME))..].to_owned(),
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
            && let Ok(copy) = File::open(&path)
            && copy.try_lock().is_ok()
        {
            // An older parselog left files, and not folders.
            let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_the_submitted_name_as_far_as_it_is_one() {
        let long = format!("{}.txt", "é".repeat(200));
        for (name, expected) in [
            ("a b.xlsx", "a b.xlsx"),
            ("../../etc/passwd", "passwd"),
            ("..", "submitted"),
            ("x/", "submitted"),
            ("a\0b", "a_b"),
        ] {
            assert_eq!(file_name(name), expected);
        }
        assert!(file_name(&long).len() <= LONGEST_NAME && file_name(&long).ends_with("é.txt"));
    }

    #[test]
    fn a_copy_is_gone_with_its_folder_and_an_abandoned_one_at_the_next_start() {
        let scratch = tempfile::tempdir().expect("a folder");
        let run = RunId(uuid::Uuid::now_v7());
        let copy = LocalCopy::create(scratch.path(), run, "submitted", "a.txt").expect("a copy");
        assert!(copy.path.ends_with("a.txt") && copy.path.exists());
        prepare_scratch(scratch.path()).expect("a scan");
        assert!(copy.path.exists(), "a copy in use stays");
        let folder = copy.folder.clone();
        drop(copy);
        assert!(!folder.exists());
        fs::create_dir(&folder).expect("a folder");
        fs::write(folder.join("left"), "x").expect("a file");
        fs::write(scratch.path().join("old.submitted.copy"), "x").expect("a file");
        prepare_scratch(scratch.path()).expect("a scan");
        assert_eq!(fs::read_dir(scratch.path()).expect("a list").count(), 0);
    }
}
