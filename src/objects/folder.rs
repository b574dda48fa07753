//! Objects in a plain folder: `<root>/<bucket>/<key>`, for a desk or a server without S3.
//!
//! Every put also stays readable under its version, a UUID v7, as a hard link:
//! `<root>/<bucket>/.versions/<key>/<version>`. A put that has not ended is a `.part` file there.
//! Files are never changed in place. No name leads out of the root, through a symbolic link
//! neither. There is no metadata and there are no presigned links.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow, ensure};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Bytes, Chunk, Missing, ObjectError, ObjectReader, ObjectUri, Put, Result, StaleUpload, Stored};
use crate::{carry, faults};

const VERSIONS: &str = ".versions";
const UNFINISHED: &str = ".part";

/// A folder that serves as object store.
#[derive(Debug, Clone)]
pub struct Folder {
    /// Absolute, without symbolic links, UTF-8.
    root: String,
}

/// Where the files of one key are.
#[derive(Debug, Clone)]
struct Place {
    bucket: PathBuf,
    /// The current version.
    current: PathBuf,
    /// The folder of all versions.
    versions: PathBuf,
    /// As callers know it, without a version.
    path: String,
}

impl Folder {
    /// Uses the folder at `root`, and makes it where it is not there.
    pub fn open(root: &Path) -> Result<Self> {
        let doing = || format!("failed to open the object folder {}", root.display());
        DirBuilder::new().recursive(true).mode(0o750).create(root).with_context(doing)?;
        let root = root.canonicalize().with_context(doing)?;
        let root = root.into_os_string().into_string();
        Ok(Self { root: root.map_err(|root| anyhow!("the object folder's path {root:?} is not UTF-8"))? })
    }

    pub(super) fn uri(&self, bucket: &str, key: &str, version: Option<&str>) -> Result<ObjectUri> {
        Ok(self.place(bucket, key)?.uri(version))
    }

    pub(super) async fn put_file(&self, bucket: &str, key: &str, path: &Path, put: &Put) -> Result<Stored> {
        let place = self.place(bucket, key)?;
        let (path, put) = (path.to_owned(), put.clone());
        blocking(move || {
            let stored = place.put(&path, &put);
            Ok(stored.with_context(|| format!("failed to store {}", place.uri(None)))?)
        })
        .await
    }

    pub(super) async fn head(&self, uri: &ObjectUri) -> Result<Stored> {
        Ok(self.find(uri).await?.1)
    }

    pub(super) async fn get_range(&self, uri: &ObjectUri, bytes: Bytes) -> Result<Chunk> {
        let (file, Stored { uri, size }) = self.find(uri).await?;
        blocking(move || {
            let range = match bytes {
                Bytes::Range(range) => range.start.min(size)..range.end.min(size),
                Bytes::Last(count) => size.saturating_sub(count)..size,
            };
            let mut bytes = vec![0; range.end.saturating_sub(range.start) as usize];
            file.read_exact_at(&mut bytes, range.start).with_context(|| format!("failed to read {uri}"))?;
            Ok(Chunk { bytes, object_size: size })
        })
        .await
    }

    pub(super) async fn open_object(&self, uri: &ObjectUri) -> Result<(Stored, ObjectReader)> {
        let (file, stored) = self.find(uri).await?;
        Ok((stored, Box::pin(tokio::fs::File::from_std(file))))
    }

    pub(super) async fn download(&self, uri: &ObjectUri, to: &Path) -> Result<Stored> {
        let (mut file, stored) = self.find(uri).await?;
        let to = to.to_owned();
        blocking(move || {
            File::create(&to)
                .and_then(|mut to| io::copy(&mut file, &mut to))
                .with_context(|| format!("failed to copy {} to {}", stored.uri, to.display()))?;
            Ok(stored)
        })
        .await
    }

    pub(super) async fn delete(&self, uri: &ObjectUri) -> Result<()> {
        let place = self.locate(uri)?;
        let version = uri.version().map(ToOwned::to_owned);
        blocking(move || Ok(place.delete(version.as_deref()).context("failed to delete an object")?)).await
    }

