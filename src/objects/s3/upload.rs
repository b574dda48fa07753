//! Multipart uploads: one request for each step, and the check of a completed upload.

use std::ops::Range;
use std::path::Path;

use anyhow::Context;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha256};

use super::confirm::{Claim, Promise};
use super::error::S3Failure;
use super::{S3, body, condition, metadata};
use crate::faults;
use crate::objects::upload::sha256_within;
use crate::objects::{
    Missing, ObjectError, ObjectResult, ObjectUri, Put, StoredObject, Upload, UploadedPart,
};

impl S3 {
    pub(in crate::objects) async fn begin_upload(
        &self,
        bucket: &str,
        key: &str,
        put: &Put,
    ) -> ObjectResult<Upload> {
        let uri = ObjectUri::s3(bucket, key, None)?;
        let (encryption, kms_key) = self.encryption();
        let request = self
            .client
            .create_multipart_upload()
            .bucket(bucket)
            .key(key)
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .checksum_type(ChecksumType::Composite)
            .content_type(put.content_type)
            .set_metadata(Some(metadata(put)))
            .set_server_side_encryption(encryption)
            .set_ssekms_key_id(kms_key);
        let begun = request.customize().config_override(self.bounded(0)).send().await;
        let begun = begun.map_err(|error| S3Failure::of(&error).named(&uri.to_string()))?;
        faults::point("upload-begun");
        let id = begun.upload_id.with_context(|| format!("S3 began no upload of {uri}"))?;
        Ok(Upload { bucket: bucket.to_owned(), key: key.to_owned(), id })
    }

    pub(in crate::objects) async fn upload_part(
        &self,
        upload: &Upload,
        number: u16,
        file: &Path,
        bytes: Range<u64>,
    ) -> ObjectResult<UploadedPart> {
        let digest = sha256_within(file, bytes.clone()).await?;
        self.send_part(upload, number, file, bytes, digest).await
    }

    /// Sends a range of a file with a known SHA-256; every attempt reads it from the file again.
    pub(super) async fn send_part(
        &self,
        upload: &Upload,
        number: u16,
        file: &Path,
        bytes: Range<u64>,
        digest: [u8; 32],
    ) -> ObjectResult<UploadedPart> {
        let size = bytes.end - bytes.start;
        let request = self
            .client
            .upload_part()
            .bucket(&upload.bucket)
            .key(&upload.key)
            .upload_id(&upload.id)
            .part_number(number.into())
            .body(body(file, bytes.start, size).await?)
            .checksum_sha256(BASE64.encode(digest));
        let sent = request.customize().config_override(self.bounded(size)).send().await;
        let sent = sent.map_err(|error| S3Failure::of(&error).named(&name(upload)))?;
        Ok(UploadedPart { number, size, sha256: Some(digest), etag: sent.e_tag })
    }

    pub(in crate::objects) async fn parts(&self, upload: &Upload) -> ObjectResult<Vec<UploadedPart>> {
        let (mut found, mut more) = (Vec::new(), None);
        loop {
            let request = self.client.list_parts().bucket(&upload.bucket).key(&upload.key);
            let request = request.upload_id(&upload.id).set_part_number_marker(more);
            let page = request.customize().config_override(self.quick()).send().await;
            let page = page.map_err(|error| S3Failure::of(&error).named(&name(upload)))?;
            for part in page.parts.unwrap_or_default() {
                let number = part.part_number.and_then(|number| u16::try_from(number).ok());
                let size = part.size.and_then(|size| u64::try_from(size).ok());
                if let (Some(number), Some(size)) = (number, size) {
                    let sha256 =
                        part.checksum_sha256.and_then(|text| BASE64.decode(text).ok()?.try_into().ok());
                    found.push(UploadedPart { number, size, sha256, etag: part.e_tag });
                }
            }
            more = page.next_part_number_marker;
            if page.is_truncated != Some(true) || more.is_none() {
                return Ok(found);
            }
        }
    }

    pub(in crate::objects) async fn complete_upload(
        &self,
        upload: &Upload,
        parts: &[UploadedPart],
        put: &Put,
    ) -> ObjectResult<StoredObject> {
        let (claim, promise) = (self.end_upload(upload, parts, put).await?, promise(upload, parts, put)?);
        if claim.is_none() {
            self.abort_upload(upload).await?;
        }
        self.confirm(&promise, claim.unwrap_or_default()).await
    }

    pub(in crate::objects) async fn ended_with(
        &self,
        upload: &Upload,
        parts: &[UploadedPart],
        put: &Put,
    ) -> ObjectResult<Option<StoredObject>> {
        match self.find(&promise(upload, parts, put)?, None).await {
            Err(ObjectError::NotFound { missing: Missing::Key, .. }) => Ok(None),
            found => found,
        }
    }

    /// Ends an upload; `None` if an object already exists, or the upload has ended before.
    pub(super) async fn end_upload(
        &self,
        upload: &Upload,
        parts: &[UploadedPart],
        put: &Put,
    ) -> ObjectResult<Option<Claim>> {
        let parts = parts.iter().map(|part| {
            let sha256 = part.sha256.map(|digest| BASE64.encode(digest));
            let named = CompletedPart::builder().part_number(part.number.into());
            named.set_e_tag(part.etag.clone()).set_checksum_sha256(sha256).build()
        });
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.collect())).build();
        let request = self
            .client
            .complete_multipart_upload()
            .bucket(&upload.bucket)
            .key(&upload.key)
            .upload_id(&upload.id)
            .checksum_type(ChecksumType::Composite)
            .multipart_upload(parts)
            .set_if_none_match(condition(put));
        let sent = request.customize().config_override(self.bounded(0)).send().await;
        match sent.map_err(|error| S3Failure::of(&error)) {
            Ok(done) => Ok(Some(Claim::of(done.version_id, done.checksum_sha256))),
            Err(failure) if failure.is_conflict() || failure.is_ended() => Ok(None),
            Err(failure) => Err(failure.named(&name(upload))),
        }
    }

    pub(in crate::objects) async fn abort_upload(&self, upload: &Upload) -> ObjectResult<()> {
        let request = self.client.abort_multipart_upload().bucket(&upload.bucket).key(&upload.key);
        let sent = request.upload_id(&upload.id).customize().config_override(self.quick()).send().await;
        match sent.map_err(|error| S3Failure::of(&error)) {
            Err(failure) if !failure.is_ended() => Err(failure.named(&name(upload))),
            _ => Ok(()),
        }
    }
}

/// The checksum that S3 must have for a completed upload: that of the parts' checksums.
pub(super) fn promise(upload: &Upload, parts: &[UploadedPart], put: &Put) -> ObjectResult<Promise> {
    let digests: Option<Vec<[u8; 32]>> = parts.iter().map(|part| part.sha256).collect();
    let composite =
        digests.map(|all| format!("{}-{}", BASE64.encode(Sha256::digest(all.concat())), all.len()));
    Ok(Promise {
        bucket: upload.bucket.clone(),
        key: upload.key.clone(),
        uri: ObjectUri::s3(&upload.bucket, &upload.key, None)?,
        size: parts.iter().map(|part| part.size).sum(),
        sha256: put.sha256,
        checksum: composite,
    })
}

fn name(upload: &Upload) -> String {
    ObjectUri::s3(&upload.bucket, &upload.key, None)
        .map_or_else(|_| upload.key.clone(), |uri| uri.to_string())
}
