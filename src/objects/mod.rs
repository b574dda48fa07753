//! The object store for submitted files and archived logs: S3, or a plain folder.
//!
//! Both report success only after they confirmed the stored bytes, and have the same errors. The folder keeps
//! every version of an object; a bucket may or may not. This room moves bytes: it builds no keys, and knows
//! nothing about the contents of objects.

mod folder;
mod s3;
mod upload;
mod uri;
mod versions;

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use anyhow::anyhow;
use sha2::{Digest, Sha256};
use tokio::io::AsyncRead;

pub use folder::FolderStore;
pub use s3::{Encryption, S3, S3Options};
pub use upload::{PartSizes, StaleUpload, Upload, UploadedPart};
pub use uri::ObjectUri;
pub use versions::Versions;

use crate::carry;

/// The result of every operation on objects.
pub type ObjectResult<T, E = ObjectError> = std::result::Result<T, E>;

/// A store of objects. Cheap to clone and to share.
#[derive(Debug, Clone)]
pub enum Objects {
    S3(S3),
    Folder(FolderStore),
}

/// An existing object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredObject {
    /// Names exactly this version, if the store keeps versions.
    pub uri: ObjectUri,
    /// In bytes.
    pub size: u64,
}

/// How to store a file.
#[derive(Debug, Clone)]
pub struct Put {
    pub content_type: &'static str,
    /// Names and values in ASCII. A folder keeps none.
    pub metadata: Vec<(&'static str, String)>,
    /// Hash of the whole file; the store refuses a file that differs.
    pub sha256: [u8; 32],
    /// Never replace another object. The same bytes already stored under the key are a success: the answer to
    /// an earlier attempt was lost.
    pub if_none_match: bool,
}

/// A selection of bytes. A range may reach past the end; the answer is then shorter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bytes {
    Range(Range<u64>),
    /// The last N bytes.
    Last(u64),
}

/// Some bytes of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    pub bytes: Vec<u8>,
    /// Size of the whole object.
    pub object_size: u64,
}

/// The headers of a presigned link's answer.
#[derive(Debug, Clone, Default)]
pub struct LinkHeaders {
    pub content_type: Option<String>,
    pub content_disposition: Option<String>,
    pub content_encoding: Option<String>,
}

impl LinkHeaders {
    /// A browser shows the log as text.
    pub fn text() -> Self {
        Self {
            content_type: Some("text/plain; charset=utf-8".to_owned()),
            content_disposition: Some("inline".to_owned()),
            content_encoding: Some("gzip".to_owned()),
        }
    }
}

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub key: String,
    /// In bytes.
    pub size: u64,
    /// When its current version was stored.
    pub modified: SystemTime,
}

/// The bytes of an object as they arrive.
pub type ObjectReader = Pin<Box<dyn AsyncRead + Send>>;

/// The checksum of a file, as [`Put`] takes it. It blocks while it reads the file.
///
/// # Errors
/// The file can't be read.
pub fn sha256_of(path: &Path) -> io::Result<[u8; 32]> {
    carry::may_block();
    sha256_from(&mut File::open(path)?)
}

fn sha256_from(file: &mut impl Read) -> io::Result<[u8; 32]> {
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 128 * 1024];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(digest.finalize().into());
        }
        digest.update(&buffer[..read]);
    }
}

impl Objects {
    /// The URI of an object in this store, whether it exists or not.
    ///
    /// # Errors
    /// The store can't hold a bucket or key of this name.
    pub fn uri(&self, bucket: &str, key: &str, version: Option<&str>) -> ObjectResult<ObjectUri> {
        match self {
            Self::S3(_) => ObjectUri::s3(bucket, key, version),
            Self::Folder(folder) => folder.uri(bucket, key, version),
        }
    }

    /// Stores the file at `path`, and returns only after the store confirmed size and checksum.
    ///
    /// # Errors
    /// The file is not the promised one, another object exists and may not be replaced, or the store does not
    /// confirm in bounded time. It may have stored the file all the same.
    pub async fn put_file(
        &self,
        bucket: &str,
        key: &str,
        path: &Path,
        put: &Put,
    ) -> ObjectResult<StoredObject> {
        match self {
            Self::S3(s3) => s3.put_file(bucket, key, path, put, false).await,
            Self::Folder(folder) => folder.put_file(bucket, key, path, put).await,
        }
    }

