//! Checks the folders of submitted files: was every file queued?

use std::time::SystemTime;

use anyhow::{Result, anyhow};

use super::{Doctor, Finding, FindingKind};
use crate::ids::SUBMITTED;
use crate::objects::ObjectError;
use crate::store;

impl Doctor {
    /// Files that `parselog submit` stored before it died. This checks where anything was queued from; in the
    /// folders of other programs, files lie before they are queued, or for other ends.
    pub(super) async fn examine_submissions(&self) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        let recently = SystemTime::now() - self.grace;
        for place in store::health::log_folders(&self.system.pool).await? {
            if place.folder.split('/').next() != Some(SUBMITTED) {
                continue;
            }
            let listed = match self.system.objects.list_folder(&place.bucket, &place.folder).await {
                Err(ObjectError::NotFound { .. }) => continue,
                listed => listed.map_err(|error| anyhow!(error))?,
            };
            let old = listed.iter().filter(|object| object.modified < recently);
            let keys: Vec<&str> = old.map(|object| object.key.as_str()).collect();
            for page in keys.chunks(1000) {
                let never = store::data_file::never_submitted(&self.system.pool, &place.bucket, page).await?;
                findings.extend(never.into_iter().map(|key| {
                    let what = format!("{}/{key} was stored and never queued: submit it again", place.bucket);
                    Finding::new(FindingKind::SubmissionWithoutRow, None, what)
                }));
            }
        }
        Ok(findings)
    }
}
