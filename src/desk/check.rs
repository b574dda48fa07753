//! Tries a parser of somebody's own on one file: what it said, what of that was understood, and how it ended. Nothing
//! is submitted, and no database is asked.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use chrono::Utc;
use uuid::Uuid;

use super::{Description, Result};
use crate::carry;
use crate::ids::{BatchId, DataFileId, LogKey, RunId};
use crate::parser::{
    Cancel, CommandOptions, CommandParser, Context, Outcome, ParseError, Parser as _, Progress, Submission,
};
use crate::record::{Head, LogEnding, Record, RunSubject, SCHEMA_VERSION, Subject};
use crate::scope::LogScope;
use crate::spool::{Spool, Syncer};

/// The largest log of a trial.
const CAP: u64 = 64 << 20;

/// What a trial came to.
#[derive(Debug)]
pub struct Checked {
    /// Every line of the program, as the log of a run would have it.
    pub said: Vec<Record>,
    /// The outcome of the run, or why it would fail.
    pub ended: Result<Outcome, String>,
    pub took: Duration,
}

/// Runs a command on a file as a run would, in a folder of its own. It blocks until the program has ended.
///
/// # Errors
/// The command line can't be read, its program or the file does not exist, or the folder can't be made.
pub fn check(command: &str, options: CommandOptions, file: &Path, what: &Description) -> Result<Checked> {
    carry::may_block();
    let parser = CommandParser::new(command, options)?;
    let name =
        file.file_name().and_then(|name| name.to_str()).context("the file has no name that is text")?;
    File::open(file).with_context(|| format!("failed to open {}", file.display()))?;
    let folder = tempfile::tempdir().context("failed to make a folder for the trial")?;
    let spool = Spool::open(folder.path(), CAP)?;
    let run = RunId::new();
    let (scope, refused) = LogScope::open(&spool, &Syncer::start(), &head(run));
    refused.map_or(Ok(()), Err).context("failed to open a log for the trial")?;
    let submission = Submission {
        path: file,
        name,
        program: what.program.as_deref().unwrap_or("other"),
        section: what.section.as_deref().unwrap_or("all"),
        fiscal_year: what.fiscal_year.unwrap_or(2024),
        fiscal_quarter: what.fiscal_quarter.and_then(|quarter| u8::try_from(quarter).ok()).unwrap_or(1),
    };
    let output = spool.stem(run);
    let mut context = Context {
        run,
        data_file: DataFileId(1),
        cancel: &Cancel::default(),
        progress: &Progress::default(),
        records: None,
        output: Some(&output),
    };
    let began = Instant::now();
    let ended = scope.span().in_scope(|| parser.parse(&submission, &mut context));
    let took = began.elapsed();
    let log = scope.seal(LogEnding::Success, None).context("failed to close the log of the trial")?;
    let log = log.context("the trial has no log")?;
    let ended = ended.map_err(|error| match error {
        ParseError::Cancelled(reason) => reason.to_string(),
        ParseError::Failed(error) => format!("{error:#}"),
    });
    Ok(Checked { said: events(log.path())?, ended, took })
}

fn events(path: &Path) -> Result<Vec<Record>> {
    let log = BufReader::new(File::open(path).context("failed to read the log of the trial")?);
    let lines = log.split(b'\n').collect::<std::io::Result<Vec<_>>>();
    let lines = lines.context("failed to read the log of the trial")?;
    Ok(lines.iter().map(|line| Record::decode_lossy(line)).filter(Record::is_event).collect())
}

fn head(run: RunId) -> Head {
    let (data_file, started) = (DataFileId(1), Utc::now());
    Head {
        version: SCHEMA_VERSION,
        log: run.into(),
        bucket: "none".to_owned(),
        log_key: LogKey::new("trial", data_file, started, None, run).as_str().to_owned(),
        worker: "trial".to_owned(),
        started,
        subject: Subject::Run(RunSubject {
            run,
            lease_token: Uuid::nil(),
            attempt: 1,
            data_file,
            batch: BatchId(1),
            reparse: None,
            key: "trial".to_owned(),
            object_version: String::new(),
        }),
    }
}
