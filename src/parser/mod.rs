//! What a parser is: it is given one submitted file, logs with `tracing`, and returns an outcome.
//!
//! A parser knows nothing of scopes, S3 or SQL. It is synchronous and runs on a thread of its own,
//! so a busy parse never starves the worker's heartbeat.

#[cfg(feature = "faults")]
pub mod acknowledging;
mod command;
mod outcome;
mod problem;
mod progress;
pub mod tdp;

use std::path::Path;

pub use command::{CommandOptions, CommandParser, LAST_WORDS, VerdictSource, clear_after};
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
    /// [`ParseError::Cancelled`] when `context.cancel` was set and the parser stopped for it;
    /// [`ParseError::Failed`] when the parser itself could not do its work.
    fn parse(&self, submission: &Submission<'_>, context: &mut Context<'_>) -> Result<Outcome, ParseError>;

    /// Whether accepted records go to `context.records`; a parser that has none to give says no.
    fn gives_records(&self) -> bool {
        true
    }
}

/// The submitted file, as a parser sees it: local, readable, and what the submitter says it is.
#[derive(Debug, Clone, Copy)]
pub struct Submission<'a> {
    /// A local copy of exactly the version that was submitted.
    pub path: &'a Path,
    /// The file's own name, for the decoder's choice by extension.
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

/// What surrounds one parse.
pub struct Context<'a> {
    /// The run this parse belongs to.
    pub run: RunId,
    /// The data file this parse reads.
    pub data_file: DataFileId,
    /// Asked at least once per record; set by cancel, shutdown and timeout.
    pub cancel: &'a Cancel,
    /// Told how far the parse is.
    pub progress: &'a Progress,
    /// Receives every accepted record, where somebody asked for them.
    pub records: Option<&'a mut dyn RecordSink>,
}

/// Takes the accepted records of a parse.
pub trait RecordSink: Send {
    /// One accepted record: its type (`T1`) and its fields as a JSON object, in layout order.
    ///
    /// # Errors
    /// Whatever keeps the sink from storing it; the parse then fails with it.
    fn accept(
        &mut self,
        record_type: &str,
        record: &serde_json::Map<String, serde_json::Value>,
    ) -> std::io::Result<()>;

    /// Called once after the last record of a parse that came to an outcome.
    ///
    /// # Errors
    /// Whatever keeps the sink from storing what it still holds; the run then fails with it.
    fn finish(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Why a parse ended without an outcome.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// The parser stopped because it was asked to.
    #[error("the parse was stopped: {0}")]
    Cancelled(CancelReason),
    /// The parser could not do its work. The text must hold no value from the submitted file.
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
}

impl From<std::io::Error> for ParseError {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.into())
    }
}
