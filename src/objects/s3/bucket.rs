//! What S3 says of a bucket: whether it keeps versions, those of an object, and the objects of one folder.

use std::time::SystemTime;

use super::error::S3Failure;
use super::{ObjectResult, S3};
use crate::objects::{Listed, ObjectUri, Versions};

/// The version of an object that was stored while its bucket kept none.
const NO_VERSION: &str = "null";

impl S3 {
    pub(in crate::objects) async fn versions(&self, bucket: &str) -> ObjectResult<Versions> {
        use aws_sdk_s3::types::BucketVersioningStatus::{Enabled, Suspended};
        let request = self.client.get_bucket_versioning().bucket(bucket);
        let sent = request.customize().config_override(self.quick()).send().await;
        match sent.map_err(|error| S3Failure::of(&error)) {
            Ok(answer) => Ok(match answer.status {
                Some(Enabled) => Versions::Kept,
                Some(Suspended) => Versions::Suspended,
                _ => Versions::None,
            }),
            // Many servers know no such request, and many roles may not make it.
            Err(failure) if failure.is_refusal() => Ok(Versions::Unknown { reason: failure.reason() }),
            Err(failure) => Err(failure.named(&format!("s3://{bucket}"))),
        }
    }

    pub(in crate::objects) async fn list_folder(
        &self,
        bucket: &str,
        folder: &str,
    ) -> ObjectResult<Vec<Listed>> {
        let prefix = format!("{folder}/");
        let (mut found, mut more) = (Vec::new(), None);
        loop {
            let request = self.client.list_objects_v2().bucket(bucket).prefix(&prefix).delimiter("/");
            let sent =
                request.set_continuation_token(more).customize().config_override(self.quick()).send().await;
            let page =
                sent.map_err(|error| S3Failure::of(&error).named(&format!("s3://{bucket}/{prefix}")))?;
            for object in page.contents.unwrap_or_default() {
                if let (Some(key), Some(size), Some(modified)) =
                    (object.key, object.size, object.last_modified)
                {
                    let modified = SystemTime::try_from(modified).unwrap_or(SystemTime::UNIX_EPOCH);
                    found.push(Listed { key, size: u64::try_from(size).unwrap_or_default(), modified });
                }
            }
            more = page.next_continuation_token;
            if more.is_none() {
                return Ok(found);
            }
        }
    }

    pub(in crate::objects) async fn delete_others(
        &self,
        bucket: &str,
        key: &str,
        kept: Option<&ObjectUri>,
    ) -> ObjectResult<()> {
        if self.versions(bucket).await? == Versions::None {
            return match kept {
                Some(_) => Ok(()),
                None => self.delete(&ObjectUri::s3(bucket, key, None)?).await,
            };
        }
        let kept = kept.map(|kept| kept.version().unwrap_or(NO_VERSION));
        for version in self.versions_of(bucket, key).await? {
            if kept != Some(version.as_str()) {
                self.delete(&ObjectUri::s3(bucket, key, Some(&version))?).await?;
            }
        }
        Ok(())
    }

    /// All versions of an object, with the marks of deletions among them.
    async fn versions_of(&self, bucket: &str, key: &str) -> ObjectResult<Vec<String>> {
        let (mut found, mut next_key, mut next_version) = (Vec::new(), None, None);
        loop {
            let request = self.client.list_object_versions().bucket(bucket).prefix(key);
            let request = request.set_key_marker(next_key).set_version_id_marker(next_version);
            let sent = request.customize().config_override(self.quick()).send().await;
            let page = sent.map_err(|error| {
                S3Failure::of(&error).named(&format!("the versions of s3://{bucket}/{key}"))
            })?;
            let versions = page.versions.unwrap_or_default().into_iter().map(|is| (is.key, is.version_id));
            let marks = page.delete_markers.unwrap_or_default().into_iter().map(|is| (is.key, is.version_id));
            // Other keys may begin like this one.
            let of_key = versions.chain(marks).filter(|(name, _)| name.as_deref() == Some(key));
            found.extend(of_key.filter_map(|(_, version)| version));
            (next_key, next_version) = (page.next_key_marker, page.next_version_id_marker);
            if page.is_truncated != Some(true) || next_key.is_none() {
                return Ok(found);
            }
        }
    }
}
