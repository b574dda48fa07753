//! Deletes the stored objects of a run, its log and its reports, and segments of streams.
//!
//! The row lets the log go first, so that it never names a missing object. A crash in between leaves objects
//! without a row. The log goes last: as long as anything is left, the doctor finds the log. Repeating it is
//! safe.

use anyhow::{Context, Result};

use super::reports;
use crate::faults;
use crate::ids::{LogId, LogKey, composed_key, fuller_key};
use crate::objects::{ObjectError, ObjectUri, Objects};
use crate::store::{Run, retention};
use crate::system::System;

/// Whether there was a log to delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    Yes,
    WasGone,
}

/// Deletes the stored objects of a run. `uri` is the one that its row had; without it, this deletes
/// everything under the log's key.
///
/// # Errors
/// The object store refuses or does not answer; some of it may be gone by then.
pub async fn remove(objects: &Objects, run: &Run, uri: Option<&str>) -> Result<Removed> {
    let Some(started) = run.started_at else { return Ok(Removed::WasGone) };
    let log_key = LogKey::new(&run.key, run.data_file_id, started, run.reparse_id, run.id);
    for place in reports::places(objects, run)? {
        let deleted = delete_current(objects, &place).await;
        deleted.with_context(|| format!("failed to delete a report on run {}", run.id))?;
    }
    faults::point("let-go-reports-deleted");
    let own = objects.uri(&run.bucket, log_key.as_str(), None)?;
    let composed = objects.uri(&run.bucket, &composed_key(log_key.as_str()), None)?;
    let fuller = objects.uri(&run.bucket, &fuller_key(log_key.as_str()), None)?;
    let log: ObjectUri = uri.map_or_else(|| Ok(own.clone()), str::parse)?;
    let failed = || format!("failed to delete the log of run {}", run.id);
    // While its machine was away, another may have archived what had left it.
    for other in [own, composed, fuller].into_iter().filter(|other| !log.is_same_object(other)) {
        delete_current(objects, &other).await.with_context(failed)?;
    }
    let removed = delete_current(objects, &log).await.with_context(failed)?;
    faults::point("let-go-log-deleted");
    Ok(removed)
}

/// Lets an archived segment of a stream go, the row first, then deletes it; false if it is gone already.
///
/// # Errors
/// The database or the object store fails.
pub async fn remove_segment(system: &System, segment: LogId, by: &str, reason: &str) -> Result<bool> {
    let Some(uri) = retention::let_segment_go(&system.pool, segment, by, reason).await? else {
        return Ok(false);
    };
    let deleted = delete_current(&system.objects, &uri.parse()?).await;
    deleted.with_context(|| format!("failed to delete segment {segment}"))?;
    Ok(true)
}

/// Deletes the version that the URI names, or the current one: deleting without a version would only hide
/// it.
async fn delete_current(objects: &Objects, uri: &ObjectUri) -> Result<Removed> {
    match objects.head(uri).await {
        Ok(stored) => {
            objects.delete(&stored.uri).await?;
            Ok(Removed::Yes)
        }
        Err(ObjectError::NotFound { .. }) => Ok(Removed::WasGone),
        Err(error) => Err(error.into()),
    }
}
