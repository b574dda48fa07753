//! The files of one key: its current version, and all of them.
//!
//! It blocks; call it only on the blocking pool.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, ensure};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::within;
use crate::durable::{self, Synced};
use crate::faults;
use crate::objects::{Missing, ObjectError, ObjectResult, ObjectUri, Put, StoredObject};

pub(super) const VERSIONS: &str = ".versions";
pub(super) const UNFINISHED: &str = ".part";

/// Where the files of one key are.
#[derive(Debug, Clone)]
pub(super) struct KeyPaths {
    root: PathBuf,
    pub(super) bucket: PathBuf,
    /// The current version.
    pub(super) current: PathBuf,
    /// The folder of all versions.
    pub(super) versions: PathBuf,
    /// The path that callers know, without a version.
    path: String,
}

impl KeyPaths {
    /// Checks that all names are plain, and joins them.
    pub(super) fn new(root: &str, bucket: &str, key: &str) -> ObjectResult<Self> {
        let plain = |name: &str| !matches!(name, "" | "." | "..") && !name.contains('\0');
        if !plain(bucket) || bucket.starts_with('.') || bucket.contains('/') {
            return Err(anyhow!("{bucket:?} is not a bucket name").into());
        }
        let first = key.split('/').next().unwrap_or_default();
        if !key.split('/').all(plain) || first == VERSIONS || key.len() > 1024 {
            return Err(anyhow!("{key:?} cannot be an object key in a folder").into());
        }
        let path = format!("{root}/{bucket}/{key}");
        let root = Path::new(if root.is_empty() { "/" } else { root });
        let bucket = root.join(bucket);
        let (current, versions) = (bucket.join(key), bucket.join(VERSIONS).join(key));
        Ok(Self { root: root.to_owned(), bucket, current, versions, path })
    }

    pub(super) fn uri(&self, version: Option<&str>) -> ObjectUri {
        ObjectUri::File { path: self.path.clone(), version: version.map(Into::into) }
    }

    /// The file of a version, if the name is valid.
    fn version(&self, version: &str) -> Option<PathBuf> {
        Uuid::try_parse(version).ok().map(|id| self.versions.join(id.hyphenated().to_string()))
    }

    pub(super) fn make_folders(&self) -> anyhow::Result<()> {
        make_folders(&self.root, self.current.parent().expect("a key is below its bucket"))?;
        make_folders(&self.root, &self.versions)
    }

    /// Stores the file `from`, durably.
    pub(super) fn put(&self, from: &Path, put: &Put) -> anyhow::Result<StoredObject> {
        self.make_folders()?;
        let version = Uuid::now_v7().hyphenated().to_string();
        let part = self.versions.join(format!("{version}{UNFINISHED}"));
        self.store(&[from.to_owned()], put, &part, &version)
    }

    /// Stores the concatenated files as a version, durably; `part` is a free name.
    pub(super) fn store(
        &self,
        from: &[PathBuf],
        put: &Put,
        part: &Path,
        version: &str,
    ) -> anyhow::Result<StoredObject> {
        let folder = self.current.parent().expect("a key is below its bucket");
        let file = self.versions.join(version);
        let stored = self.publish(from, put, part, &file, version);
        faults::point("put-current");
        if stored.is_err() {
            let _ = fs::remove_file(part);
            // Another put of the same bytes may have made it the current one.
            if self.current_version().ok().flatten().is_none_or(|current| current != version) {
                let _ = fs::remove_file(&file);
            }
            return stored;
        }
        durable::folder(folder, Synced::ObjectCurrent)?;
        stored
    }

    /// Writes `part`, makes it the version `file`, and then the current one.
    fn publish(
        &self,
        from: &[PathBuf],
        put: &Put,
        part: &Path,
        file: &Path,
        version: &str,
    ) -> anyhow::Result<StoredObject> {
        let mut target = OpenOptions::new().write(true).create_new(true).mode(0o440).open(part)?;
        let (size, sha256) = copy_hashed(from, &mut target)?;
        let names = from.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ");
        ensure!(sha256 == put.sha256, "{names} is not the file that was promised");
        durable::file(&target, Synced::ObjectBytes)?;
        faults::point("put-written");
        if put.if_none_match
            && let Some(stored) = self.already_there(size, sha256)?
        {
            fs::remove_file(part)?;
            return Ok(stored);
        }
        if !put.if_none_match
            && let Some((version, file)) = self.unfinished(size, sha256)?
        {
            fs::remove_file(part)?;
            self.replace_current(&file, part)?;
            return Ok(StoredObject { uri: self.uri(Some(&version)), size });
        }
        fs::rename(part, file)?;
        faults::point("put-versioned");

        if !put.if_none_match {
            self.replace_current(file, part)?;
            return Ok(StoredObject { uri: self.uri(Some(version)), size });
        }
        if self.link_current(file)? {
            return Ok(StoredObject { uri: self.uri(Some(version)), size });
        }
        // Another put was faster. It may even have been this version that it made the current one.
        let there = self.already_there(size, sha256)?.context("it was deleted at the same time")?;
        if there.uri.version() != Some(version) {
            fs::remove_file(file)?;
        }
        Ok(there)
    }

    /// The current object, if it has these bytes. It completes a put that died after naming its version:
    /// otherwise that version would stay for ever, unknown to everybody.
    pub(super) fn already_there(&self, size: u64, sha256: [u8; 32]) -> anyhow::Result<Option<StoredObject>> {
        if !self.current.exists() {
            match self.unfinished(size, sha256)? {
                Some((_, file)) => self.link_current(&file)?,
                None => return Ok(None),
            };
        }
        let there = copy_hashed(std::slice::from_ref(&self.current), &mut io::sink())?;
        ensure!(there == (size, sha256), "another object is already there");
        Ok(Some(StoredObject { uri: self.uri(self.current_version()?.as_deref()), size }))
    }

