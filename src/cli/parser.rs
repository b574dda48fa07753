//! `parselog parser`: begin a parser of one's own, and see what parselog understands of it.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, Subcommand, ValueEnum};

use super::submit::{code, quarter};
use super::value::year;
use super::{CliError, Common, Exit, open, show};
use crate::carry;
use crate::config::{ParserRule, WorkerConfig};
use crate::desk::Description;
use crate::desk::check::{Checked, check};
use crate::desk::words::{Took, counted};
use crate::parser::{Category, SummaryStatus};
use crate::record::{Record, Safe, Text};

/// Write a parser of your own in any language: begin with `init`, try it with `check`.
#[derive(Debug, Args)]
#[command(long_about = CONTRACT)]
pub(super) struct ParserArgs {
    #[command(subcommand)]
    command: ParserCommand,
}

#[derive(Debug, Subcommand)]
enum ParserCommand {
    /// Write a parser that runs, to begin with.
    Init {
        language: Language,
        /// The file to write; it must not exist yet. By default parser.py, parser.sh or parser.rs.
        path: Option<PathBuf>,
    },
    /// Run a parser on a file and say, line by line, what was understood. Nothing is submitted.
    Check(CheckArgs),
}

#[derive(Debug, Args)]
struct CheckArgs {
    /// The command, such as 'python3 my.py {file}'
    #[arg(value_parser = ParserRule::of_all)]
    command: ParserRule,
    /// A file to parse
    file: PathBuf,
    /// What the parser is told: program,
    #[arg(long, value_parser = code)]
    program: Option<String>,
    /// section,
    #[arg(long, value_parser = code)]
    section: Option<String>,
    /// fiscal year
    #[arg(long, value_parser = year)]
    year: Option<i32>,
    /// and fiscal quarter.
    #[arg(long, value_parser = quarter)]
    quarter: Option<i16>,
}

/// The languages of `init`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Language {
    Python,
    Shell,
    Rust,
}

/// The contract in one screen; docs/PARSERS.md has the whole of it.
const CONTRACT: &str = "\
Write a parser of your own in any language: begin with `init`, try it with `check`.

The contract (docs/PARSERS.md has all of it):
  command line  split as a shell does, without a shell; within words {file},
                {name}, {program}, {section}, {year} and {quarter} are replaced
  environment   PARSELOG_FILE, _NAME, _PROGRAM, _SECTION, _FISCAL_YEAR,
                _FISCAL_QUARTER, _RUN_ID, _DATA_FILE_ID, _LEVEL (the least to
                log) and _RESULT (where a result may be written)
  lines         each line of stdout and stderr is an event: JSON of any logger,
                Python's own format, tracebacks; other text is INFO on stdout
                and WARN on stderr
  problems      a warning or an error with \"record\" (a line, from 1) or
                \"category\" (1 file, 2 field, 3 cross-field, 4 case, 7 record);
                an error without a record is one of the file. More keys:
                record_type, item, field, month (YYYYMM), case, deprecated;
                all others stay as context
  result        a JSON object, every key optional: summary, records_in_file,
                records_created, created_by_type, errors, errors_by_month,
                deprecated_errors, first_error
  verdict       the summary, else by the problems; a program that states
                neither has none (--verdict-from exit: 0 accepted, 3 rejected)
  exit code     0: it did its work, whatever the verdict; anything else fails
                the run, which is tried again
  limits        --parser-silence (10m), --run-timeout (2h), --parser-memory;
                all of its process group ends with it";

impl ParserArgs {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        match self.command {
            ParserCommand::Init { language, path } => init(language, path),
            ParserCommand::Check(args) => args.run(common).await,
        }
    }
}

