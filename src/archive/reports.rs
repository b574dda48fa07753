//! The reports beside the log of a run: where a worker puts them, and whether one is there.
//!
//! No row names them, since they are an extra that `parselog report` makes at any time. Their keys follow from the
//! log's.

use anyhow::{Context as _, Result};

use crate::config::ReportFormat;
use crate::ids::{LogKey, report_key};
use crate::objects::{ObjectError, ObjectUri, Objects};
use crate::store::Run;

/// Where the reports of a run are, if there are any: one place for each form. Empty for a run that never began.
///
/// # Errors
/// Its bucket or key is none of this store.
pub(super) fn places(objects: &Objects, run: &Run) -> Result<Vec<ObjectUri>> {
    let Some(started) = run.started_at else { return Ok(Vec::new()) };
    let log_key = LogKey::new(&run.key, run.data_file_id, started, run.reparse_id, run.id);
    let place = |format: ReportFormat| {
        Ok(objects.uri(&run.bucket, &report_key(log_key.as_str(), format.extension()), None)?)
    };
    ReportFormat::ALL.into_iter().map(place).collect()
}

/// Where the stored report of a run is; `None` if there is none.
///
/// # Errors
/// The object store refuses or does not answer.
pub async fn stored_report(objects: &Objects, run: &Run) -> Result<Option<String>> {
    for place in places(objects, run)? {
        match objects.head(&place).await {
            Ok(stored) => return Ok(Some(stored.uri.to_string())),
            Err(ObjectError::NotFound { .. }) => {}
            Err(error) => return Err(error).context("failed to look for a report"),
        }
    }
    Ok(None)
}
