//! `parselog reparse`: queue files to be parsed again.

use std::time::Duration;

use anyhow::Result;
use bytesize::ByteSize;
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};

use super::database::open_database;
use super::reparses::{ReparseStatusArgs, interrupts, report, wait};
use super::submit::{code, quarter, user};
use super::table::Table;
use super::value::{attempts, priority, year};
use super::{Common, Exit, show};
use crate::clock::{WHEN, when};
use crate::config::duration;
use crate::desk::submit::ATTEMPTS;
use crate::desk::words::counted;
use crate::desk::{ENDINGS, RunOutcome, reparse};
use crate::store::reparse::{FileSelection, ReparseRequest, Selected};
use crate::store::{PgPool, RunStatus};

/// Parse files again, each in exactly the submitted version; workers do this after all submissions.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct ReparseArgs {
    #[command(subcommand)]
    command: Option<ReparseCommand>,
    #[command(flatten)]
    which: Which,
    /// The reason, for the reparse and the audit log.
    #[arg(long)]
    reason: Option<String>,
    /// Who asks; by default the user's name.
    #[arg(long, value_name = "WHO")]
    by: Option<String>,
    /// Lower numbers go first; submissions have 100.
    #[arg(long, default_value_t = reparse::PRIORITY, value_parser = priority)]
    priority: i32,
    /// Attempts at each run before it fails.
    #[arg(long, default_value_t = ATTEMPTS, value_name = "N", value_parser = attempts)]
    max_attempts: i32,
    /// How long it may take; after that it no longer blocks another reparse.
    #[arg(long, default_value = "24h", value_parser = duration, value_name = "TIME")]
    deadline: Duration,
    /// Go ahead despite an unfinished reparse of some of the files; the audit log says so.
    #[arg(long)]
    force: bool,
    /// Do not ask.
    #[arg(long, short = 'y')]
    yes: bool,
    /// Only show what would be queued.
    #[arg(long)]
    dry_run: bool,
    /// Wait until it ends, with a progress bar; ^C ends only the wait.
    #[arg(long)]
    wait: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum ReparseCommand {
    /// Show the progress of a reparse, and its changes in numbers.
    Status(ReparseStatusArgs),
}

/// Which files.
#[derive(Debug, Args)]
struct Which {
    /// Data files by id, name or key
    #[arg(value_name = "FILE")]
    files: Vec<String>,
    /// Files of this program.
    #[arg(long, value_parser = code)]
    program: Option<String>,
    /// Files of this section.
    #[arg(long, value_parser = code)]
    section: Option<String>,
    /// Files of this state or tribe.
    #[arg(long)]
    state: Option<String>,
    /// Files of this fiscal year.
    #[arg(long, value_parser = year)]
    year: Option<i32>,
    /// Files of this fiscal quarter.
    #[arg(long, value_parser = quarter)]
    quarter: Option<i16>,
    /// Files whose latest run ended with any of these: accepted, accepted-with-errors, partially-accepted,
    /// rejected, no-verdict, success (any of these five), fail, terminate, inaction, crash.
    #[arg(long, visible_aliases = ["verdict", "outcome"], value_delimiter = ',', value_parser = ending, value_name = "OUTCOME")]
    status: Vec<RunOutcome>,
    /// Files submitted at this time or later.
    #[arg(long, value_parser = when, value_name = WHEN)]
    since: Option<DateTime<Utc>>,
    /// All files.
    #[arg(long)]
    all: bool,
    /// Also versions of a file that a later submission replaced.
    #[arg(long)]
    every_version: bool,
}

impl ReparseArgs {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        let pool = open_database(common).await?.patient();
        if let Some(ReparseCommand::Status(status)) = self.command {
            return status.run(&pool).await;
        }
        let selection = self.which.selection(&pool).await?;
        let selected = reparse::preview(&pool, &selection).await?;
        if !self.json || self.dry_run {
            // What is not asked is done, and said then.
            let would = if self.yes && !self.dry_run { "" } else { ", would be parsed again" };
            show::line(format_args!("{}{would}", table(&selected)))?;
        }
        if self.dry_run {
            return Ok(Exit::Ok);
        }
        if !self.yes && !show::agrees("Queue them?", "nothing was queued")? {
            show::note("nothing was queued");
            return Ok(Exit::Ok);
        }
        let request = ReparseRequest {
            requested_by: self.by.unwrap_or_else(user),
            reason: self.reason,
            priority: self.priority,
            max_attempts: self.max_attempts,
            deadline: Utc::now() + self.deadline,
            force: self.force,
        };
        let stop = if self.wait { Some(interrupts()?) } else { None };
        let (id, files) = reparse::queue(&pool, &selection, &request).await?;
        if !self.json {
            show::line(format_args!("reparse {id}  {} queued", counted(files.unsigned_abs(), "file")))?;
        }
        if let Some(stop) = stop {
            wait(&pool, id, stop).await?;
        }
        if self.wait || self.json {
            return report(&pool, id, self.json).await;
        }
        show::note(&format!("see its progress with: parselog reparse status {id}"));
        Ok(Exit::Ok)
    }
}

impl Which {
    async fn selection(self, pool: &PgPool) -> Result<FileSelection> {
        let rest = FileSelection {
            files: Vec::new(),
            program: self.program,
            section: self.section,
            state: self.state,
            fiscal_year: self.year,
            fiscal_quarter: self.quarter,
            status: self.status.iter().map(ToString::to_string).collect(),
            since: self.since,
            every_version: self.every_version,
            all: self.all,
        };
        Ok(reparse::selection(pool, &self.files, rest).await?)
    }
}

/// The selection, with the totals on its last line.
fn table(selected: &[Selected]) -> String {
    let mut table = Table::new(["PROGRAM", "SECTION", "PERIOD", ">FILES", ">SIZE"]);
    let (mut files, mut bytes) = (0, 0);
    for row in selected {
        let period = format!("{} Q{}", row.fiscal_year, row.fiscal_quarter);
        let size = ByteSize(row.size_bytes.unsigned_abs());
        table.row([&row.program, &row.section, &period, &row.files, &size]);
        files += row.files;
        bytes += row.size_bytes;
    }
    format!("{table}\n{}, {}", counted(files.unsigned_abs(), "file"), ByteSize(bytes.unsigned_abs()))
}

/// The outcome of a run that has ended.
fn ending(text: &str) -> Result<RunOutcome, String> {
    match text.parse() {
        Err(_) | Ok(RunOutcome::Status(RunStatus::Queued | RunStatus::Running)) => {
            Err(format!("expected one of {ENDINGS}"))
        }
        ended => ended,
    }
}
