//! Whether a bucket keeps versions.

use super::error::S3Failure;
use super::{ObjectResult, S3};
use crate::objects::Versions;

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
}