    /// As [`Self::put_file`], after an attempt that may have left an upload: what is up of it is not sent again. If this
    /// attempt fails too, the upload is left to the next one; on success other uploads of the key may be left.
    ///
    /// # Errors
    /// As [`Self::put_file`].
    pub async fn put_again(
        &self,
        bucket: &str,
        key: &str,
        path: &Path,
        put: &Put,
    ) -> ObjectResult<StoredObject> {
        match self {
            Self::S3(s3) => s3.put_file(bucket, key, path, put, true).await,
            Self::Folder(folder) => folder.put_file(bucket, key, path, put).await,
        }
    }

    /// The size of an existing object, and the version that a URI without one means now.
    ///
    /// # Errors
    /// It does not exist, or the store does not answer properly.
    pub async fn head(&self, uri: &ObjectUri) -> ObjectResult<StoredObject> {
        match self {
            Self::S3(s3) => s3.head(uri).await,
            Self::Folder(folder) => folder.head(uri).await,
        }
    }

    /// Some bytes of the object, in memory: the caller chooses a range that fits.
    ///
    /// # Errors
    /// It does not exist, or the store does not return exactly these bytes.
    pub async fn get_range(&self, uri: &ObjectUri, bytes: Bytes) -> ObjectResult<Chunk> {
        match self {
            Self::S3(s3) => s3.get_range(uri, bytes).await,
            Self::Folder(folder) => folder.get_range(uri, bytes).await,
        }
    }

    /// The whole object, as a stream. A cut stream ends in an error, never early.
    ///
    /// # Errors
    /// It does not exist, or the store does not answer.
    pub async fn open(&self, uri: &ObjectUri) -> ObjectResult<(StoredObject, ObjectReader)> {
        match self {
            Self::S3(s3) => s3.open_object(uri).await,
            Self::Folder(folder) => folder.open_object(uri).await,
        }
    }

    /// Writes the object to the file `to`, which is created or overwritten; not synced.
    ///
    /// # Errors
    /// It does not exist, does not arrive whole after several attempts, or the file can't be written.
    pub async fn download(&self, uri: &ObjectUri, to: &Path) -> ObjectResult<StoredObject> {
        match self {
            Self::S3(s3) => s3.download(uri, to).await,
            Self::Folder(folder) => folder.download(uri, to).await,
        }
    }

    /// Reads the whole object for its SHA-256.
    ///
    /// # Errors
    /// It does not exist, or does not arrive whole after several attempts.
    pub async fn digest(&self, uri: &ObjectUri) -> ObjectResult<(StoredObject, [u8; 32])> {
        match self {
            Self::S3(s3) => s3.digest(uri).await,
            Self::Folder(folder) => folder.digest(uri).await,
        }
    }

    /// Removes the version that the URI names; without one, hides the object and keeps its
    /// versions. Removing a missing one succeeds.
    ///
    /// # Errors
    /// When the store refuses or does not answer.
    pub async fn delete(&self, uri: &ObjectUri) -> ObjectResult<()> {
        match self {
            Self::S3(s3) => s3.delete(uri).await,
            Self::Folder(folder) => folder.delete(uri).await,
        }
    }

    /// A link that lets anybody read the object until it expires, in a week at most.
    ///
    /// # Errors
    /// When the store is a folder, or there are no credentials to sign with.
    pub async fn presign_get(
        &self,
        uri: &ObjectUri,
        expires: Duration,
        headers: LinkHeaders,
    ) -> ObjectResult<String> {
        match self {
            Self::S3(s3) => s3.presign_get(uri, expires, headers).await,
            Self::Folder(_) => Err(anyhow!("links need an S3 bucket: {uri} is in a folder").into()),
        }
    }

    /// The objects directly in a folder, named without its last slash. None where it does not exist.
    ///
    /// # Errors
    /// The store fails.
    pub async fn list_folder(&self, bucket: &str, folder: &str) -> ObjectResult<Vec<Listed>> {
        match self {
            Self::S3(s3) => s3.list_folder(bucket, folder).await,
            Self::Folder(store) => store.list_folder(bucket, folder).await,
        }
    }
}

/// An error about objects: callers act differently on each kind. Each is one line, and none holds a secret, a request id or an unescaped control character.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// A retry will not help until somebody stores it.
    #[error("{missing} not found: {name}")]
    NotFound { missing: Missing, name: String },
    #[error("access to {name} denied: {reason}")]
    Denied { name: String, reason: String },
    /// Anything else: the store is down, slow or full, or its answer is impossible.
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

/// What exactly is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    Bucket,
    Key,
    Version,
    /// It has ended.
    Upload,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bucket => "bucket",
            Self::Key => "object",
            Self::Version => "object version",
            Self::Upload => "upload",
        })
    }
}
