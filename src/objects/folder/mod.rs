//! Objects in a plain folder: `<root>/<bucket>/<key>`, for a desk or a server without S3.
//!
//! Every put also stays readable under its version, a UUID v7, as a hard link:
//! `<root>/<bucket>/.versions/<key>/<version>`. An unfinished put is a `.part` file there, and the
//! parts of an upload are `.piece` files beside it. Files never change in place. No name leads out of the root,
//! not even through a symbolic link. The folder keeps no metadata and has no presigned links.

mod key_paths;
mod root;
mod upload;

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow};

use self::key_paths::{KeyPaths, UNFINISHED};
use self::root::{Root, is_absent};
use super::{
    Bytes, Chunk, Listed, ObjectReader, ObjectResult, ObjectUri, Put, StaleUpload, StoredObject, sha256_from,
};
use crate::carry;

/// A folder that serves as object store.
#[derive(Debug, Clone)]
pub struct FolderStore {
    /// Absolute, without symbolic links, UTF-8.
    root: String,
}

impl FolderStore {
    /// Uses the folder at `root`, and makes it if missing.
    ///
    /// # Errors
    /// It can't be made or reached, or its path is not UTF-8, as an [`ObjectUri`] must be.
    pub fn open(root: &Path) -> ObjectResult<Self> {
        let doing = || format!("failed to open the object folder {}", root.display());
        DirBuilder::new().recursive(true).mode(0o750).create(root).with_context(doing)?;
        let root = root.canonicalize().with_context(doing)?;
        let root = root.into_os_string().into_string();
        Ok(Self { root: root.map_err(|root| anyhow!("the object folder's path {root:?} is not UTF-8"))? })
    }

    pub(super) fn uri(&self, bucket: &str, key: &str, version: Option<&str>) -> ObjectResult<ObjectUri> {
        Ok(self.paths(bucket, key)?.uri(version))
    }

    pub(super) async fn put_file(
        &self,
        bucket: &str,
        key: &str,
        path: &Path,
        put: &Put,
    ) -> ObjectResult<StoredObject> {
        let paths = self.paths(bucket, key)?;
        let (path, put) = (path.to_owned(), put.clone());
        blocking(move || {
            let stored = paths.put(&path, &put);
            Ok(stored.with_context(|| format!("failed to store {}", paths.uri(None)))?)
        })
        .await
    }

    pub(super) async fn head(&self, uri: &ObjectUri) -> ObjectResult<StoredObject> {
        Ok(self.find(uri).await?.1)
    }

