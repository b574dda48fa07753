//! The files of one key: its current version, and all of them.
//!
//! It blocks; call it only on the blocking pool.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, ensure};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::root::{Root, absent_is_fine, is_absent};
use crate::durable::{self, Synced};
use crate::faults;
use crate::objects::{Missing, ObjectError, ObjectResult, ObjectUri, Put, StoredObject};

pub(super) const VERSIONS: &str = ".versions";
pub(super) const UNFINISHED: &str = ".part";

/// Where the files of one key are.
#[derive(Debug, Clone)]
pub(super) struct KeyPaths {
    pub(super) root: Root,
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
        let root = Root::new(PathBuf::from(if root.is_empty() { "/" } else { root }));
        let bucket = root.join(bucket);
        let (current, versions) = (bucket.join(key), bucket.join(VERSIONS).join(key));
        Ok(Self { root, bucket, current, versions, path })
    }

    pub(super) fn uri(&self, version: Option<&str>) -> ObjectUri {
        ObjectUri::File { path: self.path.clone(), version: version.map(Into::into) }
    }

    /// The file of a version, if the name is valid.
    fn version(&self, version: &str) -> Option<PathBuf> {
        Uuid::try_parse(version).ok().map(|id| self.versions.join(id.hyphenated().to_string()))
    }

    /// Makes the folders of the key, durably; refuses a folder behind a symbolic link.
    pub(super) fn make_folders(&self) -> anyhow::Result<()> {
        for folder in [self.folder(), &self.versions] {
            let there = folder.ancestors().find(|above| above.symlink_metadata().is_ok());
            self.root.check_folder(there.context("no parent folder")?)?;
            let failed = || format!("failed to make the folder {}", folder.display());
            durable::make_folders(folder, 0o750).with_context(failed)?;
        }
        Ok(())
    }

    /// The folder of the current version.
    fn folder(&self) -> &Path {
        self.current.parent().expect("a key is below its bucket")
    }

    /// Stores the file `from`, durably.
    pub(super) fn put(&self, from: &Path, put: &Put) -> anyhow::Result<StoredObject> {
        self.make_folders()?;
        let version = Uuid::now_v7().hyphenated().to_string();
        let part = self.versions.join(format!("{version}{UNFINISHED}"));
        self.store([open_outside(from)], put, &part, &version)
    }

    /// Stores the concatenated files as a version, durably; `part` is a free name.
    pub(super) fn store(
        &self,
        from: impl IntoIterator<Item = anyhow::Result<File>>,
        put: &Put,
        part: &Path,
        version: &str,
    ) -> anyhow::Result<StoredObject> {
        let file = self.versions.join(version);
        let stored = self.publish(from, put, part, &file, version);
        faults::point("put-current");
        if stored.is_err() {
            let _ = self.root.remove(part);
            // Another put of the same bytes may have made it the current one.
            if self.current_version().ok().flatten().is_none_or(|current| current != version) {
                let _ = self.root.remove(&file);
            }
            return stored;
        }
        durable::folder(self.folder(), Synced::ObjectCurrent)?;
        stored
    }

    /// Writes `part`, makes it the version `file`, and then the current one.
    fn publish(
        &self,
        from: impl IntoIterator<Item = anyhow::Result<File>>,
        put: &Put,
        part: &Path,
        file: &Path,
        version: &str,
    ) -> anyhow::Result<StoredObject> {
        let mut target = self.root.create(part, 0o440)?;
        let (size, sha256) = copy_hashed(from, &mut target)?;
        ensure!(sha256 == put.sha256, "the copy is not the file that was promised");
        durable::file(&target, Synced::ObjectBytes)?;
        faults::point("put-written");
        if put.if_none_match
            && let Some(stored) = self.already_there(size, sha256)?
        {
            self.root.remove(part)?;
            return Ok(stored);
        }
        if !put.if_none_match
            && let Some((version, file)) = self.unfinished(size, sha256)?
        {
            self.root.remove(part)?;
            self.replace_current(&file, part)?;
            return Ok(StoredObject { uri: self.uri(Some(&version)), size });
        }
        self.root.rename(part, file)?;
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
            self.root.remove(file)?;
        }
        Ok(there)
    }

    /// The current object, if it has these bytes. It completes a put that died after naming its version:
    /// otherwise that version would stay for ever, unknown to everybody.
    pub(super) fn already_there(&self, size: u64, sha256: [u8; 32]) -> anyhow::Result<Option<StoredObject>> {
        if !self.root.has(&self.current)? {
            match self.unfinished(size, sha256)? {
                Some((_, file)) => self.link_current(&file)?,
                None => return Ok(None),
            };
        }
        ensure!(self.digest(&self.current)? == (size, sha256), "another object is already there");
        Ok(Some(StoredObject { uri: self.uri(self.current_version()?.as_deref()), size }))
    }

    /// A version with these bytes that is newer than the current one: its put died, or is about to make it
    /// current. Whoever does that in its place gets the same version.
    fn unfinished(&self, size: u64, sha256: [u8; 32]) -> anyhow::Result<Option<(String, PathBuf)>> {
        let current =
            if self.root.has(&self.current)? { self.current_version()? } else { Some(String::new()) };
        // A file that somebody put there by hand is newer than any version.
        let Some(current) = current else { return Ok(None) };
        for (version, found) in self.root.list(&self.versions)? {
            // Versions begin with the time.
            let is_newer = version > current;
            let is_whole = is_version(&version) && found.is_file() && found.len() == size;
            let file = self.versions.join(&version);
            if is_newer && is_whole && self.digest(&file)? == (size, sha256) {
                return Ok(Some((version, file)));
            }
        }
        Ok(None)
    }

    /// The size and the SHA-256 of a file of the key.
    pub(super) fn digest(&self, file: &Path) -> anyhow::Result<(u64, [u8; 32])> {
        copy_hashed([self.open_file(file)], &mut io::sink())
    }

    pub(super) fn open_file(&self, file: &Path) -> anyhow::Result<File> {
        self.root.open(file).with_context(|| format!("failed to open {}", file.display()))
    }

    /// Makes a version current if there is no current one; returns whether it did. It makes the version's name
    /// durable first, so that a power loss leaves no current object without a version.
    fn link_current(&self, file: &Path) -> io::Result<bool> {
        durable::folder(&self.versions, Synced::ObjectVersion)?;
        match self.root.link(file, &self.current) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            linked => linked.map(|()| true),
        }
    }

    /// Makes a version current, whatever is current now; `part` is a free name.
    fn replace_current(&self, file: &Path, part: &Path) -> io::Result<()> {
        if !self.link_current(file)? {
            self.root.link(file, part)?;
            self.root.rename(part, &self.current)?;
        }
        Ok(())
    }

    /// Opens the file that `uri` names, and finds its version.
    pub(super) fn open(&self, uri: &ObjectUri) -> ObjectResult<(File, StoredObject)> {
        let not_found = |missing| ObjectError::NotFound { missing, name: uri.to_string() };
        if !self.root.metadata(&self.bucket).is_ok_and(|found| found.is_dir() || found.is_symlink()) {
            return Err(not_found(Missing::Bucket));
        }
        let failed = || format!("failed to open {uri}");
        let file = match uri.version() {
            None => self.current.clone(),
            Some(version) => self.version(version).ok_or_else(|| not_found(Missing::Version))?,
        };
        let opened = match self.root.open(&file) {
            Err(error) if is_absent(&error) => {
                let known = uri.version().is_some()
                    && (self.root.has(&self.current).unwrap_or_default()
                        || self.root.has(&self.versions).unwrap_or_default());
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
        let current = self.root.metadata(&self.current)?;
        let versions = match self.root.list(&self.versions) {
            Err(error) if is_absent(&error) => return Ok(None),
            versions => versions?,
        };
        let mut same = versions.into_iter().filter(|(name, found)| {
            is_version(name) && (found.dev(), found.ino()) == (current.dev(), current.ino())
        });
        Ok(same.next().map(|(version, _)| version))
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
        let is_current = || -> io::Result<bool> {
            Ok(self.root.has(&self.current)? && self.current_version()?.as_deref() == version)
        };
        if version.is_none() || is_current()? {
            absent_is_fine(self.root.remove(&self.current))?;
            absent_is_fine(durable::folder(self.folder(), Synced::CurrentGone))?;
        }
        if let Some(file) = file {
            absent_is_fine(self.root.remove(&file))?;
            absent_is_fine(durable::folder(&self.versions, Synced::VersionGone))?;
        }
        Ok(())
    }

    /// As [`crate::objects::Objects::delete_others`], durably, with what puts left that died.
    pub(super) fn delete_others(&self, kept: Option<&str>) -> io::Result<()> {
        if kept.is_none() {
            self.delete(None)?;
        }
        let versions = match self.root.list(&self.versions) {
            Err(error) if is_absent(&error) => return Ok(()),
            versions => versions?,
        };
        for (name, found) in versions {
            if !found.is_file() || kept == Some(name.as_str()) {
                continue;
            }
            if is_version(&name) {
                self.delete(Some(&name))?;
            } else {
                absent_is_fine(self.root.remove(&self.versions.join(&name)))?;
            }
        }
        Ok(())
    }
}

/// Opens a file that need not be in the store.
fn open_outside(file: &Path) -> anyhow::Result<File> {
    File::open(file).with_context(|| format!("failed to read {}", file.display()))
}

fn is_version(name: &str) -> bool {
    !name.contains('.')
}

/// Copies files one after the other, and returns their total size and SHA-256.
fn copy_hashed(
    from: impl IntoIterator<Item = anyhow::Result<File>>,
    to: &mut impl Write,
) -> anyhow::Result<(u64, [u8; 32])> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 128 << 10];
    let mut size = 0;
    for source in from {
        let mut source = source?;
        loop {
            let read = source.read(&mut buffer).context("failed to read the bytes to store")?;
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
