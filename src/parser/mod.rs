//! The parser trait: a parser receives one submitted file, logs with `tracing`, and returns an outcome.
//!
//! A parser knows nothing about scopes, S3 or SQL. It is synchronous and runs on its own thread,
//! so a busy parse never starves the worker's heartbeat.

#[cfg(feature = "faults")]
pub mod acknowledging;
mod command;
mod outcome;
mod problem;
mod progress;
pub mod tdp;

use std::path::Path;

pub use command::{
    CommandOptions, CommandParser, LAST_WORDS, VerdictSource, clear_after, count_unread, log_unread,
};
pub use outcome::{CaseTotals, FirstError, LARGEST_COUNT, MonthCases, Outcome, SummaryStatus};
pub use problem::{Category, Problem};
pub use progress::{Cancel, CancelReason, Progress};

use crate::ids::{DataFileId, RunId};

/// One parser: the built-in one, or an external command.
pub trait Parser: Send + Sync {
    /// Parses one submission. Called inside the run's log scope.
    ///
    /// A submission that breaks the rules is an [`Outcome`], not an error.
    ///
    /// # Errors
    /// [`ParseError::Cancelled`] when the parser stopped because `context.cancel` was set;
    /// [`ParseError::Failed`] when the parser could not do its work.
    fn parse(&self, submission: &Submission<'_>, context: &mut Context<'_>) -> Result<Outcome, ParseError>;

    /// Whether the parser hands accepted records to `context.records`.
    fn gives_records(&self) -> bool {
        true
    }
}

/// The submitted file, as a parser sees it: a local, readable copy with the submitter's description.
#[derive(Debug, Clone, Copy)]
pub struct Submission<'a> {
    /// A local copy of exactly the submitted version.
    pub path: &'a Path,
    /// The file's own name; its extension selects the decoder.
    pub name: &'a str,
    /// Program code, lower case: `tanf`, `ssp`, `tribal`, `audit`, `fra`.
    pub program: &'a str,
    /// Section code, lower case: `active`, `closed`, `aggregate`, `stratum`, `work-outcomes`.
    pub section: &'a str,
    /// Fiscal year, four digits.
    pub fiscal_year: i32,
    /// Fiscal quarter, 1 to 4.
    pub fiscal_quarter: u8,
}

/// The context of one parse.
pub struct Context<'a> {
    /// The run this parse belongs to.
    pub run: RunId,
    /// The data file this parse reads.
    pub data_file: DataFileId,
    /// The parser checks it at least once per record; cancel, shutdown and timeout set it.
    pub cancel: &'a Cancel,
    /// The parser reports its progress here.
    pub progress: &'a Progress,
    /// Receives every accepted record, if somebody asked for them.
    pub records: Option<&'a mut dyn RecordSink>,
    /// Where the files of the run's log are, without their ending: what an external program writes goes to
    /// files beside them, so that it outlives both the program and this process. In memory without it.
    pub output: Option<&'a Path>,
}

/// Takes the accepted records of a parse.
pub trait RecordSink: Send {
    /// One accepted record: its type (`T1`) and its fields as a JSON object, in layout order.
    ///
    /// # Errors
    /// The sink can't store the record; the parse then fails with this error.
    fn accept(
        &mut self,
        record_type: &str,
        record: &serde_json::Map<String, serde_json::Value>,
    ) -> std::io::Result<()>;

    /// Called once after the last record of a parse that has an outcome.
    ///
    /// # Errors
    /// The sink can't store the records that it still holds; the run then fails with this error.
    fn finish(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Why a parse ended without an outcome.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// The parser stopped on request.
    #[error("the parse was stopped: {0}")]
    Cancelled(CancelReason),
    /// The parser could not do its work. The text must not hold any value from the submitted file.
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
}

impl From<std::io::Error> for ParseError {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.into())
    }
}