    pub(super) async fn stale_uploads(
        &self,
        bucket: &str,
        prefix: &str,
        age: Duration,
    ) -> Result<Vec<StaleUpload>> {
        // Any key names the bucket's folder.
        let versions = self.place(bucket, "key")?.bucket.join(VERSIONS);
        let prefix = prefix.to_owned();
        let before = SystemTime::now() - age;
        blocking(move || {
            let mut found = Vec::new();
            collect_unfinished(&versions, "", &mut found).context("failed to list unfinished uploads")?;
            found.retain(|upload| upload.key.starts_with(&prefix) && upload.started < before);
            Ok(found)
        })
        .await
    }

    pub(super) async fn abort_upload(&self, bucket: &str, upload: &StaleUpload) -> Result<()> {
        let place = self.place(bucket, &upload.key)?;
        let file = place.version(upload.id.strip_suffix(UNFINISHED).unwrap_or_default());
        let file = file.context("not an unfinished upload")?.with_extension(&UNFINISHED[1..]);
        blocking(move || Ok(absent_is_fine(fs::remove_file(file)).context("failed to remove an upload")?))
            .await
    }

    /// Checks the names and puts them together. Nothing that is not a plain name gets further.
    fn place(&self, bucket: &str, key: &str) -> Result<Place> {
        let plain = |name: &str| !matches!(name, "" | "." | "..") && !name.contains('\0');
        if !plain(bucket) || bucket.starts_with('.') || bucket.contains('/') {
            return Err(anyhow!("{bucket:?} is not a bucket name").into());
        }
        let first = key.split('/').next().unwrap_or_default();
        if !key.split('/').all(plain) || first == VERSIONS || key.len() > 1024 {
            return Err(anyhow!("{key:?} cannot be an object key in a folder").into());
        }
        let path = format!("{}/{bucket}/{key}", self.root.trim_end_matches('/'));
        let bucket = Path::new(&self.root).join(bucket);
        Ok(Place { current: bucket.join(key), versions: bucket.join(VERSIONS).join(key), bucket, path })
    }

    fn locate(&self, uri: &ObjectUri) -> Result<Place> {
        let inside = match uri {
            ObjectUri::File { path, .. } => path.strip_prefix(self.root.trim_end_matches('/')),
            ObjectUri::S3 { .. } => None,
        };
        let names = inside.and_then(|path| path.strip_prefix('/')).and_then(|names| names.split_once('/'));
        let (bucket, key) =
            names.with_context(|| format!("{uri} is not in the object folder {}", self.root))?;
        self.place(bucket, key)
    }

    /// Opens the file that `uri` names, and finds out which version it is.
    async fn find(&self, uri: &ObjectUri) -> Result<(File, Stored)> {
        let place = self.locate(uri)?;
        let uri = uri.clone();
        blocking(move || place.open(&uri)).await
    }
}

impl Place {
    fn uri(&self, version: Option<&str>) -> ObjectUri {
        ObjectUri::File { path: self.path.clone(), version: version.map(Into::into) }
    }

    /// The file of a version, if that can be one.
    fn version(&self, version: &str) -> Option<PathBuf> {
        Uuid::try_parse(version).ok().map(|id| self.versions.join(id.hyphenated().to_string()))
    }

    fn put(&self, from: &Path, put: &Put) -> anyhow::Result<Stored> {
        let folder = self.current.parent().expect("a key is below its bucket");
        make_folders(folder)?;
        make_folders(&self.versions)?;

        let version = Uuid::now_v7().hyphenated().to_string();
        let file = self.versions.join(&version);
        let part = file.with_extension(&UNFINISHED[1..]);
        let stored = self.publish(from, put, &part, &file, &version);
        faults::point("put-current");
        if stored.is_err() {
            let _ = (fs::remove_file(&part), fs::remove_file(&file));
            return stored;
        }
        sync_folder(&self.versions)?;
        sync_folder(folder)?;
        stored
    }

