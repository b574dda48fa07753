//! What S3 says of a bucket: whether it keeps versions, and the objects of one folder.

use std::time::SystemTime;

use super::error::S3Failure;
use super::{ObjectResult, S3};
use crate::objects::{Listed, Versions};

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
}
