//! `parselog url`: a link to an archived log, for somebody without access to the bucket.

use std::time::Duration;

use anyhow::Result;
use clap::Args;

use super::submit::user;
use super::value::TARGET_HELP;
use super::{Common, Exit, open, show};
use crate::config::duration;
use crate::desk::link::{LinkRequest, link};
use crate::desk::lookup::find_run;
use crate::record::Safe;

/// Raw bytes of a log up to which every browser shows all of it; see [`UrlArgs::run`].
const SHOWN_WHOLE: i64 = 1 << 20;

/// Make a temporary link to a log that works without an account. The audit log records each link.
#[derive(Debug, Args)]
pub(super) struct UrlArgs {
    #[arg(value_name = "RUN|FILE", help = TARGET_HELP)]
    target: String,
    /// How long the link works; a week at most.
    #[arg(long, default_value = "15m", value_parser = duration, value_name = "TIME")]
    expires: Duration,
    /// Make a link that saves the log as a .gz file; by default browsers show it as text.
    #[arg(long)]
    download: bool,
    /// Who asks; by default the user's name.
    #[arg(long, value_name = "WHO")]
    by: Option<String>,
}

impl UrlArgs {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        let system = open::open(common).await?;
        let run = find_run(&system.pool, &self.target).await?;
        let request =
            LinkRequest { expires: self.expires, download: self.download, by: self.by.unwrap_or_else(user) };
        let link = link(&system, &run, &request).await?;
        show::line(Safe(link))?;
        if !self.download && run.log_raw_bytes.is_some_and(|bytes| bytes > SHOWN_WHOLE) {
            show::note(
                "some browsers show only the first MiB of a log in several gzip members: use --download",
            );
        }
        Ok(Exit::Ok)
    }
}
