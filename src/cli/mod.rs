//! The command line: one file per subcommand, and the only room that prints.
//!
//! Data goes to stdout, everything else to stderr. An error is one line that says what to do next.

mod actions;
mod answer;
mod app;
mod arguments;
mod cancel;
mod clock;
mod database;
mod db;
mod diff;
mod diff_reparse;
mod doctor;
mod history;
mod live;
mod logs;
mod migrate;
mod notices;
mod open;
mod parse_process;
mod records;
mod reparse;
mod reparses;
mod report;
mod retention;
mod retry;
mod run;
mod runs;
mod sample;
mod serve;
mod show;
mod status;
mod streams;
mod submit;
mod table;
mod token;
mod url;
mod value;
mod verdict;
mod verify;
mod wait;
mod worker;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

pub use self::app::App;
use crate::config::{
    DatabaseConfig, LogConfig, MailConfig, ParserConfig, PlaceConfig, ProcessConfig, ReportConfig, S3Config,
};
use crate::desk::DeskError;
use crate::record::Safe;
use crate::telemetry;

use self::app::OwnParsers;
use self::arguments::Asked;
use crate::worker::HelperDied;

/// How a command ends, for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Success; every submission was accepted, with or without errors.
    Ok = 0,
    /// Failure; one line on stderr says why.
    Failed = 1,
    /// The command line is wrong. clap uses the same number.
    Usage = 2,
    /// The parse worked, and a submission was rejected.
    Rejected = 3,
    /// The command names something that does not exist.
    NotFound = 4,
    /// A vital part of the worker died; the worker handed its runs back.
    HelperDied = 5,
    /// The parse worked, and its parser gave no verdict.
    NoVerdict = 6,
}

/// An error that ends the command with another code than [`Exit::Failed`].
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct CliError {
    exit: Exit,
    message: String,
}

impl CliError {
    fn not_found(message: impl Into<String>) -> anyhow::Error {
        Self { exit: Exit::NotFound, message: message.into() }.into()
    }

    fn usage(message: impl Into<String>) -> anyhow::Error {
        Self { exit: Exit::Usage, message: message.into() }.into()
    }
}

impl From<&DeskError> for Exit {
    fn from(error: &DeskError) -> Self {
        match error {
            DeskError::NotFound(_) => Self::NotFound,
            DeskError::Ambiguous(_) | DeskError::Invalid(_) | DeskError::OnHold(_) => Self::Usage,
            DeskError::Conflict(_) | DeskError::Gone(_) | DeskError::Unavailable(_) | DeskError::Other(_) => {
                Self::Failed
            }
        }
    }
}

/// Gives every parse run of a submitted file its own log: kept through crashes, archived beside the
/// file, with its location on the run's row.
#[derive(Debug, Parser)]
#[command(name = "parselog", version, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

/// The options that every subcommand takes.
#[derive(Debug, Clone, clap::Args)]
pub struct Common {
    #[command(flatten)]
    place: PlaceConfig,
    #[command(flatten)]
    database: DatabaseConfig,
    #[command(flatten)]
    s3: S3Config,
    #[command(flatten)]
    log: LogConfig,
    #[command(flatten)]
    parser: ParserConfig,
    #[command(flatten)]
    process: ProcessConfig,
    #[command(flatten)]
    report: ReportConfig,
    #[command(flatten)]
    mail: MailConfig,
    /// Show and read times in UTC instead of this machine's zone.
    #[arg(long, global = true, help_heading = "Times")]
    utc: bool,
    /// The database, once a command has opened it.
    #[arg(skip)]
    opened: database::OpenedDatabase,
    /// Parsers that were linked in.
    #[arg(skip)]
    parsers: OwnParsers,
}

const AFTER_HELP: &str = "\
First steps:
  parselog run submission.txt     submit, parse and archive a file, with nothing set up before
  parselog show @latest           what came of it, why, and what to do next
  parselog logs @latest           read what the latest run said
  parselog runs                   list the runs

With a database and a bucket of your own:
  export DATABASE_URL=postgres://user@host/db PARSELOG_BUCKET=my-bucket
  parselog migrate && parselog submit submission.txt && parselog worker

Exit codes: 0 done; 1 failed; 2 wrong usage; 3 a submission was rejected; 4 not found;
5 a part of the worker died, and it should be started again.";

