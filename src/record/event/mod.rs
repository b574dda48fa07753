//! The events that reports, comparisons and mails need: only this room writes and reads their targets and
//! fields, so that no two readers understand the same line differently.

mod loose;
mod outcome;
mod problem;

pub use outcome::OutcomeEvent;
pub use problem::ProblemEvent;

use serde_json::Value;

use super::Record;

/// The target of a problem in the submission.
pub const PROBLEM: &str = "parselog::problem";
/// The target of the submission.
pub const SUBMISSION: &str = "parselog::submission";
/// The target of the outcome.
pub const OUTCOME: &str = "parselog::outcome";
/// The target of an external parser's other output.
pub const EXTERNAL: &str = "parselog::external";

/// The submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmissionEvent<'a> {
    /// The name that the submitter gave the file.
    pub file: Option<&'a str>,
    /// Program code.
    pub program: Option<&'a str>,
    /// Section code.
    pub section: Option<&'a str>,
    pub fiscal_year: Option<u64>,
    pub fiscal_quarter: Option<u64>,
}

impl<'a> SubmissionEvent<'a> {
    /// Logs the event.
    pub fn log(&self) {
        tracing::info!(
            target: SUBMISSION,
            file = self.file,
            program = self.program,
            section = self.section,
            fiscal_year = self.fiscal_year,
            fiscal_quarter = self.fiscal_quarter,
            "parsing"
        );
    }

    /// Reads it back; `None` for any other record. Missing fields are `None`.
    pub fn read(record: &'a Record) -> Option<Self> {
        let text = |name| record.fields.get(name).and_then(Value::as_str);
        let number = |name| record.fields.get(name).and_then(Value::as_u64);
        (record.target == SUBMISSION).then(|| Self {
            file: text("file"),
            program: text("program"),
            section: text("section"),
            fiscal_year: number("fiscal_year"),
            fiscal_quarter: number("fiscal_quarter"),
        })
    }
}
