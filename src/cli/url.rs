//! `parselog url`: a link to an archived log, for somebody without access to the bucket.

use std::time::Duration;

use anyhow::Result;
use clap::Args;

use super::submit::user;
use super::target::{TARGET_HELP, find_run};
use super::{CliError, Common, Exit, open, show};
use crate::config::duration;
use crate::objects::{LinkHeaders, ObjectUri};
use crate::record::Safe;
use crate::store::entry;

/// Raw bytes of a log up to which every browser shows all of it; see [`Url::run`].
const SHOWN_WHOLE: i64 = 1 << 20;

/// Make a link to a log that works without an account, for a while. Each one is in the audit log.
#[derive(Debug, Args)]
pub(super) struct Url {
    #[arg(value_name = "RUN|FILE", help = TARGET_HELP)]
    target: String,
    /// How long the link works; a week at most.
    #[arg(long, default_value = "15m", value_parser = duration, value_name = "TIME")]
    expires: Duration,
    /// A link that saves the log as a .gz file; without it, browsers show it as text.
    #[arg(long)]
    download: bool,
    /// Who asks; the user's name without it.
    #[arg(long, value_name = "WHO")]
    by: Option<String>,
}

impl Url {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        let system = open::open(common).await?;
        let run = find_run(&system.pool, &self.target).await?;
        let Some(uri) = &run.logs_uri else {
            return Err(CliError::not_found(format!(
                "the log of run {} is {}, so there is nothing to link to",
                run.id, run.log_state
            )));
        };
        let uri: ObjectUri = uri.parse()?;
        if let ObjectUri::File { path, .. } = &uri {
            return Err(CliError::usage(format!(
                "links need an S3 bucket; this log is in a folder of this machine: {path}"
            )));
        }
        let headers = if self.download {
            LinkHeaders {
                content_type: Some("application/gzip".to_owned()),
                content_disposition: Some(format!("attachment; filename=\"{}.log.gz\"", run.id)),
                content_encoding: None,
            }
        } else {
            LinkHeaders::text()
        };
        let link = system.objects.presign_get(&uri, self.expires, headers).await?;
        let how = if self.download { "to download" } else { "to look at" };
        let detail = format!("a link {how} for {}", humantime::format_duration(self.expires));
        let by = self.by.unwrap_or_else(user);
        // Before it is shown: there is no link that the audit log does not know.
        entry::about_run(&system.pool, run.id, Some(&by), "link-issued", Some(&detail)).await?;
        show::line(Safe(link))?;
        if !self.download && run.log_raw_bytes.is_some_and(|bytes| bytes > SHOWN_WHOLE) {
            show::note(
                "some browsers show only the first MiB of a log in several gzip members: use --download",
            );
        }
        Ok(Exit::Ok)
    }
}
