//! Uploads in a folder: each part is a file beside the versions of its key, and the object is made of them.
//!
//! `<version>.part` marks an unfinished upload: it is made before the parts and removed after them. The parts are
//! not synced: a part damaged by a power loss can't become an object, since completing the upload reads all parts
//! and checks the checksum of the whole.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use uuid::Uuid;

use super::key_paths::{KeyPaths, UNFINISHED};
use super::root::absent_is_fine;
use super::{FolderStore, blocking};
use crate::objects::{Missing, ObjectError, ObjectResult, Put, StoredObject, Upload, UploadedPart};

const PIECE: &str = ".piece";

impl FolderStore {
    pub(in crate::objects) async fn begin_upload(&self, bucket: &str, key: &str) -> ObjectResult<Upload> {
        let paths = self.paths(bucket, key)?;
        let upload = Upload {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            id: format!("{}{UNFINISHED}", Uuid::now_v7().hyphenated()),
        };
        let id = upload.id.clone();
        let begin = move || {
            paths.make_folders()?;
            paths.root.create(&paths.versions.join(id), 0o640).map_err(anyhow::Error::from)
        };
        blocking(move || Ok(begin().map(drop).context("failed to begin an upload")?)).await?;
        Ok(upload)
    }

    pub(in crate::objects) async fn upload_part(
        &self,
        upload: &Upload,
        number: u16,
        file: &Path,
        bytes: Range<u64>,
    ) -> ObjectResult<UploadedPart> {
        let pieces = self.pieces(upload)?;
        let from = file.to_owned();
        blocking(move || {
            pieces.must_be_open()?;
            let failed = || format!("failed to store part {number} of {}", from.display());
            Ok(pieces.add(number, &from, bytes).with_context(failed)?)
        })
        .await
    }

    pub(in crate::objects) async fn parts(&self, upload: &Upload) -> ObjectResult<Vec<UploadedPart>> {
        let pieces = self.pieces(upload)?;
        blocking(move || {
            pieces.must_be_open()?;
            Ok(pieces.parts().context("failed to list the parts of an upload")?)
        })
        .await
    }

    pub(in crate::objects) async fn complete_upload(
        &self,
        upload: &Upload,
        parts: &[UploadedPart],
        put: &Put,
    ) -> ObjectResult<StoredObject> {
        let (pieces, parts, put) = (self.pieces(upload)?, parts.to_owned(), put.clone());
        blocking(move || {
            let stored = pieces.complete(&parts, &put);
            Ok(stored.with_context(|| format!("failed to store {}", pieces.paths.uri(None)))?)
        })
        .await
    }

    pub(in crate::objects) async fn abort_upload(&self, upload: &Upload) -> ObjectResult<()> {
        let pieces = self.pieces(upload)?;
        blocking(move || Ok(pieces.remove().context("failed to remove an upload")?)).await
    }

    fn pieces(&self, upload: &Upload) -> ObjectResult<Pieces> {
        let paths = self.paths(&upload.bucket, &upload.key)?;
        let id = upload.id.strip_suffix(UNFINISHED).and_then(|id| Uuid::try_parse(id).ok());
        let version = id.context("not an unfinished upload")?.hyphenated().to_string();
        Ok(Pieces { paths, version })
    }
}

/// The files of one upload. All of it blocks.
struct Pieces {
    paths: KeyPaths,
    version: String,
}

impl Pieces {
    /// Marks the upload as unfinished.
    fn mark(&self) -> PathBuf {
        self.file(UNFINISHED)
    }

    fn piece(&self, number: u16) -> PathBuf {
        self.file(&format!(".{number}{PIECE}"))
    }

    fn file(&self, ending: &str) -> PathBuf {
        self.paths.versions.join(format!("{}{ending}", self.version))
    }

    fn is_open(&self) -> io::Result<bool> {
        self.paths.root.has(&self.mark())
    }

    fn must_be_open(&self) -> ObjectResult<()> {
        if self.is_open().context("failed to look for an upload")? {
            return Ok(());
        }
        let name = self.paths.uri(Some(&self.version)).to_string();
        Err(ObjectError::NotFound { missing: Missing::Upload, name })
    }

    fn add(&self, number: u16, from: &Path, bytes: Range<u64>) -> anyhow::Result<UploadedPart> {
        let size = bytes.end - bytes.start;
        let mut source = File::open(from)?;
        source.seek(SeekFrom::Start(bytes.start))?;
        // A piece has its name only when it is whole.
        let unnamed = self.file(&format!(".{number}-{}.new{PIECE}", Uuid::new_v4().simple()));
        let mut to = self.paths.root.create(&unnamed, 0o640)?;
        let copied = io::copy(&mut source.take(size), &mut to)?;
        ensure!(copied == size, "the file is shorter than the part");
        let piece = self.piece(number);
        self.paths.root.rename(&unnamed, &piece)?;
        self.part(number, &piece)
    }

    fn parts(&self) -> anyhow::Result<Vec<UploadedPart>> {
        let mut found = Vec::new();
        for name in self.all()? {
            let number = name.strip_suffix(PIECE).and_then(|name| name.rsplit_once('.')?.1.parse().ok());
            if let Some(number) = number {
                found.push(self.part(number, &self.paths.versions.join(&name))?);
            }
        }
        found.sort_by_key(|part| part.number);
        Ok(found)
    }

    fn complete(&self, parts: &[UploadedPart], put: &Put) -> anyhow::Result<StoredObject> {
        let size = parts.iter().map(|part| part.size).sum();
        if !self.is_open()? {
            return self.ended(size, put);
        }
        let from = parts.iter().map(|part| self.paths.open_file(&self.piece(part.number)));
        let stored = self.paths.store(from, put, &self.file(&format!(".whole{PIECE}")), &self.version)?;
        self.remove()?;
        Ok(stored)
    }

    /// The result of an ended upload: its version, or another with the same bytes.
    fn ended(&self, size: u64, put: &Put) -> anyhow::Result<StoredObject> {
        let file = self.file("");
        if self.paths.root.has(&file)? && self.paths.digest(&file)? == (size, put.sha256) {
            return Ok(StoredObject { uri: self.paths.uri(Some(&self.version)), size });
        }
        self.paths.already_there(size, put.sha256)?.context("the upload was aborted")
    }

    /// Removes the parts, and last the mark.
    fn remove(&self) -> io::Result<()> {
        for name in self.all()? {
            absent_is_fine(self.paths.root.remove(&self.paths.versions.join(name)))?;
        }
        absent_is_fine(self.paths.root.remove(&self.mark()))
    }

    fn part(&self, number: u16, piece: &Path) -> anyhow::Result<UploadedPart> {
        let (size, sha256) = self.paths.digest(piece)?;
        Ok(UploadedPart { number, size, sha256: Some(sha256), etag: None })
    }

    /// The names of all parts, incomplete ones included.
    fn all(&self) -> io::Result<Vec<String>> {
        let found = match self.paths.root.list(&self.paths.versions) {
            Err(error) => return absent_is_fine(Err(error)).map(|()| Vec::new()),
            Ok(found) => found,
        };
        let names = found.into_iter().map(|(name, _)| name);
        Ok(names.filter(|name| name.starts_with(&self.version) && name.ends_with(PIECE)).collect())
    }
}
