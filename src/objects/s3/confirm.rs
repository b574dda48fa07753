//! Asks S3 what it has after a put, and believes only that.

use anyhow::{Context, anyhow};
use aws_sdk_s3::types::ChecksumMode;

use super::S3;
use super::error::S3Failure;
use crate::objects::{ObjectResult, ObjectUri, StoredObject};

/// What must be there.
pub(super) struct Promise {
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) uri: ObjectUri,
    pub(super) size: u64,
    /// Of all bytes.
    pub(super) sha256: [u8; 32],
    /// As S3 gives it, of a whole object or of parts; none where it is not known.
    pub(super) checksum: Option<String>,
}

/// What the answer to a finished put claims. Nothing where the answer was that an object is there
/// already, which may be what an earlier try left whose answer was lost.
#[derive(Default)]
pub(super) struct Claim {
    sent: bool,
    version: Option<String>,
    sha256: Option<String>,
}

impl Claim {
    pub(super) fn of(version: Option<String>, sha256: Option<String>) -> Self {
        Self { sent: true, version, sha256 }
    }
}

impl S3 {
    pub(super) async fn confirm(&self, promise: &Promise, claim: Claim) -> ObjectResult<StoredObject> {
        let promised = promise.checksum.as_deref();
        let claims_same =
            claim.sha256.as_deref().is_none_or(|claimed| promised.is_none_or(|is| is == claimed));
        let found = self.find(promise, claim.version).await.context("the put could not be confirmed")?;
        if let Some(stored) = found.filter(|_| claims_same) {
            return Ok(stored);
        }
        let problem = if claim.sent {
            "S3 did not store the bytes that were sent"
        } else {
            "another object is already there"
        };
        Err(anyhow!("{problem}: {}", promise.uri).into())
    }

    /// What is there, if it is what was promised.
    pub(super) async fn find(
        &self,
        promise: &Promise,
        version: Option<String>,
    ) -> ObjectResult<Option<StoredObject>> {
        let Promise { bucket, key, uri, size, .. } = promise;
        let request = self.client.head_object().bucket(bucket).key(key);
        let request = request.set_version_id(version.clone()).checksum_mode(ChecksumMode::Enabled);
        let head = request.customize().config_override(self.quick()).send().await;
        let head = head.map_err(|error| S3Failure::of(&error).named(&uri.to_string()))?;

        let same_size = head.content_length.and_then(|size| u64::try_from(size).ok()) == Some(*size);
        let version = head.version_id.as_deref().or(version.as_deref());
        let there = ObjectUri::s3(bucket, key, version)?;
        let same_bytes = match (head.checksum_sha256(), promise.checksum.as_deref()) {
            (Some(kept), Some(promised)) => kept == promised,
            _ => same_size && self.read_back(&there).await? == promise.sha256,
        };
        Ok((same_size && same_bytes).then_some(StoredObject { uri: there, size: *size }))
    }

    /// The SHA-256 of what a server has that keeps none itself.
    async fn read_back(&self, uri: &ObjectUri) -> ObjectResult<[u8; 32]> {
        self.told_of_no_sha256.call_once(|| {
            tracing::warn!("the object store keeps no SHA-256: each put is confirmed by reading it back");
        });
        Ok(self.digest(uri).await?.1)
    }
}
