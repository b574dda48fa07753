//! Puts files: one request for a small one, parts for a large one, and never a false success.
//!
//! S3 checks every request's bytes against their SHA-256; afterwards this file asks for the size and the
//! checksum of the stored object. If a server keeps no such checksum, it reads the object back. Every attempt
//! reads the body from the file again.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::{StreamExt, TryStreamExt, stream};
use sha2::{Digest, Sha256};

use super::confirm::{Claim, Promise};
use super::error::S3Failure;
use super::upload::promise;
use super::{S3, body, condition, metadata};
use crate::objects::{ObjectResult, ObjectUri, PartSizes, Put, StoredObject, Upload, UploadedPart};
use crate::{carry, faults};

const MIN_PART: u64 = 5 << 20;
const MAX_PARTS: u16 = 10_000;
/// S3's own limit of a put in one request.
const MAX_SINGLE: u64 = 5 << 30;

/// An upload that somebody left, and the parts that are up of it.
type LeftUpload = (Upload, Vec<UploadedPart>);

impl S3 {
    /// The upload of this key that somebody left, with its parts; of several the newest. `None` also where the store
    /// does not say: then all parts are sent.
    async fn left_upload(&self, bucket: &str, key: &str) -> Option<LeftUpload> {
        let left = self.stale_uploads(bucket, key, Duration::ZERO).await.ok()?;
        let newest = left.into_iter().filter(|upload| upload.key == key).max_by_key(|upload| upload.started);
        let upload = newest?.named(bucket);
        let parts = self.parts(&upload).await.ok()?;
        Some((upload, parts))
    }

    /// With `goes_on` after an attempt that may have left an upload.
    pub(in crate::objects) async fn put_file(
        &self,
        bucket: &str,
        key: &str,
        path: &Path,
        put: &Put,
        goes_on: bool,
    ) -> ObjectResult<StoredObject> {
        let uri = ObjectUri::s3(bucket, key, None)?;
        let doing = || format!("failed to read {}", path.display());
        let size = tokio::fs::metadata(path).await.with_context(doing)?.len();
        let sizes = self.part_sizes();
        if size <= sizes.above {
            let (bucket, key) = (bucket.to_owned(), key.to_owned());
            let checksum = Some(BASE64.encode(put.sha256));
            let promise = Promise { bucket, key, uri, size, sha256: put.sha256, checksum };
            let claim = self.put_whole(&promise, path, put).await?;
            return self.confirm(&promise, claim).await;
        }
        let part_size = sizes.each.max(size.div_ceil(sizes.most.into()));
        let (digests, sha256) = hash_parts(path.to_owned(), part_size).await.with_context(doing)?;
        if sha256 != put.sha256 {
            return Err(anyhow!("{} is not the file that was promised", path.display()).into());
        }
        let left = if goes_on { self.left_upload(bucket, key).await } else { None };
        let was_left = left.is_some();
        let (upload, there) = match left {
            Some(left) => left,
            None => (self.begin_upload(bucket, key, put).await?, Vec::new()),
        };
        let parts = self.send_parts(&upload, path, size, part_size, digests, &there).await;
        let done = match &parts {
            Ok(parts) => {
                faults::point("parts-uploaded");
                self.end_upload(&upload, parts, put).await
            }
            Err(_) => Ok(None),
        };
        // The next attempt goes on with what was left, unless it can't be completed.
        let stays_left = was_left && parts.is_err();
        if !matches!(done, Ok(Some(_)))
            && !stays_left
            && let Err(error) = self.abort_upload(&upload).await
        {
            tracing::warn!(%error, "failed to abort an upload, which holds space until it is swept");
        }
        let promise = promise(&upload, &parts?, put)?;
        self.confirm(&promise, done?.unwrap_or_default()).await
    }

    pub(in crate::objects) fn part_sizes(&self) -> PartSizes {
        PartSizes {
            above: self.options.multipart_threshold.min(MAX_SINGLE),
            each: self.options.part_size.max(MIN_PART),
            most: MAX_PARTS,
        }
    }

    async fn put_whole(&self, promise: &Promise, path: &Path, put: &Put) -> ObjectResult<Claim> {
        let (encryption, kms_key) = self.encryption();
        let request = self
            .client
            .put_object()
            .bucket(&promise.bucket)
            .key(&promise.key)
            .body(body(path, 0, promise.size).await?)
            .set_checksum_sha256(promise.checksum.clone())
            .content_type(put.content_type)
            .set_metadata(Some(metadata(put)))
            .set_server_side_encryption(encryption)
            .set_ssekms_key_id(kms_key)
            .set_if_none_match(condition(put));
        let sent = request.customize().config_override(self.bounded(promise.size)).send().await;
        match sent.map_err(|error| S3Failure::of(&error)) {
            Ok(done) => Ok(Claim::of(done.version_id, done.checksum_sha256)),
            Err(failure) if failure.is_conflict() => Ok(Claim::default()),
            Err(failure) => Err(failure.named(&promise.uri.to_string())),
        }
    }

    async fn send_parts(
        &self,
        upload: &Upload,
        path: &Path,
        size: u64,
        part_size: u64,
        digests: Vec<[u8; 32]>,
        there: &[UploadedPart],
    ) -> ObjectResult<Vec<UploadedPart>> {
        // Owned digests: a closure over borrowed ones would make a future that is not `Send`.
        let parts = digests.into_iter().zip(1_u16..).map(|(digest, number)| {
            let begin = u64::from(number - 1) * part_size;
            let bytes = begin..(begin + part_size).min(size);
            let is_it = |part: &&UploadedPart| {
                (part.number, part.size, part.sha256) == (number, bytes.end - begin, Some(digest))
            };
            let is_there = there.iter().find(is_it).cloned();
            async move {
                match is_there {
                    Some(part) => Ok(part),
                    None => self.send_part(upload, number, path, bytes, digest).await,
                }
            }
        });
        stream::iter(parts).buffered(self.options.parts_at_once.max(1)).try_collect().await
    }
}

/// The SHA-256 of each part, and of the whole file.
async fn hash_parts(path: PathBuf, part_size: u64) -> anyhow::Result<(Vec<[u8; 32]>, [u8; 32])> {
    let work = move || {
        let mut file = File::open(path)?;
        let (mut digests, mut whole) = (Vec::new(), Sha256::new());
        let mut buffer = vec![0; 128 << 10];
        loop {
            let (mut part, mut left) = (Sha256::new(), part_size);
            while left > 0 {
                let most = buffer.len().min(left as usize);
                let read = file.read(&mut buffer[..most])?;
                if read == 0 {
                    break;
                }
                part.update(&buffer[..read]);
                whole.update(&buffer[..read]);
                left -= read as u64;
            }
            if left < part_size {
                digests.push(part.finalize().into());
            }
            if left > 0 {
                return Ok((digests, whole.finalize().into()));
            }
        }
    };
    carry::spawn_blocking(work).await?
}