fn init(language: Language, path: Option<PathBuf>) -> Result<Exit> {
    let (name, text, next) = match language {
        Language::Python => ("parser.py", include_str!("../../examples/parsers/count_lines.py"), "python3"),
        Language::Shell => ("parser.sh", include_str!("../../examples/parsers/check_width.sh"), "sh"),
        Language::Rust => ("parser.rs", include_str!("../../examples/letters.rs"), ""),
    };
    let path = path.unwrap_or_else(|| name.into());
    let shown = path.display();
    let mut file =
        OpenOptions::new().write(true).create_new(true).open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => CliError::usage(format!("{shown} exists: name another file")),
            _ => anyhow::Error::new(error).context(format!("failed to write {shown}")),
        })?;
    file.write_all(text.as_bytes()).with_context(|| format!("failed to write {shown}"))?;
    show::line(format_args!("wrote {}", Safe(shown)))?;
    let shown = path.display();
    show::note(&match language {
        Language::Rust => {
            "a parser in Rust is linked in: put this into a program that depends on parselog, which \
                           then has every command"
                .to_owned()
        }
        _ => format!("try it with: parselog parser check '{next} {shown} {{file}}' FILE"),
    });
    Ok(Exit::Ok)
}

impl CheckArgs {
    async fn run(self, common: &Common) -> Result<Exit> {
        let options = open::command_options(common, &WorkerConfig::default());
        let what = Description {
            program: self.program,
            section: self.section,
            fiscal_year: self.year,
            fiscal_quarter: self.quarter,
            ..Description::default()
        };
        let (command, file, names_file) =
            (self.command.command.clone(), self.file, self.command.names_file());
        let checking = carry::spawn_blocking(move || check(&command, options, &file, &what));
        let checked = checking.await.context("the trial panicked")??;
        for record in &checked.said {
            show::line(understood(record))?;
        }
        if !checked.said.is_empty() {
            show::line("")?;
        }
        show::line(summary(&checked))?;
        for hint in hints(&checked, names_file) {
            show::note(&format!("hint: {hint}"));
        }
        Ok(match &checked.ended {
            Ok(outcome) if outcome.summary == SummaryStatus::NoVerdict => Exit::NoVerdict,
            Ok(outcome) if outcome.summary == SummaryStatus::Rejected => Exit::Rejected,
            Ok(_) => Exit::Ok,
            Err(_) => Exit::Failed,
        })
    }
}

/// A line of the program: what it was taken for, and then the event.
fn understood(record: &Record) -> String {
    let kind = if record.target == crate::record::event::PROBLEM {
        let category = record.fields.get("category").and_then(serde_json::Value::as_u64).unwrap_or_default();
        let name = Category::ALL.into_iter().find(|known| u64::from(known.number()) == category);
        format!("problem {}", name.map_or("?", Category::name))
    } else {
        "event".to_owned()
    };
    let bare = Record { timestamp: None, ..record.clone() };
    format!("{kind:24} {:5} {}", record.level, Text { record: &bare, style: show::style() })
}

fn summary(checked: &Checked) -> String {
    let took = chrono::TimeDelta::from_std(checked.took).unwrap_or_default();
    let mut text = format!("{} in {}", counted(checked.said.len() as u64, "line"), Took(took));
    match &checked.ended {
        Ok(outcome) => {
            let records = match outcome.records_reported {
                true => format!("{} of {} records", outcome.records_created, outcome.records_in_file),
                false => "records not reported".to_owned(),
            };
            let problems = counted(outcome.error_count(), "problem");
            let _ = write!(text, "\nverdict    {}, {records}, {problems}", outcome.summary);
        }
        Err(reason) => {
            let _ = write!(text, "\nthe run would fail: {}", Safe(reason));
        }
    }
    text
}

/// What a parser could say and does not.
fn hints(checked: &Checked, names_file: bool) -> Vec<&'static str> {
    let mut hints = Vec::new();
    if !names_file {
        hints.push("the command has no {file}: the program finds it by PARSELOG_FILE alone");
    }
    if checked.said.is_empty() {
        hints.push("it printed nothing, so the log of its run has nothing to say");
    }
    if let Ok(outcome) = &checked.ended {
        if outcome.summary == SummaryStatus::NoVerdict {
            hints.push("it states no verdict: print problems, write a result, or use --verdict-from exit");
        }
        if !outcome.records_reported {
            hints.push(
                "records are not reported: write records_in_file and records_created to PARSELOG_RESULT",
            );
        }
    }
    hints
}
