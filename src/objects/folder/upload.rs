//! Uploads in a folder: each part is a file beside the versions of its key, and the object is made of them.
//!
//! `<version>.part` marks an unfinished upload: it is made before the parts and removed after them. The parts are
//! not synced: a part damaged by a power loss can't become an object, since completing the upload reads all parts
//! and checks the checksum of the whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use uuid::Uuid;

use super::key_paths::{KeyPaths, UNFINISHED, absent_is_fine, copy_hashed};
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
            create(&paths.versions.join(id))
        };
        blocking(move || Ok(begin().context("failed to begin an upload")?)).await?;
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

    fn must_be_open(&self) -> ObjectResult<()> {
        if self.mark().exists() {
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
        let mut to = create(&unnamed)?;
        let copied = io::copy(&mut source.take(size), &mut to)?;
        ensure!(copied == size, "the file is shorter than the part");
        let piece = self.piece(number);
        fs::rename(unnamed, &piece)?;
        part(number, &piece)
    }

    fn parts(&self) -> anyhow::Result<Vec<UploadedPart>> {
        let mut found = Vec::new();
        for file in self.all()? {
            let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let number = name.strip_suffix(PIECE).and_then(|name| name.rsplit_once('.')?.1.parse().ok());
            if let Some(number) = number {
                found.push(part(number, &file)?);
            }
        }
        found.sort_by_key(|part| part.number);
        Ok(found)
    }

    fn complete(&self, parts: &[UploadedPart], put: &Put) -> anyhow::Result<StoredObject> {
        let size = parts.iter().map(|part| part.size).sum();
        if !self.mark().exists() {
            return self.ended(size, put);
        }
        let from: Vec<PathBuf> = parts.iter().map(|part| self.piece(part.number)).collect();
        let stored = self.paths.store(&from, put, &self.file(&format!(".whole{PIECE}")), &self.version)?;
        self.remove()?;
        Ok(stored)
    }

    /// The result of an ended upload: its version, or another with the same bytes.
    fn ended(&self, size: u64, put: &Put) -> anyhow::Result<StoredObject> {
        let file = self.file("");
        if file.exists() && copy_hashed(&[file], &mut io::sink())? == (size, put.sha256) {
            return Ok(StoredObject { uri: self.paths.uri(Some(&self.version)), size });
        }
        self.paths.already_there(size, put.sha256)?.context("the upload was aborted")
    }

    /// Removes the parts, and last the mark.
    fn remove(&self) -> io::Result<()> {
        for file in self.all()? {
            absent_is_fine(fs::remove_file(file))?;
        }
        absent_is_fine(fs::remove_file(self.mark()))
    }

    /// The files of all parts, incomplete ones included.
    fn all(&self) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        let entries = match fs::read_dir(&self.paths.versions) {
            Err(error) => return absent_is_fine(Err(error)).map(|()| found),
            Ok(entries) => entries,
        };
        for entry in entries {
            let file = entry?.path();
            let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with(&self.version) && name.ends_with(PIECE) {
                found.push(file);
            }
        }
        Ok(found)
    }
}

fn part(number: u16, piece: &Path) -> anyhow::Result<UploadedPart> {
    let (size, sha256) = copy_hashed(&[piece.to_owned()], &mut io::sink())?;
    Ok(UploadedPart { number, size, sha256: Some(sha256), etag: None })
}

fn create(path: &Path) -> anyhow::Result<File> {
    Ok(OpenOptions::new().write(true).create_new(true).mode(0o640).open(path)?)
}
