//! Puts files: one request for a small one, parts for a large one, and never a false success.
//!
//! S3 checks every request's bytes against their SHA-256, and afterwards is asked for the size
//! and the checksum of what it stored. What a server stored that keeps no such checksum is read back
//! instead. Bodies are read from the file again at every try.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use aws_sdk_s3::primitives::{ByteStream, Length};
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, ChecksumType, CompletedMultipartUpload, CompletedPart,
    ServerSideEncryption,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::{StreamExt, TryStreamExt, stream};
use sha2::{Digest, Sha256};

use super::error::Failure;
use super::{Encryption, S3};
use crate::objects::{ObjectError, ObjectUri, Put, Result, Stored};
use crate::{carry, faults};

const MIN_PART: u64 = 5 << 20;
const MAX_PARTS: u64 = 10_000;
/// S3's own limit of a put in one request.
const MAX_SINGLE: u64 = 5 << 30;

impl S3 {
    pub(in crate::objects) async fn put_file(
        &self,
        bucket: &str,
        key: &str,
        path: &Path,
        put: &Put,
    ) -> Result<Stored> {
        let uri = ObjectUri::s3(bucket, key, None)?;
        let doing = || format!("failed to read {}", path.display());
        let size = tokio::fs::metadata(path).await.with_context(doing)?.len();
        let upload = Upload { s3: self, bucket, key, uri, path, size, put };

        if size <= self.options.multipart_threshold.min(MAX_SINGLE) {
            let expected = BASE64.encode(put.sha256);
            let claim = upload.whole(&expected).await?;
            return upload.confirm(claim, &expected).await;
        }
        let (digests, sha256) = hash_parts(path.to_owned(), upload.part_size()).await.with_context(doing)?;
        if sha256 != put.sha256 {
            return Err(anyhow!("{} is not the file that was promised", path.display()).into());
        }
        let expected = format!("{}-{}", BASE64.encode(Sha256::digest(digests.concat())), digests.len());
        let claim = upload.in_parts(&digests).await?;
        upload.confirm(claim, &expected).await
    }
}

/// One file on its way up.
struct Upload<'a> {
    s3: &'a S3,
    bucket: &'a str,
    key: &'a str,
    uri: ObjectUri,
    path: &'a Path,
    size: u64,
    put: &'a Put,
}

/// What the answer to a finished put claims. Nothing where the answer was that an object is there
/// already, which may be what an earlier try left whose answer was lost.
#[derive(Default)]
struct Claim {
    sent: bool,
    version: Option<String>,
    sha256: Option<String>,
}

impl Claim {
    fn of(version: Option<String>, sha256: Option<String>) -> Self {
        Self { sent: true, version, sha256 }
    }
}