    /// Writes `part`, makes it the version `file`, and then the current one.
    fn publish(
        &self,
        from: &Path,
        put: &Put,
        part: &Path,
        file: &Path,
        version: &str,
    ) -> anyhow::Result<Stored> {
        let mut target = OpenOptions::new().write(true).create_new(true).mode(0o440).open(part)?;
        let (size, sha256) = copy_hashed(from, &mut target)?;
        ensure!(sha256 == put.sha256, "{} is not the file that was promised", from.display());
        target.sync_all()?;
        faults::point("put-written");
        fs::rename(part, file)?;
        faults::point("put-versioned");

        match fs::hard_link(file, &self.current) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && put.if_none_match => {
                let there = copy_hashed(&self.current, &mut io::sink())?;
                ensure!(there == (size, sha256), "another object is already there");
                fs::remove_file(file)?;
                Ok(Stored { uri: self.uri(self.current_version()?.as_deref()), size })
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::hard_link(file, part)?;
                fs::rename(part, &self.current)?;
                Ok(Stored { uri: self.uri(Some(version)), size })
            }
            linked => Ok(linked.map(|()| Stored { uri: self.uri(Some(version)), size })?),
        }
    }

    fn open(&self, uri: &ObjectUri) -> Result<(File, Stored)> {
        let not_found = |missing| ObjectError::NotFound { missing, name: uri.to_string() };
        if !self.bucket.is_dir() {
            return Err(not_found(Missing::Bucket));
        }
        let failed = || format!("failed to open {uri}");
        let file = match uri.version() {
            None => self.current.clone(),
            Some(version) => self.version(version).ok_or_else(|| not_found(Missing::Version))?,
        };
        let real = match file.canonicalize() {
            Err(error) if is_absent(&error) => {
                let known = uri.version().is_some() && (self.current.is_file() || self.versions.is_dir());
                return Err(not_found(if known { Missing::Version } else { Missing::Key }));
            }
            real => real.with_context(failed)?,
        };
        if real != file {
            return Err(anyhow!("a symbolic link leads out of the object folder").context(failed()).into());
        }
        let opened = File::open(&file).with_context(failed)?;
        let metadata = opened.metadata().with_context(failed)?;
        if !metadata.is_file() {
            return Err(not_found(Missing::Key));
        }
        let version = match uri.version() {
            Some(version) => Some(version.to_owned()),
            None => self.current_version().with_context(failed)?,
        };
        Ok((opened, Stored { uri: self.uri(version.as_deref()), size: metadata.len() }))
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
            if (metadata.dev(), metadata.ino()) == (current.dev(), current.ino())
                && !name.ends_with(UNFINISHED)
            {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    fn delete(&self, version: Option<&str>) -> io::Result<()> {
        let mut hide = true;
        if let Some(version) = version {
            let Some(file) = self.version(version) else { return Ok(()) };
            hide = self.current.exists() && self.current_version()?.as_deref() == Some(version);
            absent_is_fine(fs::remove_file(file))?;
        }
        if hide {
            absent_is_fine(fs::remove_file(&self.current))?;
        }
        Ok(())
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    carry::spawn_blocking(work).await.context("a file operation panicked")?
}

/// Copies a file, and returns its size and SHA-256.
fn copy_hashed(from: &Path, to: &mut impl Write) -> anyhow::Result<(u64, [u8; 32])> {
    let failed = || format!("failed to read {}", from.display());
    let mut source = File::open(from).with_context(failed)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 128 << 10];
    let mut size = 0;
    loop {
        let read = source.read(&mut buffer).with_context(failed)?;
        if read == 0 {
            return Ok((size, hash.finalize().into()));
        }
        hash.update(&buffer[..read]);
        to.write_all(&buffer[..read])?;
        size += read as u64;
    }
}

/// Makes a folder and those above it, so that they outlive a power loss, and refuses one that a
/// symbolic link leads to.
fn make_folders(folder: &Path) -> anyhow::Result<()> {
    if !folder.is_dir() {
        let parent = folder.parent().context("no parent folder")?;
        make_folders(parent)?;
        match DirBuilder::new().mode(0o750).create(folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made.with_context(|| format!("failed to make the folder {}", folder.display()))?,
        }
        sync_folder(parent)?;
    }
    ensure!(folder.canonicalize()? == folder, "a symbolic link leads out of the object folder");
    Ok(())
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn collect_unfinished(folder: &Path, key: &str, found: &mut Vec<StaleUpload>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if is_absent(&error) => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let kind = entry.file_type()?;
        if kind.is_dir() {
            let slash = if key.is_empty() { "" } else { "/" };
            collect_unfinished(&entry.path(), &format!("{key}{slash}{name}"), found)?;
        } else if kind.is_file() && name.ends_with(UNFINISHED) {
            let started = entry.metadata()?.modified()?;
            found.push(StaleUpload { key: key.into(), started, id: name });
        }
    }
    Ok(())
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    result.or_else(|error| if is_absent(&error) { Ok(()) } else { Err(error) })
}
