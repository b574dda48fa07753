//! Links to archived logs, for somebody without access to the bucket.

use std::time::Duration;

use anyhow::Context as _;

use super::{DeskError, Result};
use crate::objects::{LinkHeaders, ObjectUri};
use crate::store::{Run, entry};
use crate::system::System;

/// The options of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkRequest {
    /// How long it works.
    pub expires: Duration,
    /// Whether it saves the log as a file; otherwise browsers show it as text.
    pub download: bool,
    /// Who asks, for the audit log.
    pub by: String,
}

/// Makes a link to the log of a run that works without an account. The audit log records it before the caller
/// gets it, so it knows every link.
///
/// # Errors
/// The log is not in a bucket, or the database or the object store fails.
pub async fn link(system: &System, run: &Run, request: &LinkRequest) -> Result<String> {
    let Some(uri) = &run.logs_uri else {
        return Err(DeskError::NotFound(format!(
            "the log of run {} is {}, so there is nothing to link to",
            run.id, run.log_state
        )));
    };
    let uri: ObjectUri = uri.parse().context("the row's log URI can't be read")?;
    if let ObjectUri::File { path, .. } = &uri {
        return Err(DeskError::Invalid(format!(
            "links need an S3 bucket; this log is in a folder of this machine: {path}"
        )));
    }
    let headers = if request.download {
        LinkHeaders {
            content_type: Some("application/gzip".to_owned()),
            content_disposition: Some(format!("attachment; filename=\"{}.log.gz\"", run.id)),
            content_encoding: None,
        }
    } else {
        LinkHeaders::text()
    };
    let link = system.objects.presign_get(&uri, request.expires, headers).await?;
    let how = if request.download { "to download" } else { "to look at" };
    let detail = format!("a link {how} for {}", humantime::format_duration(request.expires));
    entry::about_run(&system.pool, run.id, Some(&request.by), "link-issued", Some(&detail)).await?;
    Ok(link)
}
