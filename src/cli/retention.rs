//! `parselog prune`, `hold` and `erase`: letting logs go, and keeping them from it.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytesize::ByteSize;
use chrono::{DateTime, Utc};
use clap::Args;

use super::database::open_database;
use super::submit::user;
use super::table::Table;
use super::target::{TARGET_HELP, find_file, find_run};
use super::value::age;
use super::verdict::MINUTE;
use super::{CliError, Common, Exit, open, show};
use crate::archive::{self, Removed};
use crate::faults;
use crate::ids::RunId;
use crate::record::Safe;
use crate::store::{self, LogState, data_file, retention};
use crate::system::System;

/// Logs that are looked up at once.
const PAGE: i64 = 1000;

/// Logs that are named before a person is asked.
const SHOWN: u64 = 20;

/// Younger logs are deleted only by force.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Delete old logs; outcome, counts and hashes stay. Logs of files on legal hold stay whole.
#[derive(Debug, Args)]
pub(super) struct Prune {
    /// Logs archived longer ago than this, such as 400d or 6months.
    #[arg(long, value_parser = age, value_name = "AGE")]
    older_than: Duration,
    /// Only list what would be deleted: all of it.
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Do not ask.
    #[arg(long, short = 'y')]
    yes: bool,
    /// Also logs that are younger than a day.
    #[arg(long)]
    force: bool,
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
        if self.older_than < DAY && !self.force {
            return Err(CliError::usage(format!(
                "{} is under a day: say --force, if that is meant",
                humantime::format_duration(self.older_than)
            )));
        }
        let too_long = || CliError::usage("that is too long ago");
        let age = chrono::Duration::from_std(self.older_than).map_err(|_| too_long())?;
        let cut = Utc::now().checked_sub_signed(age).ok_or_else(too_long)?;
        let system = open::open(common).await?;
        let found = self.list(&system, cut).await?;
        if self.dry_run || found == 0 {
            return Ok(Exit::Ok);
        }
        if !self.yes && !show::agrees("Delete them for good?", "nothing was deleted")? {
            show::note("nothing was deleted");
            return Ok(Exit::Ok);
        }
        let by = self.by.unwrap_or_else(user);
        let reason = format!("older than {}", humantime::format_duration(self.older_than));
        let (mut logs, mut bytes, mut last) = (0_u64, 0, None);
        loop {
            let page = retention::archived_before(&system.pool, cut, last, PAGE).await?;
            let Some(end) = page.last() else { break };
            last = Some(end.id);
            for old in &page {
                if delete(&system, old.id, &by, "pruned", Some(&reason), false).await? {
                    logs += 1;
                    bytes += old.log_gzip_bytes.unsigned_abs();
                }
            }
        }
        show::line(format_args!("{logs} logs, {}, deleted", ByteSize(bytes)))?;
        Ok(Exit::Ok)
    }

    /// Lists the logs archived before the cut, all of them or the first, and returns how many they are.
    async fn list(&self, system: &System, cut: DateTime<Utc>) -> Result<u64> {
        let (mut logs, mut bytes, mut last) = (0_u64, 0, None);
        loop {
            let page = retention::archived_before(&system.pool, cut, last, PAGE).await?;
            let Some(end) = page.last() else { break };
            last = Some(end.id);
            let named = if self.dry_run { page.len() } else { SHOWN.saturating_sub(logs) as usize };
            let mut table = Table::new(["ARCHIVED (UTC)", "RUN", ">SIZE", "LOG"]);
            for old in page.iter().take(named) {
                let size = ByteSize(old.log_gzip_bytes.unsigned_abs());
                table.row([&old.log_archived_at.format(MINUTE), &old.id, &size, &old.logs_uri]);
            }
            if named > 0 {
                show::line(table)?;
            }
            logs += page.len() as u64;
            bytes += page.iter().map(|old| old.log_gzip_bytes.unsigned_abs()).sum::<u64>();
        }
        if !self.dry_run && logs > SHOWN {
            show::line(format_args!("and {} more: --dry-run lists all", logs - SHOWN))?;
        }
        let would = if logs == 0 { "nothing to delete" } else { "would be deleted" };
        show::line(format_args!(
            "{logs} logs, {}, archived before {} UTC: {would}",
            ByteSize(bytes),
            cut.format(MINUTE)
        ))?;
        Ok(logs)
    }
}

impl Hold {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        let pool = open_database(common).await?;
        let file = find_file(&pool, &self.file).await?;
        let by = self.by.unwrap_or_else(user);
        let changed = retention::hold(&pool, &file, !self.release, &by, self.reason.as_deref()).await?;
        let now = if self.release { "are not held any more" } else { "are held" };
        show::line(format_args!(
            "the logs of {} {now}: {} versions changed",
            Safe(&file.name),
            changed.len()
        ))?;
        Ok(Exit::Ok)
    }
}

impl Erase {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        let system = open::open(common).await?;
        let run = find_run(&system.pool, &self.target).await?;
        let file =
            data_file::get(&system.pool, run.data_file_id).await?.context("the run has no data file")?;
        if file.legal_hold {
            return Err(CliError::usage(format!(
                "data file {} is on legal hold: release it first with `parselog hold --release {}`",
                file.id, file.id
            )));
        }
        if !matches!(run.log_state, LogState::Archived | LogState::Pruned) {
            let state = run.log_state;
            bail!("the log of run {} is {state}: it can be erased once it is archived", run.id);
        }
        if !self.yes {
            return Err(CliError::usage(format!(
                "the log of run {} would be gone for good: say --yes",
                run.id
            )));
        }
        let by = self.by.unwrap_or_else(user);
        let deleted = match run.log_state {
            // A command that was killed may have come no further than to the row.
            LogState::Pruned => archive::remove(&system.objects, &run, None).await? == Removed::Yes,
            _ => delete(&system, run.id, &by, "erased", self.reason.as_deref(), true).await?,
        };
        if !deleted {
            bail!(
                "the log of run {} was not deleted: it is deleted already, or on legal hold by now",
                run.id
            );
        }
        show::line(format_args!("{}  its log is erased; outcome, counts and hashes stay", run.id))?;
        Ok(Exit::Ok)
    }
}

/// Lets a log go, the row first, and deletes it and the reports on it; false where the file is on hold by now,
/// or the log is gone.
async fn delete(
    system: &System,
    run: RunId,
    by: &str,
    done: &str,
    reason: Option<&str>,
    texts: bool,
) -> Result<bool> {
    let row = store::run::get(&system.pool, run).await?.context("the run is gone from the database")?;
    faults::point("let-go-begun");
    let uri = retention::let_go(&system.pool, run, by, done, reason, texts).await?;
    faults::point("let-go-on-row");
    let Some(uri) = uri else { return Ok(false) };
    archive::remove(&system.objects, &row, Some(&uri)).await?;
    Ok(true)
}
