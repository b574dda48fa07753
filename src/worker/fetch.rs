//! Fetches a local copy of exactly the submitted bytes, or none.
//!
//! The first fetch fills in what the row does not know yet (version, size, hash, state); every later run of
//! the file must match it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};

use super::Worker;
use super::scratch::LocalCopy;
use crate::objects::{self, ObjectError, ObjectUri};
use crate::parser::tdp;
use crate::queue::Ending;
use crate::store::{self, FirstSeen, Run};
use crate::{carry, faults};

/// Seconds between attempts to update the row while the database does not answer.
const NOTE_PAUSES: [u64; 7] = [1, 2, 4, 8, 15, 30, 60];

/// Why the fetch failed.
enum Refusal {
    Store(ObjectError),
    /// A passing failure.
    Failed(anyhow::Error),
    /// The object is not the submitted one, and a retry would not change that.
    Changed(String),
}

impl Worker {
    /// A local copy of exactly the submitted bytes, else the run's ending.
    pub(super) async fn fetch(&self, run: &Run) -> Result<LocalCopy, Ending> {
        let refusal = match self.fetch_submitted(run).await {
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
        Err(Ending::Fail { reason: self.system.redactor.redact(&reason).into_owned(), retry })
    }

    async fn fetch_submitted(&self, run: &Run) -> Result<LocalCopy, Refusal> {
        let version = Some(run.version_id.as_str()).filter(|version| !version.is_empty());
        let uri = self.system.objects.uri(&run.bucket, &run.key, version).map_err(Refusal::Store)?;
        let copy = LocalCopy::create(&self.system.scratch, run.id, "submitted")
            .context("failed to make a local copy")
            .map_err(Refusal::Failed)?;
        let stored = self.system.objects.download(&uri, &copy.path).await.map_err(Refusal::Store)?;
        faults::point("fetched");
        let seen = look(&copy.path, &stored, run.state.is_none()).await.map_err(Refusal::Failed)?;
        if let Some(difference) = difference(run, &seen) {
            return Err(Refusal::Changed(format!(
                "the stored file is not the one that was submitted: {difference}. Somebody replaced {uri} \
                 after it was submitted; submit it again"
            )));
        }
        if is_news(run, &seen) && !self.note(run, &seen).await.map_err(Refusal::Failed)? {
            return Err(Refusal::Changed(format!(
                "nobody knows whether the stored file is the one that was submitted: {uri} was submitted \
                 again before it was first read, and neither submission names a version; submit it again"
            )));
        }
        if run.reparse_id.is_some() && run.version_id.is_empty() && run.sha256.is_none() {
            tracing::warn!("no earlier run noted which bytes it read: these may be others");
        }
        tracing::info!(bytes = stored.size, "fetched");
        Ok(copy)
    }

    /// Writes the fetched version on the row; false if a later submission may have put it there.
    async fn note(&self, run: &Run, seen: &FirstSeen) -> Result<bool> {
        for seconds in NOTE_PAUSES {
            match store::data_file::first_seen(&self.system.pool, run.data_file_id, seen).await {
                Err(error) => {
                    tracing::warn!(run = %run.id, "what was fetched is not on the row yet: {error:#}");
                    tokio::time::sleep(Duration::from_secs(seconds)).await;
                }
                noted => return noted,
            }
        }
        store::data_file::first_seen(&self.system.pool, run.data_file_id, seen).await
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
fn difference(run: &Run, seen: &FirstSeen) -> Option<String> {
    if let Some(size) = run.size_bytes.filter(|size| *size != seen.size_bytes) {
        return Some(format!("it has {} bytes instead of {size}", seen.size_bytes));
    }
    let same = run.sha256.is_none_or(|sha256| sha256 == seen.sha256);
    (!same).then(|| "it has as many bytes, but others (its SHA-256 differs)".to_owned())
}

/// Whether the row lacks some of it.
fn is_news(run: &Run, seen: &FirstSeen) -> bool {
    run.sha256.is_none()
        || run.size_bytes.is_none()
        || run.version_id.is_empty() && !seen.version_id.is_empty()
        || run.state.is_none() && seen.state.is_some()
}
