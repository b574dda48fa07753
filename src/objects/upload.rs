//! An upload in parts: begun, fed, and completed or aborted, by one process or by several.
//!
//! Whoever knows its bucket, key and id goes on with it: [`Objects::parts`] says what arrived. Nothing is an
//! object before [`Objects::complete_upload`], which alone promises anything.

use std::ops::Range;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::{ObjectResult, Objects, Put, StoredObject};

/// Names an upload. It may be kept, and put together again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    pub bucket: String,
    pub key: String,
    /// The store's own name for it.
    pub id: String,
}

/// A part that the store has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadedPart {
    /// Its place in the object, counted from 1.
    pub number: u16,
    /// In bytes.
    pub size: u64,
    /// None where the store keeps none.
    pub sha256: Option<[u8; 32]>,
    /// What S3 wants to hear again.
    pub(super) etag: Option<String>,
}

/// An upload that was begun and never ended; what a crash leaves behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaleUpload {
    pub key: String,
    pub started: SystemTime,
    /// The store's own name for it.
    pub id: String,
}

impl Objects {
    /// Begins an upload, which holds space until it is completed or aborted. Of `put`, it takes the content
    /// type and the metadata.
    ///
    /// # Errors
    /// When the store can't hold such an object, refuses or does not answer.
    pub async fn begin_upload(&self, bucket: &str, key: &str, put: &Put) -> ObjectResult<Upload> {
        match self {
            Self::S3(s3) => s3.begin_upload(bucket, key, put).await,
            Self::Folder(folder) => folder.begin_upload(bucket, key).await,
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

    /// Makes the object of these parts, and returns only after the store confirmed size and checksum: a folder
    /// that of the whole, S3 those of the parts, where it keeps any. An upload
    /// that has ended with these bytes is a success: it is what an earlier try left whose answer was lost.
    ///
    /// # Errors
    /// When the parts are not the promised bytes, another object is there and may not be replaced, or the
    /// store does not confirm in bounded time. The upload may be left, and has to be aborted.
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

    /// The uploads under a key prefix that were begun longer than `age` ago and never ended.
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

    /// Gives up an upload and frees what it holds. One that has ended meanwhile is a success.
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