    /// A version with these bytes that is newer than the current one: its put died, or is about to make it
    /// current. Whoever does that in its place gets the same version.
    fn unfinished(&self, size: u64, sha256: [u8; 32]) -> anyhow::Result<Option<(String, PathBuf)>> {
        let current = if self.current.exists() { self.current_version()? } else { Some(String::new()) };
        // A file that somebody put there by hand is newer than any version.
        let Some(current) = current else { return Ok(None) };
        for entry in fs::read_dir(&self.versions)? {
            let file = entry?.path();
            let Some(version) = file.file_name().and_then(|name| name.to_str()).map(ToOwned::to_owned) else {
                continue;
            };
            // Versions begin with the time.
            let is_newer = version > current;
            let is_whole =
                file.extension().is_none() && file.metadata().is_ok_and(|found| found.len() == size);
            if is_newer
                && is_whole
                && copy_hashed(std::slice::from_ref(&file), &mut io::sink())? == (size, sha256)
            {
                return Ok(Some((version, file)));
            }
        }
        Ok(None)
    }

    /// Makes a version current if there is no current one; returns whether it did. It makes the version's name
    /// durable first, so that a power loss leaves no current object without a version.
    fn link_current(&self, file: &Path) -> io::Result<bool> {
        durable::folder(&self.versions, Synced::ObjectVersion)?;
        match fs::hard_link(file, &self.current) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            linked => linked.map(|()| true),
        }
    }

    /// Makes a version current, whatever is current now; `part` is a free name.
    fn replace_current(&self, file: &Path, part: &Path) -> io::Result<()> {
        if !self.link_current(file)? {
            fs::hard_link(file, part)?;
            fs::rename(part, &self.current)?;
        }
        Ok(())
    }

    /// Opens the file that `uri` names, and finds its version.
    pub(super) fn open(&self, uri: &ObjectUri) -> ObjectResult<(File, StoredObject)> {
        let not_found = |missing| ObjectError::NotFound { missing, name: uri.to_string() };
        if !self.bucket.is_dir() {
            return Err(not_found(Missing::Bucket));
        }
        let failed = || format!("failed to open {uri}");
        let file = match uri.version() {
            None => self.current.clone(),
            Some(version) => self.version(version).ok_or_else(|| not_found(Missing::Version))?,
        };
        let opened = match within::open(&self.root, &file) {
            Err(error) if is_absent(&error) => {
                let known = uri.version().is_some() && (self.current.is_file() || self.versions.is_dir());
                return Err(not_found(if known { Missing::Version } else { Missing::Key }));
            }
            opened => opened.with_context(failed)?,
        };
        let metadata = opened.metadata().with_context(failed)?;
        if !metadata.is_file() {
            return Err(not_found(Missing::Key));
        }
        let version = match uri.version() {
            Some(version) => Some(version.to_owned()),
            None => self.current_version().with_context(failed)?,
        };
        Ok((opened, StoredObject { uri: self.uri(version.as_deref()), size: metadata.len() }))
    }

    /// The version that is the same file as the current one. A file that somebody put into the
    /// folder by hand has none.
    fn current_version(&self) -> io::Result<Option<String>> {
        let current = fs::metadata(&self.current)?;
        let entries = match fs::read_dir(&self.versions) {
            Err(error) if is_absent(&error) => return Ok(None),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let metadata = entry.metadata()?;
            if (metadata.dev(), metadata.ino()) == (current.dev(), current.ino()) && !name.contains('.') {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    /// As [`crate::objects::Objects::delete`], durably. The current object goes before its version: a repeated
    /// delete, after one that died in between, would not recognise a current object without a version.
    pub(super) fn delete(&self, version: Option<&str>) -> io::Result<()> {
        let file = match version {
            Some(version) => match self.version(version) {
                None => return Ok(()),
                file => file,
            },
            None => None,
        };
        if version.is_none() || self.current.exists() && self.current_version()?.as_deref() == version {
            absent_is_fine(fs::remove_file(&self.current))?;
            let folder = self.current.parent().expect("a key is below its bucket");
            absent_is_fine(durable::folder(folder, Synced::CurrentGone))?;
        }
        if let Some(file) = file {
            absent_is_fine(fs::remove_file(file))?;
            absent_is_fine(durable::folder(&self.versions, Synced::VersionGone))?;
        }
        Ok(())
    }
}

/// Copies files one after the other, and returns their total size and SHA-256.
pub(super) fn copy_hashed(from: &[PathBuf], to: &mut impl Write) -> anyhow::Result<(u64, [u8; 32])> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 128 << 10];
    let mut size = 0;
    for from in from {
        let failed = || format!("failed to read {}", from.display());
        let mut source = File::open(from).with_context(failed)?;
        loop {
            let read = source.read(&mut buffer).with_context(failed)?;
            if read == 0 {
                break;
            }
            hash.update(&buffer[..read]);
            to.write_all(&buffer[..read])?;
            size += read as u64;
        }
    }
    Ok((size, hash.finalize().into()))
}

/// Makes a folder and its parents, durably; refuses a folder behind a symbolic link.
fn make_folders(root: &Path, folder: &Path) -> anyhow::Result<()> {
    let there = folder.ancestors().find(|above| above.exists()).context("no parent folder")?;
    within::check_folder(root, there)?;
    let failed = || format!("failed to make the folder {}", folder.display());
    durable::make_folders(folder, 0o750).with_context(failed)
}

pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

pub(super) fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    result.or_else(|error| if is_absent(&error) { Ok(()) } else { Err(error) })
}