impl Upload<'_> {
    async fn whole(&self, sha256: &str) -> Result<Claim> {
        let (encryption, kms_key) = self.encryption();
        let request = self
            .s3
            .client
            .put_object()
            .bucket(self.bucket)
            .key(self.key)
            .body(self.body(0, self.size).await?)
            .checksum_sha256(sha256)
            .content_type(self.put.content_type)
            .set_metadata(Some(self.metadata()))
            .set_server_side_encryption(encryption)
            .set_ssekms_key_id(kms_key)
            .set_if_none_match(self.condition());
        let sent = request.customize().config_override(self.s3.bounded(self.size)).send().await;
        match sent.map_err(|error| Failure::of(&error)) {
            Ok(done) => Ok(Claim::of(done.version_id, done.checksum_sha256)),
            Err(failure) if failure.is_conflict() => Ok(Claim::default()),
            Err(failure) => Err(self.failed(failure)),
        }
    }

    async fn in_parts(&self, digests: &[[u8; 32]]) -> Result<Claim> {
        let (encryption, kms_key) = self.encryption();
        let request = self
            .s3
            .client
            .create_multipart_upload()
            .bucket(self.bucket)
            .key(self.key)
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .checksum_type(ChecksumType::Composite)
            .content_type(self.put.content_type)
            .set_metadata(Some(self.metadata()))
            .set_server_side_encryption(encryption)
            .set_ssekms_key_id(kms_key);
        let begun = request.customize().config_override(self.s3.bounded(0)).send().await;
        let begun = begun.map_err(|error| self.failed(Failure::of(&error)))?;
        faults::point("upload-begun");
        let id = begun.upload_id.with_context(|| format!("S3 began no upload of {}", self.uri))?;

        // Owned digests: a closure over borrowed ones would make a future that is not `Send`.
        let parts = digests.iter().copied().zip(1..).map(|(digest, number)| self.part(&id, number, digest));
        let parts = stream::iter(parts).buffered(self.s3.options.parts_at_once.max(1)).try_collect().await;
        let done = match parts {
            Ok(parts) => {
                faults::point("parts-uploaded");
                self.complete(&id, parts).await
            }
            Err(error) => Err(error),
        };
        if !matches!(done, Ok(Some(_)))
            && let Err(error) = self.s3.abort_upload(self.bucket, self.key, &id).await
        {
            tracing::warn!(%error, "failed to abort an upload, which holds space until it is swept");
        }
        Ok(done?.unwrap_or_default())
    }

    async fn part(&self, id: &str, number: u16, digest: [u8; 32]) -> Result<CompletedPart> {
        let offset = u64::from(number - 1) * self.part_size();
        let length = self.part_size().min(self.size - offset);
        let sha256 = BASE64.encode(digest);
        let request = self
            .s3
            .client
            .upload_part()
            .bucket(self.bucket)
            .key(self.key)
            .upload_id(id)
            .part_number(number.into())
            .body(self.body(offset, length).await?)
            .checksum_sha256(&sha256);
        let sent = request.customize().config_override(self.s3.bounded(length)).send().await;
        let sent = sent.map_err(|error| self.failed(Failure::of(&error)))?;
        let part = CompletedPart::builder().part_number(number.into()).set_e_tag(sent.e_tag);
        Ok(part.checksum_sha256(sha256).build())
    }

    /// Ends an upload; `None` where an object is there already, or the upload has ended before.
    async fn complete(&self, id: &str, parts: Vec<CompletedPart>) -> Result<Option<Claim>> {
        let request = self
            .s3
            .client
            .complete_multipart_upload()
            .bucket(self.bucket)
            .key(self.key)
            .upload_id(id)
            .checksum_type(ChecksumType::Composite)
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build())
            .set_if_none_match(self.condition());
        let sent = request.customize().config_override(self.s3.bounded(0)).send().await;
        match sent.map_err(|error| Failure::of(&error)) {
            Ok(done) => Ok(Some(Claim::of(done.version_id, done.checksum_sha256))),
            Err(failure) if failure.is_conflict() || failure.is_ended() => Ok(None),
            Err(failure) => Err(self.failed(failure)),
        }
    }

    /// Asks S3 what it has, and believes only that.
    async fn confirm(&self, claim: Claim, sha256: &str) -> Result<Stored> {
        let request = self.s3.client.head_object().bucket(self.bucket).key(self.key);
        let request = request.set_version_id(claim.version.clone()).checksum_mode(ChecksumMode::Enabled);
        let head = request.customize().config_override(self.s3.quick()).send().await;
        let head = head.map_err(|error| self.failed(Failure::of(&error)));
        let head = head.context("the put could not be confirmed")?;

        let same_size = head.content_length.and_then(|size| u64::try_from(size).ok()) == Some(self.size);
        let version = head.version_id.as_deref().or(claim.version.as_deref());
        let uri = ObjectUri::s3(self.bucket, self.key, version)?;
        let same_bytes = match head.checksum_sha256() {
            Some(kept) => kept == sha256,
            None => same_size && self.read_back(&uri).await? == self.put.sha256,
        };
        if same_size && same_bytes && claim.sha256.as_deref().is_none_or(|claimed| claimed == sha256) {
            return Ok(Stored { uri, size: self.size });
        }
        let problem = if claim.sent {
            "S3 did not store the bytes that were sent"
        } else {
            "another object is already there"
        };
        Err(anyhow!("{problem}: {}", self.uri).into())
    }

    /// The SHA-256 of what a server has that keeps none itself.
    async fn read_back(&self, uri: &ObjectUri) -> Result<[u8; 32]> {
        self.s3.told_of_no_sha256.call_once(|| {
            tracing::warn!("the object store keeps no SHA-256: each put is confirmed by reading it back");
        });
        Ok(self.s3.digest(uri).await?.1)
    }

    fn failed(&self, failure: Failure) -> ObjectError {
        failure.named(&self.uri.to_string())
    }

    /// Bytes of each part but the last.
    fn part_size(&self) -> u64 {
        self.s3.options.part_size.max(MIN_PART).max(self.size.div_ceil(MAX_PARTS))
    }

    /// Some bytes of the file, read again from it at every try.
    async fn body(&self, offset: u64, length: u64) -> anyhow::Result<ByteStream> {
        let body = ByteStream::read_from().path(self.path).offset(offset).length(Length::Exact(length));
        body.build().await.with_context(|| format!("failed to read {}", self.path.display()))
    }

    fn condition(&self) -> Option<String> {
        self.put.if_none_match.then(|| "*".to_owned())
    }

    fn metadata(&self) -> HashMap<String, String> {
        self.put.metadata.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    }

    fn encryption(&self) -> (Option<ServerSideEncryption>, Option<String>) {
        match &self.s3.options.encryption {
            Encryption::None => (None, None),
            Encryption::Aes256 => (Some(ServerSideEncryption::Aes256), None),
            Encryption::Kms { key_id } => (Some(ServerSideEncryption::AwsKms), key_id.clone()),
        }
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
