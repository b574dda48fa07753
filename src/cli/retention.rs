//! `parselog prune`, `hold` and `erase`: deleting logs, and protecting them.

use std::time::Duration;

use anyhow::Result;
use bytesize::ByteSize;
use chrono::{DateTime, Utc};
use clap::Args;

use super::database::open_database;
use super::submit::user;
use super::table::Table;
use super::value::{TARGET_HELP, age};
use super::{CliError, Common, Exit, open, show};
use crate::clock;
use crate::desk::lookup::find_run;
use crate::desk::retention::{self, Extent};
use crate::desk::stream::find_stream;
use crate::desk::words::counted;
use crate::ids::ServiceName;
use crate::record::Safe;
use crate::store::retention::OldLog;
use crate::system::System;

/// Logs to name before asking.
const SHOWN: u64 = 20;

/// Younger logs need --force.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Delete old logs of runs, or with --stream the old segments of a stream; outcome, counts and hashes stay. Logs of files on legal hold stay whole.
#[derive(Debug, Args)]
pub(super) struct PruneArgs {
    /// Logs archived longer ago than this, such as 400d or 6months.
    #[arg(long, value_parser = age, value_name = "AGE")]
    older_than: Duration,
    /// Segments of this stream, and no logs of runs.
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
    /// Only list all logs that would be deleted.
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Do not ask.
    #[arg(long, short = 'y')]
    yes: bool,
    /// Also delete logs younger than a day.
    #[arg(long)]
    force: bool,
    /// Who asks; by default the user's name.
    #[arg(long, value_name = "WHO")]
    by: Option<String>,
}

/// Protect the logs of a file, in all its versions, from deletion.
#[derive(Debug, Args)]
pub(super) struct HoldArgs {
    /// Data file id, file name or key
    #[arg(value_name = "FILE")]
    file: String,
    /// End the protection.
    #[arg(long)]
    release: bool,
    /// The reason, for the audit log.
    #[arg(long)]
    reason: Option<String>,
    /// Who asks; by default the user's name.
    #[arg(long, value_name = "WHO")]
    by: Option<String>,
}

/// Delete the log of a run, for instance because it holds personal data, and the first error on its
/// row; outcome, counts and hashes stay.
#[derive(Debug, Args)]
pub(super) struct EraseArgs {
    #[arg(value_name = "RUN", help = TARGET_HELP)]
    target: String,
    /// The reason, for the audit log.
    #[arg(long)]
    reason: Option<String>,
    /// Confirm that the log will be gone for good.
    #[arg(long, short = 'y')]
    yes: bool,
    /// Who asks; by default the user's name.
    #[arg(long, value_name = "WHO")]
    by: Option<String>,
}

impl PruneArgs {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        if self.older_than < DAY && !self.force {
            return Err(CliError::usage(format!(
                "{} is under a day: say --force if you mean it",
                humantime::format_duration(self.older_than)
            )));
        }
        let cut = retention::cut(self.older_than)?;
        let system = open::open(common).await?;
        let stream = match &self.stream {
            Some(name) => Some(find_stream(&system, name).await?),
            None => None,
        };
        let found = self.list(&system, stream.as_ref(), cut).await?;
        if self.dry_run || found == 0 {
            return Ok(Exit::Ok);
        }
        if !self.yes && !show::agrees("Delete them for good?", "nothing was deleted")? {
            show::note("nothing was deleted");
            return Ok(Exit::Ok);
        }
        let by = self.by.unwrap_or_else(user);
        let reason = format!("older than {}", humantime::format_duration(self.older_than));
        let Extent { logs, bytes } = retention::prune(&system, stream.as_ref(), cut, &by, &reason).await?;
        show::line(format_args!("{}, {}, deleted", counted(logs, "log"), ByteSize(bytes)))?;
        Ok(Exit::Ok)
    }

    /// Lists the logs archived before the cut, all of them or the first, and returns how many they are.
    async fn list(&self, system: &System, stream: Option<&ServiceName>, cut: DateTime<Utc>) -> Result<u64> {
        let mut listed = 0;
        let list = |page: &[OldLog]| {
            let named = if self.dry_run { page.len() } else { SHOWN.saturating_sub(listed) as usize };
            listed += page.len() as u64;
            if named == 0 {
                return Ok(());
            }
            let id = if stream.is_some() { "#SEGMENT" } else { "#RUN" };
            let mut table = Table::new(["@ARCHIVED", id, ">SIZE", "~LOG"]);
            for old in page.iter().take(named) {
                let size = ByteSize(old.log_gzip_bytes.unsigned_abs());
                table.row([&clock::minute(old.log_archived_at), &old.id, &size, &old.logs_uri]);
            }
            show::line(table)
        };
        let Extent { logs, bytes } = retention::old_logs(&system.pool, stream, cut, list).await?;
        if !self.dry_run && logs > SHOWN {
            show::line(format_args!("and {} more: --dry-run lists all", logs - SHOWN))?;
        }
        let would = match logs {
            0 => ": nothing to delete",
            // What is not asked is done, and said then.
            _ if self.yes && !self.dry_run => "",
            _ => ": would be deleted",
        };
        show::line(format_args!(
            "{}, {}, archived before {}{would}",
            counted(logs, "log"),
            ByteSize(bytes),
            clock::moment(cut)
        ))?;
        Ok(logs)
    }
}

impl HoldArgs {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        let pool = open_database(common).await?;
        let by = self.by.unwrap_or_else(user);
        let (file, changed) =
            retention::hold(&pool, &self.file, !self.release, &by, self.reason.as_deref()).await?;
        let now = if self.release { "are no longer held" } else { "are held" };
        show::line(format_args!(
            "the logs of {} {now}: {} changed",
            Safe(&file.name),
            counted(changed as u64, "version")
        ))?;
        Ok(Exit::Ok)
    }
}

impl EraseArgs {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        let system = open::open(common).await?;
        let run = find_run(&system.pool, &self.target).await?;
        let log = retention::erasable(&system, run).await?;
        let run = log.run();
        if !self.yes {
            return Err(CliError::usage(format!("the log of run {run} would be gone for good: say --yes")));
        }
        log.erase(&system, &self.by.unwrap_or_else(user), self.reason.as_deref()).await?;
        show::line(format_args!("{run}  its log is erased; outcome, counts and hashes stay"))?;
        Ok(Exit::Ok)
    }
}
