//! Checks the object store: does every log belong to a run, did every upload end, was every submitted file queued?

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, SystemTime};

use anyhow::{Result, anyhow};
use chrono::Utc;

use super::{Doctor, Finding, FindingKind, Repair, UPLOAD_AGE};
use crate::ids::{LogKey, RunId, SUBMITTED, is_ours};
use crate::objects::{Listed, ObjectError};
use crate::store::{self, LogState, RunStatus};

impl Doctor {
    pub(super) async fn examine_objects(&self) -> Result<Vec<Finding>> {
        let folders = store::health::log_folders(&self.system.pool).await?;
        let mut findings = Vec::new();
        for place in &folders {
            let folder = LogKey::folder(&place.folder);
            let listed = match self.system.objects.list_folder(&place.bucket, &folder).await {
                // Its submissions are gone with it, and so are its logs: the rows tell.
                Err(ObjectError::NotFound { .. }) => continue,
                listed => listed.map_err(|error| anyhow!(error))?,
            };
            for page in listed.chunks(1000) {
                findings.extend(self.examine_page(&place.bucket, page).await?);
            }
        }
        let buckets: BTreeSet<&str> = folders.iter().map(|place| place.bucket.as_str()).collect();
        for bucket in buckets {
            findings.extend(self.examine_uploads(bucket, UPLOAD_AGE).await?);
        }
        Ok(findings)
    }

    async fn examine_page(&self, bucket: &str, page: &[Listed]) -> Result<Vec<Finding>> {
        let logs: Vec<(RunId, &str)> = page
            .iter()
            .filter_map(|object| Some((LogKey::run_of(&object.key)?, object.key.as_str())))
            .collect();
        let runs: Vec<RunId> = logs.iter().map(|(run, _)| *run).collect();
        let known: HashMap<_, _> = store::health::log_facts(&self.system.pool, &runs)
            .await?
            .into_iter()
            .map(|facts| (facts.id, facts))
            .collect();
        let recently = Utc::now() - self.grace;
        Ok(logs
            .into_iter()
            .filter_map(|(run, key)| {
                let mut repair = None;
                let what = match known.get(&run) {
                    None => "its run is not in the database".to_owned(),
                    Some(facts) if facts.log_state == LogState::Archived => return None,
                    Some(facts) if facts.log_state == LogState::Pruned => {
                        if facts.let_go_at.is_some_and(|at| at > recently) {
                            return None;
                        }
                        // A hold that came too late for the row keeps at least the bytes.
                        repair = (!facts.legal_hold).then_some(Repair::EndDeletion { run });
                        "its log was let go, and the deletion did not end".to_owned()
                    }
                    // It may be on its way to the row, now or when its spool file is swept.
                    Some(facts) if facts.finished_at.is_none_or(|at| at > recently) => return None,
                    Some(_) if self.system.spool.find(run).is_some() => return None,
                    Some(facts) => format!("its run's row says that the log is {}", facts.log_state),
                };
                let finding =
                    Finding::new(FindingKind::ObjectWithoutRow, Some(run), format!("{bucket}/{key}: {what}"));
                Some(match repair {
                    Some(repair) => finding.repaired_by(repair),
                    None => finding,
                })
            })
            .collect())
    }

    async fn examine_uploads(&self, bucket: &str, age: Duration) -> Result<Vec<Finding>> {
        let uploads = match self.system.objects.stale_uploads(bucket, "", age).await {
            Err(ObjectError::NotFound { .. }) => Vec::new(),
            uploads => uploads.map_err(|error| anyhow!(error))?,
        };
        let mut findings = Vec::new();
        // Other programs may use the bucket too.
        for upload in uploads.into_iter().filter(|upload| is_ours(&upload.key)) {
            let run = LogKey::run_of(&upload.key);
            // It has what the spool gave back, whatever the database knows.
            if run.is_some_and(|run| self.system.spool.has_given_back(run)) {
                continue;
            }
            // The archive of a running run's log goes up for as long as the run takes, and whoever takes the log over
            // completes it.
            if let Some(run) = run
                && let Some(row) = store::run::get(&self.system.pool, run).await?
                && (row.status == RunStatus::Running
                    || store::part::is_noted(&self.system.pool, run.into(), &upload.id).await?)
            {
                continue;
            }
            let what = format!("an upload of {bucket}/{} was never ended", upload.key);
            let repair = Repair::AbortUpload { bucket: bucket.to_owned(), upload };
            findings.push(Finding::new(FindingKind::StaleUpload, run, what).repaired_by(repair));
        }
        Ok(findings)
    }
}

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