    pub(super) async fn get_range(&self, uri: &ObjectUri, bytes: Bytes) -> ObjectResult<Chunk> {
        let (file, StoredObject { uri, size }) = self.find(uri).await?;
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

    pub(super) async fn open_object(&self, uri: &ObjectUri) -> ObjectResult<(StoredObject, ObjectReader)> {
        let (file, stored) = self.find(uri).await?;
        Ok((stored, Box::pin(tokio::fs::File::from_std(file))))
    }

    pub(super) async fn download(&self, uri: &ObjectUri, to: &Path) -> ObjectResult<StoredObject> {
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

    pub(super) async fn digest(&self, uri: &ObjectUri) -> ObjectResult<(StoredObject, [u8; 32])> {
        let (mut file, stored) = self.find(uri).await?;
        blocking(move || {
            let sha256 = sha256_from(&mut file).with_context(|| format!("failed to read {}", stored.uri))?;
            Ok((stored, sha256))
        })
        .await
    }

    pub(super) async fn delete(&self, uri: &ObjectUri) -> ObjectResult<()> {
        let paths = self.locate(uri)?;
        let version = uri.version().map(ToOwned::to_owned);
        blocking(move || Ok(paths.delete(version.as_deref()).context("failed to delete an object")?)).await
    }

    pub(super) async fn delete_others(
        &self,
        bucket: &str,
        key: &str,
        kept: Option<&ObjectUri>,
    ) -> ObjectResult<()> {
        let paths = self.paths(bucket, key)?;
        let kept = kept.and_then(ObjectUri::version).map(ToOwned::to_owned);
        blocking(move || {
            let deleted = paths.delete_others(kept.as_deref());
            Ok(deleted.with_context(|| format!("failed to delete versions of {}", paths.uri(None)))?)
        })
        .await
    }

    pub(super) async fn list_folder(&self, bucket: &str, folder: &str) -> ObjectResult<Vec<Listed>> {
        let paths = self.paths(bucket, folder)?;
        let folder = folder.to_owned();
        blocking(move || {
            let entries = match paths.root.list(&paths.current) {
                Err(error) if is_absent(&error) => return Ok(Vec::new()),
                entries => entries.with_context(|| format!("failed to list {}", paths.uri(None)))?,
            };
            let mut found = Vec::new();
            for (name, metadata) in entries.into_iter().filter(|(_, metadata)| metadata.is_file()) {
                let modified = metadata.modified().context("failed to list a folder")?;
                found.push(Listed { key: format!("{folder}/{name}"), size: metadata.len(), modified });
            }
            Ok(found)
        })
        .await
    }

    pub(super) async fn stale_uploads(
        &self,
        bucket: &str,
        prefix: &str,
        age: Duration,
    ) -> ObjectResult<Vec<StaleUpload>> {
        // Any key leads to the versions of its bucket. Begin in the prefix's own folder, because a bucket has a
        // folder for each object that was ever in it.
        let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        let paths = self.paths(bucket, if folder.is_empty() { "key" } else { &folder })?;
        let versions =
            if folder.is_empty() { paths.bucket.join(key_paths::VERSIONS) } else { paths.versions };
        let prefix = prefix.to_owned();
        let before = SystemTime::now() - age;
        blocking(move || {
            let mut found = Vec::new();
            let collected = collect_unfinished(&paths.root, &versions, &folder, &prefix, &mut found);
            collected.context("failed to list unfinished uploads")?;
            found.retain(|upload| upload.key.starts_with(&prefix) && upload.started < before);
            Ok(found)
        })
        .await
    }

    fn paths(&self, bucket: &str, key: &str) -> ObjectResult<KeyPaths> {
        KeyPaths::new(self.root.trim_end_matches('/'), bucket, key)
    }

    fn locate(&self, uri: &ObjectUri) -> ObjectResult<KeyPaths> {
        let inside = match uri {
            ObjectUri::File { path, .. } => path.strip_prefix(self.root.trim_end_matches('/')),
            ObjectUri::S3 { .. } => None,
        };
        let names = inside.and_then(|path| path.strip_prefix('/')).and_then(|names| names.split_once('/'));
        let (bucket, key) =
            names.with_context(|| format!("{uri} is not in the object folder {}", self.root))?;
        self.paths(bucket, key)
    }

    /// Opens the file that `uri` names, and finds its version.
    async fn find(&self, uri: &ObjectUri) -> ObjectResult<(File, StoredObject)> {
        let paths = self.locate(uri)?;
        let uri = uri.clone();
        blocking(move || paths.open(&uri)).await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> ObjectResult<T> + Send + 'static,
) -> ObjectResult<T> {
    carry::spawn_blocking(work).await.context("a file operation panicked")?
}

/// Collects the unfinished uploads in and below a folder of versions, which belongs to `key`; skips folders whose
/// key does not begin with `prefix`.
fn collect_unfinished(
    root: &Root,
    folder: &Path,
    key: &str,
    prefix: &str,
    found: &mut Vec<StaleUpload>,
) -> io::Result<()> {
    let entries = match root.list(folder) {
        Err(error) if is_absent(&error) => return Ok(()),
        entries => entries?,
    };
    for (name, metadata) in entries {
        if metadata.is_dir() {
            let slash = if key.is_empty() { "" } else { "/" };
            let below = format!("{key}{slash}{name}");
            if below.starts_with(prefix) {
                collect_unfinished(root, &folder.join(&name), &below, prefix, found)?;
            }
        } else if metadata.is_file() && name.ends_with(UNFINISHED) {
            let started = metadata.modified()?;
            found.push(StaleUpload { key: key.into(), started, id: name });
        }
    }
    Ok(())
}
