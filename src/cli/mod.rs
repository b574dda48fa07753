//! The command line: one file per subcommand, and the only room that prints.
//!
//! Data goes to stdout, everything else to stderr. An error is one line that says what to do next.

mod actions;
mod answer;
mod app;
mod arguments;
mod cancel;
mod collect;
mod completion;
mod config;
mod database;
mod db;
mod diff;
mod diff_reparse;
mod doctor;
mod exit;
mod history;
mod live;
mod logs;
mod migrate;
mod notices;
mod open;
mod pager;
mod parse_process;
mod parser;
mod problems;
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
mod session;
mod show;
mod status;
mod streams;
mod submit;
mod table;
mod token;
mod ui;
mod url;
mod value;
mod verdict;
mod verify;
mod wait;
mod worker;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{ColorChoice, Parser, Subcommand};
use tokio::runtime::Builder;

pub use self::app::App;
pub use self::exit::{CliError, Exit};
use crate::config::{
    DatabaseConfig, LogConfig, MailConfig, ParserConfig, PlaceConfig, ProcessConfig, ReportConfig, S3Config,
    WebhookConfig,
};
use crate::record::Safe;
use crate::telemetry;

use self::app::OwnParsers;
use self::arguments::Asked;

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
    #[command(flatten)]
    webhook: WebhookConfig,
    /// Show and read times in UTC instead of this machine's zone.
    #[arg(long, global = true, help_heading = "Display", hide_short_help = true)]
    utc: bool,
    /// Colours: on a terminal, unless `NO_COLOR` or `FORCE_COLOR` say otherwise.
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        help_heading = "Display",
        hide_short_help = true
    )]
    color: ColorChoice,
    /// The database, once a command has opened it.
    #[arg(skip)]
    opened: database::OpenedDatabase,
    /// Parsers that were linked in.
    #[arg(skip)]
    parsers: OwnParsers,
    /// Whether a pager shows the output, at a terminal.
    #[arg(skip)]
    is_paged: bool,
}

const AFTER_HELP: &str = "\
First steps:
  parselog run submission.txt     submit, parse and archive a file, with nothing set up before
  parselog show @latest           what came of it, why, and what to do next
  parselog logs @latest           read what the latest run said
  parselog runs                   list the runs
  parselog status                 see the queue, the workers and what fails

With a database and a bucket of your own:
  export DATABASE_URL=postgres://user@host/db PARSELOG_BUCKET=my-bucket
  parselog migrate && parselog submit submission.txt && parselog worker

Exit codes: 0 done; 1 failed; 2 wrong usage; 3 a submission was rejected;
4 not found; 5 a part of the worker died, and it should be started again;
6 a parser gave no verdict.";

/// The subcommand. Each has its own help text, which a comment here would replace.
#[derive(Debug, Subcommand)]
enum Command {
    Run(run::RunArgs),
    Submit(submit::SubmitArgs),
    Wait(wait::WaitArgs),
    Worker(worker::WorkerArgs),
    Serve(serve::ServeArgs),
    Collect(collect::CollectArgs),
    Ui(ui::UiArgs),
    Show(answer::ShowArgs),
    Runs(runs::RunsArgs),
    Status(status::StatusArgs),
    Logs(logs::LogsArgs),
    Streams(streams::StreamsArgs),
    Report(report::ReportArgs),
    Problems(problems::ProblemsArgs),
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
    Session(session::SessionArgs),
    Db(db::DbArgs),
    Parser(parser::ParserArgs),
    Config(config::ConfigArgs),
    Completion(completion::CompletionArgs),
    Migrate(migrate::MigrateArgs),
    Sample(sample::SampleArgs),
}

/// Runs the command line of this process with these parsers.
fn run_command_line(parsers: Result<OwnParsers>) -> ExitCode {
    completion::answer();
    let ended = parsers.and_then(|parsers| match arguments::read()? {
        Asked::Command(mut cli) => {
            cli.common.parsers = parsers;
            cli.common.is_paged = cli.command.is_paged();
            start(
                &cli.common,
                cli.command.is_service(),
                Builder::new_multi_thread(),
                cli.command.run(&cli.common),
            )
        }
        Asked::ParseProcess(mut cli) => {
            cli.common.parsers = parsers;
            start(
                &cli.common,
                cli.command.is_service(),
                // One parse at a time: its thread and the runtime's wake each other, and nobody else.
                Builder::new_current_thread(),
                parse_process::run(cli.command, &cli.common),
            )
        }
        Asked::Receiver(cli) => start(
            &cli.common,
            true,
            Builder::new_multi_thread(),
            collect::receive_for(cli.command, &cli.common),
        ),
        Asked::Exit(exit) => Ok(exit),
    });
    // Whatever came of it, nobody may be left in a pager.
    let finished = show::finish();
    match ended.and_then(|exit| finished.map(|()| exit)) {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(_) if show::reader_is_gone() => ExitCode::SUCCESS,
        Err(error) => {
            show::note(&format!("parselog: {}", Safe(format!("{error:#}"))));
            ExitCode::from(Exit::of(&error) as u8)
        }
    }
}

/// Sets up logging and a runtime of this kind, and does `work` in it.
fn start(
    common: &Common,
    is_service: bool,
    mut runtime: Builder,
    work: impl Future<Output = Result<Exit>>,
) -> Result<Exit> {
    show::set_color(common.color);
    let log = &common.log;
    let redactor = log.redactor().map_err(|error| CliError::usage(format!("{error:#}")))?;
    telemetry::init(log.run_levels(), log.global_levels(is_service), log.global_format, redactor)?;

    let runtime = runtime.enable_all().build().context("failed to start the runtime")?;
    let result = runtime.block_on(async {
        if common.is_paged {
            show::page();
        }
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
        matches!(self, Self::Worker(_) | Self::Serve(_) | Self::Collect(_))
    }

    /// Whether its output is a text to read, as git's log and diff are.
    fn is_paged(&self) -> bool {
        match self {
            Self::Logs(logs) => logs.is_paged(),
            Self::Show(_)
            | Self::Report(_)
            | Self::Runs(_)
            | Self::History(_)
            | Self::Actions(_)
            | Self::Diff(_) => true,
            _ => false,
        }
    }

    async fn run(self, common: &Common) -> Result<Exit> {
        match self {
            Self::Run(command) => Box::pin(command.run(common)).await,
            Self::Submit(command) => command.run(common).await,
            Self::Wait(command) => command.run(common).await,
            Self::Worker(command) => Box::pin(command.run(common)).await,
            Self::Serve(command) => command.run(common).await,
            Self::Collect(command) => command.run(common).await,
            Self::Ui(command) => command.run(common).await,
            Self::Show(command) => command.run(common).await,
            Self::Runs(command) => command.run(common).await,
            Self::Status(command) => command.run(common).await,
            Self::Logs(command) => command.run(common).await,
            Self::Streams(command) => command.run(common).await,
            Self::Report(command) => command.run(common).await,
            Self::Problems(command) => command.run(common).await,
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
            Self::Session(command) => command.run(common).await,
            Self::Db(command) => command.run(common),
            Self::Parser(command) => command.run(common).await,
            Self::Config(command) => command.run(),
            Self::Completion(command) => command.run(),
            Self::Migrate(command) => command.run(common).await,
            Self::Sample(command) => command.run(),
        }
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