/// The subcommand. Each has its own help text, which a comment here would replace.
#[derive(Debug, Subcommand)]
enum Command {
    Run(run::RunArgs),
    Submit(submit::SubmitArgs),
    Wait(wait::WaitArgs),
    Worker(worker::WorkerArgs),
    Serve(serve::ServeArgs),
    Show(answer::ShowArgs),
    Runs(runs::RunsArgs),
    Status(status::StatusArgs),
    Logs(logs::LogsArgs),
    Streams(streams::StreamsArgs),
    Report(report::ReportArgs),
    History(history::HistoryArgs),
    Actions(actions::ActionsArgs),
    Notices(notices::NoticesArgs),
    Url(url::UrlArgs),
    Diff(diff::DiffArgs),
    Reparse(reparse::ReparseArgs),
    Reparses(reparses::ReparsesArgs),
    Prune(retention::PruneArgs),
    Hold(retention::HoldArgs),
    Erase(retention::EraseArgs),
    Cancel(cancel::CancelArgs),
    Retry(retry::RetryArgs),
    Doctor(doctor::DoctorArgs),
    Verify(verify::VerifyArgs),
    Token(token::TokenArgs),
    Db(db::DbArgs),
    Migrate(migrate::MigrateArgs),
    Sample(sample::SampleArgs),
}

/// Runs the command line of this process with these parsers.
fn run_command_line(parsers: Result<OwnParsers>) -> ExitCode {
    let ended = parsers.and_then(|parsers| match arguments::read()? {
        Asked::Command(mut cli) => {
            cli.common.parsers = parsers;
            start(&cli.common, cli.command.is_service(), None, cli.command.run(&cli.common))
        }
        Asked::ParseProcess(mut cli) => {
            cli.common.parsers = parsers;
            start(
                &cli.common,
                cli.command.is_service(),
                Some(1),
                parse_process::run(cli.command, &cli.common),
            )
        }
        Asked::Exit(exit) => Ok(exit),
    });
    match ended.and_then(|exit| show::finish().map(|()| exit)) {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(_) if show::reader_is_gone() => ExitCode::SUCCESS,
        Err(error) => {
            show::note(&format!("parselog: {}", Safe(format!("{error:#}"))));
            ExitCode::from(exit_of(&error) as u8)
        }
    }
}

/// Sets up logging and a runtime, with so many threads or one per processor, and does `work` in it.
fn start(
    common: &Common,
    is_service: bool,
    threads: Option<usize>,
    work: impl Future<Output = Result<Exit>>,
) -> Result<Exit> {
    let log = &common.log;
    let redactor = log.redactor().map_err(|error| CliError::usage(format!("{error:#}")))?;
    telemetry::init(log.run_levels(), log.global_levels(is_service), log.global_format, redactor)?;

    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = threads {
        runtime.worker_threads(threads);
    }
    let runtime = runtime.enable_all().build().context("failed to start the runtime")?;
    let result = runtime.block_on(async {
        let result = Box::pin(work).await;
        common.opened.close().await;
        result
    });
    // A parser that would not stop must not keep the process alive.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

impl Command {
    fn is_service(&self) -> bool {
        matches!(self, Self::Worker(_) | Self::Serve(_))
    }

    async fn run(self, common: &Common) -> Result<Exit> {
        match self {
            Self::Run(command) => command.run(common).await,
            Self::Submit(command) => command.run(common).await,
            Self::Wait(command) => command.run(common).await,
            Self::Worker(command) => command.run(common).await,
            Self::Serve(command) => command.run(common).await,
            Self::Show(command) => command.run(common).await,
            Self::Runs(command) => command.run(common).await,
            Self::Status(command) => command.run(common).await,
            Self::Logs(command) => command.run(common).await,
            Self::Streams(command) => command.run(common).await,
            Self::Report(command) => command.run(common).await,
            Self::Diff(command) => command.run(common).await,
            Self::Reparse(command) => command.run(common).await,
            Self::Reparses(command) => command.run(common).await,
            Self::History(command) => command.run(common).await,
            Self::Actions(command) => command.run(common).await,
            Self::Notices(command) => command.run(common).await,
            Self::Url(command) => command.run(common).await,
            Self::Prune(command) => command.run(common).await,
            Self::Hold(command) => command.run(common).await,
            Self::Erase(command) => command.run(common).await,
            Self::Cancel(command) => command.run(common).await,
            Self::Retry(command) => command.run(common).await,
            Self::Doctor(command) => command.run(common).await,
            Self::Verify(command) => command.run(common).await,
            Self::Token(command) => command.run(common).await,
            Self::Db(command) => command.run(common),
            Self::Migrate(command) => command.run(common).await,
            Self::Sample(command) => command.run(),
        }
    }
}

fn exit_of(error: &anyhow::Error) -> Exit {
    match error.downcast_ref::<CliError>() {
        Some(error) => error.exit,
        None if let Some(error) = error.downcast_ref::<DeskError>() => Exit::from(error),
        None if error.is::<HelperDied>() => Exit::HelperDied,
        None => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
