//! `parselog prune`, `hold` and `erase`: letting logs go, and keeping them from it.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use bytesize::ByteSize;
use chrono::Utc;
use clap::{Args, ValueEnum};

use super::desk::{Desk, open_database};
use super::submit::user;
use super::target::{TARGET_HELP, find_file, find_run};
use super::{CliError, Common, Exit, show};
use crate::config::{ReportFormat, duration};
use crate::ids::{LogKey, RunId, report_key};
use crate::objects::ObjectError;
use crate::store::{self, LogState, Run, data_file, entry, retention};

/// Logs that are looked up at once.
const PAGE: i64 = 1000;

/// Delete old logs; outcome, counts and hashes stay. Logs of files on legal hold stay whole.
#[derive(Debug, Args)]
pub(super) struct Prune {
    /// Logs archived longer ago than this, such as 400d.
    #[arg(long, value_parser = duration, value_name = "TIME")]
    older_than: Duration,
    /// Only say what would be deleted.
    #[arg(long)]
    dry_run: bool,
    /// Who asks; the user's name without it.
    #[arg(long, value_name = "WHO")]
    by: Option<String>,
}

/// Keep the logs of a file, in all its versions, from being deleted.
#[derive(Debug, Args)]
pub(super) struct Hold {
    /// Data file id, file name or key
    #[arg(value_name = "FILE")]
    file: String,
    /// Let them go again.
    #[arg(long)]
    release: bool,
    /// Why, for the audit log.
    #[arg(long)]
    reason: Option<String>,
    /// Who asks; the user's name without it.
    #[arg(long, value_name = "WHO")]
    by: Option<String>,
}

/// Delete the log of a run, for instance because it holds personal data, and the first error on its
/// row; outcome, counts and hashes stay.
#[derive(Debug, Args)]
pub(super) struct Erase {
    #[arg(value_name = "RUN", help = TARGET_HELP)]
    target: String,
    /// Why, for the audit log.
    #[arg(long)]
    reason: Option<String>,
    /// Confirm that the log shall be gone for good.
    #[arg(long, short = 'y')]
    yes: bool,
    /// Who asks; the user's name without it.
    #[arg(long, value_name = "WHO")]
    by: Option<String>,
}

impl Prune {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        let desk = Desk::open(common).await?;
        let by = self.by.unwrap_or_else(user);
        let age = chrono::Duration::from_std(self.older_than).context("that is too long ago")?;
        let moment =
            Utc::now().checked_sub_signed(age).ok_or_else(|| CliError::usage("that is too long ago"))?;
        let reason = format!("older than {}", humantime::format_duration(self.older_than));
        let (mut logs, mut bytes, mut last) = (0_u64, 0, None);
        loop {
            let page = retention::archived_before(&desk.pool, moment, last, PAGE).await?;
            for old in &page {
                if self.dry_run {
                    show::line(&format!(
                        "{}  {}  {}",
                        old.log_archived_at.format("%F"),
                        old.id,
                        old.logs_uri
                    ))?;
                } else {
                    delete(&desk, old.id, &by, "pruned", Some(&reason), false).await?;
                }
                logs += 1;
                bytes += old.log_gzip_bytes.unsigned_abs();
            }
            match page.last() {
                Some(old) => last = Some(old.id),
                None => break,
            }
        }
        let done = if self.dry_run { "would be deleted" } else { "deleted" };
        show::line(&format!("{logs} logs, {}, {done}", ByteSize(bytes)))?;
        Ok(Exit::Ok)
    }
}

impl Hold {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        let (pool, _cluster) = open_database(common).await?;
        let file = find_file(&pool, &self.file).await?;
        let by = self.by.unwrap_or_else(user);
        let changed = retention::hold(&pool, &file, !self.release, &by, self.reason.as_deref()).await?;
        let now = if self.release { "are not held any more" } else { "are held" };
        show::line(&format!("the logs of {} {now}: {} versions changed", file.name, changed.len()))?;
        Ok(Exit::Ok)
    }
}

impl Erase {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        let desk = Desk::open(common).await?;
        let run = find_run(&desk.pool, &self.target).await?;
        let file = data_file::get(&desk.pool, run.data_file_id).await?.context("the run has no data file")?;
        if file.legal_hold {
            return Err(CliError::usage(format!(
                "data file {} is on legal hold: release it first with `parselog hold --release {}`",
                file.id, file.id
            )));
        }
        if run.logs_uri.is_none() {
            return Err(match run.log_state {
                LogState::Pruned => anyhow!("the log of run {} is deleted already", run.id),
                state => {
                    anyhow!("the log of run {} is {state}: it can be erased once it is archived", run.id)
                }
            });
        }
        if !self.yes {
            return Err(CliError::usage(format!(
                "the log of run {} would be gone for good: say --yes",
                run.id
            )));
        }
        let by = self.by.unwrap_or_else(user);
        delete(&desk, run.id, &by, "erased", self.reason.as_deref(), true).await?;
        show::line(&format!("{}  its log is erased; outcome, counts and hashes stay", run.id))?;
        Ok(Exit::Ok)
    }
}

/// Tells the audit log, deletes the log and what was made of it, then writes the row. Each may be
/// repeated.
async fn delete(
    desk: &Desk,
    run: RunId,
    by: &str,
    done: &str,
    reason: Option<&str>,
    texts: bool,
) -> Result<()> {
    let row = store::run::get(&desk.pool, run).await?.context("the run is gone from the database")?;
    let Some(uri) = &row.logs_uri else { return Ok(()) };
    entry::about_run(&desk.pool, run, Some(by), "deleting", Some(uri)).await?;
    delete_reports(desk, &row).await.with_context(|| format!("failed to delete a report on run {run}"))?;
    let deleted = desk.objects.delete(&uri.parse()?).await;
    deleted.with_context(|| format!("failed to delete the log of run {run}"))?;
    retention::log_gone(&desk.pool, run, by, done, reason, texts).await
}

/// The reports on a run lie beside its log, and say what it says.
async fn delete_reports(desk: &Desk, run: &Run) -> Result<()> {
    let Some(started) = run.started_at else { return Ok(()) };
    let log_key = LogKey::new(&run.key, run.data_file_id, started, run.reparse_id, run.id);
    for format in ReportFormat::value_variants() {
        let key = report_key(log_key.as_str(), format.extension());
        match desk.objects.head(&desk.objects.uri(&run.bucket, &key, None)?).await {
            // The very version: deleting without one would only hide it.
            Ok(stored) => desk.objects.delete(&stored.uri).await?,
            Err(ObjectError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
