//! Listing the objects of one folder.

use std::time::SystemTime;

use super::error::S3Failure;
use super::{ObjectResult, S3};
use crate::objects::Listed;

impl S3 {
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
