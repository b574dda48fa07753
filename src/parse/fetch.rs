//! Fetches a local copy of exactly the submitted bytes, or none.
//!
//! The first fetch fills in what the row does not know yet (version, size, hash, state); every later run of
//! the file must match it.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow};

use super::{LocalCopy, ParseJob, ParseTools, RunRow};
use crate::objects::{self, ObjectError, ObjectUri};
use crate::parser::tdp;
use crate::queue::Ending;
use crate::store::FirstSeen;
use crate::{carry, faults};

/// Why the fetch failed.
enum Refusal {
    Store(ObjectError),
    /// A passing failure.
    Failed(anyhow::Error),
    /// The object is not the submitted one, and a retry would not change that.
    Changed(String),
}

impl ParseTools {
    /// Returns a local copy of exactly the submitted bytes, or the run's ending.
    pub(super) async fn fetch(&self, job: &ParseJob, row: &impl RunRow) -> Result<LocalCopy, Ending> {
        let refusal = match self.fetch_submitted(job, row).await {
            Ok(copy) => return Ok(copy),
            Err(refusal) => refusal,
        };
        let (reason, retry) = match refusal {
            // Expired credentials are renewed; a missing object does not come back.
            Refusal::Store(error) => {
                let retry = !matches!(error, ObjectError::NotFound { .. });
                (format!("failed to fetch the submitted file: {:#}", anyhow!(error)), retry)
            }
            Refusal::Failed(error) => (format!("failed to fetch the submitted file: {error:#}"), true),
            Refusal::Changed(reason) => (reason, false),
        };
        Err(Ending::Fail { reason: self.redactor.redact(&reason).into_owned(), retry })
    }

    async fn fetch_submitted(&self, job: &ParseJob, row: &impl RunRow) -> Result<LocalCopy, Refusal> {
        let subject = &job.run;
        let version = Some(subject.object_version.as_str()).filter(|version| !version.is_empty());
        let uri = self.objects.uri(&job.head.bucket, &subject.key, version).map_err(Refusal::Store)?;
        let copy = LocalCopy::create(&self.scratch, subject.run, "submitted", &job.name)
            .context("failed to make a local copy")
            .map_err(Refusal::Failed)?;
        let stored = self.objects.download(&uri, &copy.path).await.map_err(Refusal::Store)?;
        faults::point("fetched");
        let seen = look(&copy.path, &stored, !job.has_state).await.map_err(Refusal::Failed)?;
        if let Some(difference) = difference(job, &seen) {
            return Err(Refusal::Changed(format!(
                "the stored file is not the one that was submitted: {difference}. Somebody replaced {uri} \
                 after it was submitted; submit it again"
            )));
        }
        if is_news(job, &seen) && !row.first_seen(&seen).await.map_err(Refusal::Failed)? {
            return Err(Refusal::Changed(format!(
                "nobody knows whether the stored file is the one that was submitted: {uri} was submitted \
                 again before it was first read, and neither submission names a version; submit it again"
            )));
        }
        if subject.reparse.is_some() && subject.object_version.is_empty() && job.sha256.is_none() {
            tracing::warn!("no earlier run noted which bytes it read: these may be others");
        }
        tracing::info!(bytes = stored.size, "fetched");
        Ok(copy)
    }
}

/// The fetched version; it takes the state from the header only if nobody named one.
async fn look(path: &Path, stored: &objects::StoredObject, and_state: bool) -> Result<FirstSeen> {
    let (path, uri) = (path.to_owned(), stored.uri.clone());
    let size = i64::try_from(stored.size).context("a size beyond what a row holds")?;
    carry::spawn_blocking(move || {
        let sha256 = objects::sha256_of(&path).context("failed to read the local copy")?;
        let identity = if and_state { tdp::identify(&path)? } else { None };
        Ok(FirstSeen {
            version_id: ObjectUri::version(&uri).unwrap_or_default().to_owned(),
            size_bytes: size,
            sha256,
            state: identity.and_then(|identity| identity.state),
        })
    })
    .await
    .context("looking at the local copy panicked")?
}

/// How the fetched bytes differ from the submitted ones.
fn difference(job: &ParseJob, seen: &FirstSeen) -> Option<String> {
    if let Some(size) = job.size_bytes.filter(|size| *size != seen.size_bytes) {
        return Some(format!("it has {} bytes instead of {size}", seen.size_bytes));
    }
    let same = job.sha256.is_none_or(|sha256| sha256 == seen.sha256);
    (!same).then(|| "it has as many bytes, but others (its SHA-256 differs)".to_owned())
}

/// Whether the row lacks some of it.
fn is_news(job: &ParseJob, seen: &FirstSeen) -> bool {
    job.sha256.is_none()
        || job.size_bytes.is_none()
        || job.run.object_version.is_empty() && !seen.version_id.is_empty()
        || !job.has_state && seen.state.is_some()
}
