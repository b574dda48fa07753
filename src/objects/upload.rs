//! An upload in parts: begun, fed, and completed or aborted, by one process or by several.
//!
//! Whoever knows its bucket, key and id can continue it: [`Objects::parts`] lists the parts so far. Only
//! [`Objects::complete_upload`] makes an object and promises anything.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;

use super::{ObjectResult, Objects, Put, StoredObject, sha256_from};
use crate::carry;

/// Names an upload. Callers may store its fields and build it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    pub bucket: String,
    pub key: String,
    /// The store's own name for it.
    pub id: String,
}

/// A stored part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadedPart {
    /// Its position in the object, from 1.
    pub number: u16,
    /// In bytes.
    pub size: u64,
    /// `None` if the store keeps none.
    pub sha256: Option<[u8; 32]>,
    /// S3 wants it back on completion.
    pub(super) etag: Option<String>,
}

/// How [`Objects::put_file`] cuts files into parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartSizes {
    /// Only larger files go up in parts.
    pub above: u64,
    /// Bytes of each part but the last.
    pub each: u64,
    /// Parts of one file, at most. A file for which that is not enough has larger ones.
    pub most: u16,
}

/// An unfinished upload, which a crash left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaleUpload {
    pub key: String,
    pub started: SystemTime,
    /// The store's own name for it.
    pub id: String,
}

impl UploadedPart {
    /// A part that was stored, as somebody noted it; the store does not take it back on completion.
    pub fn noted(number: u16, size: u64, sha256: [u8; 32]) -> Self {
        Self { number, size, sha256: Some(sha256), etag: None }
    }

    /// What a stretch of a file is as a part, without sending it.
    ///
    /// # Errors
    /// The file can't be read.
    pub async fn of_file(number: u16, file: &Path, bytes: Range<u64>) -> ObjectResult<Self> {
        let size = bytes.end - bytes.start;
        Ok(Self::noted(number, size, sha256_within(file, bytes).await?))
    }

    /// Whether both have the same bytes, in the same place.
    pub fn is_same(&self, other: &Self) -> bool {
        (self.number, self.size, self.sha256) == (other.number, other.size, other.sha256)
            && self.sha256.is_some()
    }
}

/// The SHA-256 of a stretch of a file.
pub(super) async fn sha256_within(file: &Path, bytes: Range<u64>) -> anyhow::Result<[u8; 32]> {
    let path = file.to_owned();
    let hash = move || {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(bytes.start))?;
        sha256_from(&mut file.take(bytes.end - bytes.start))
    };
    let digest = carry::spawn_blocking(hash).await.context("hashing a part panicked")?;
    digest.with_context(|| format!("failed to read {}", file.display()))
}

impl Objects {
    /// Begins an upload, which takes space until it is completed or aborted. It uses only the content type and
    /// the metadata of `put`.
    ///
    /// # Errors
    /// The store can't hold such an object, refuses or does not answer.
    pub async fn begin_upload(&self, bucket: &str, key: &str, put: &Put) -> ObjectResult<Upload> {
        match self {
            Self::S3(s3) => s3.begin_upload(bucket, key, put).await,
            Self::Folder(folder) => folder.begin_upload(bucket, key).await,
        }
    }

    /// How to cut a file that still grows, so that it becomes the same object as by [`Self::put_file`]; `None` where a
    /// put is a local copy.
    pub fn part_sizes(&self) -> Option<PartSizes> {
        match self {
            Self::S3(s3) => Some(s3.part_sizes()),
            Self::Folder(_) => None,
        }
    }

    /// Adds a stretch of a file as a part, or replaces the part of that number. Parts may come in any order;
    /// on S3, each but the last has 5 MiB at least.
    ///
    /// # Errors
    /// When the file can't be read, or the store refuses or does not answer. Repeating it does no harm.
    pub async fn upload_part(
        &self,
        upload: &Upload,
        number: u16,
        file: &Path,
        bytes: Range<u64>,
    ) -> ObjectResult<UploadedPart> {
        match self {
            Self::S3(s3) => s3.upload_part(upload, number, file, bytes).await,
            Self::Folder(folder) => folder.upload_part(upload, number, file, bytes).await,
        }
    }

    /// The parts that the store has, in order.
    ///
    /// # Errors
    /// When the upload has ended, or the store does not answer.
    pub async fn parts(&self, upload: &Upload) -> ObjectResult<Vec<UploadedPart>> {
        match self {
            Self::S3(s3) => s3.parts(upload).await,
            Self::Folder(folder) => folder.parts(upload).await,
        }
    }

    /// Makes the object from these parts, and returns only after the store confirmed size and checksum: a folder
    /// that of the whole, S3 those of the parts, if it keeps any. An upload that has already ended with these
    /// bytes is a success: the answer to an earlier attempt was lost. A success leaves no upload.
    ///
    /// # Errors
    /// The parts are not the promised bytes, another object exists and may not be replaced, or the store does
    /// not confirm in bounded time. The upload may be left; the caller must abort it.
    pub async fn complete_upload(
        &self,
        upload: &Upload,
        parts: &[UploadedPart],
        put: &Put,
    ) -> ObjectResult<StoredObject> {
        match self {
            Self::S3(s3) => s3.complete_upload(upload, parts, put).await,
            Self::Folder(folder) => folder.complete_upload(upload, parts, put).await,
        }
    }

    /// The object of an upload that has ended, if it has the bytes of these parts; `None` if there is none, or another
    /// one, or the store keeps no parts apart.
    ///
    /// # Errors
    /// The store refuses or does not answer.
    pub async fn ended_with(
        &self,
        upload: &Upload,
        parts: &[UploadedPart],
        put: &Put,
    ) -> ObjectResult<Option<StoredObject>> {
        match self {
            Self::S3(s3) => s3.ended_with(upload, parts, put).await,
            Self::Folder(_) => Ok(None),
        }
    }

    /// The unfinished uploads under a key prefix that began longer than `age` ago.
    ///
    /// # Errors
    /// When the bucket is not there, or the store does not answer.
    pub async fn stale_uploads(
        &self,
        bucket: &str,
        prefix: &str,
        age: Duration,
    ) -> ObjectResult<Vec<StaleUpload>> {
        match self {
            Self::S3(s3) => s3.stale_uploads(bucket, prefix, age).await,
            Self::Folder(folder) => folder.stale_uploads(bucket, prefix, age).await,
        }
    }

    /// Aborts an upload and frees its space. It succeeds if the upload has already ended.
    ///
    /// # Errors
    /// When the store refuses or does not answer.
    pub async fn abort_upload(&self, bucket: &str, upload: &StaleUpload) -> ObjectResult<()> {
        self.abort(&upload.named(bucket)).await
    }

    /// As [`Objects::abort_upload`], of one's own.
    ///
    /// # Errors
    /// As [`Objects::abort_upload`].
    pub async fn abort(&self, upload: &Upload) -> ObjectResult<()> {
        match self {
            Self::S3(s3) => s3.abort_upload(upload).await,
            Self::Folder(folder) => folder.abort_upload(upload).await,
        }
    }
}

impl StaleUpload {
    /// The upload by its name.
    pub fn named(&self, bucket: &str) -> Upload {
        Upload { bucket: bucket.to_owned(), key: self.key.clone(), id: self.id.clone() }
    }
}
