//! One problem from a log's line, and the identity by which two match.

use std::borrow::Cow;
use std::io;

use anyhow::{Context, Result};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::reader::LogLines;
use crate::record::event::ProblemEvent;

/// A problem as it was logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoggedProblem<'a> {
    /// Line or row number in the submitted file; `None` for the whole file.
    pub record: Option<u64>,
    /// The category's number.
    pub category: u8,
    /// Empty if there is none; so are the following.
    pub record_type: Cow<'a, str>,
    pub item: Cow<'a, str>,
    pub field: Cow<'a, str>,
    /// `YYYYMM`.
    pub month: Cow<'a, str>,
    pub message: Cow<'a, str>,
}

impl<'a> LoggedProblem<'a> {
    /// Reads the line of a problem; `None` for any other.
    ///
    /// # Errors
    /// The line is damaged.
    pub(super) fn read(line: &'a [u8]) -> io::Result<Option<Self>> {
        Ok(ProblemEvent::read(line)?.map(|event| {
            let ProblemEvent { record, category, record_type, item, field, month, message, .. } = event;
            Self { record, category, record_type, item, field, month, message }
        }))
    }

    /// The same for two problems if and only if they are about the same; 128 bits of SHA-256.
    pub(super) fn digest(&self) -> [u8; 16] {
        let mut hash = Sha256::new();
        hash.update([self.category, u8::from(self.record.is_some())]);
        hash.update(self.record.unwrap_or_default().to_le_bytes());
        for text in [&self.record_type, &self.item, &self.field, &self.month, &self.message] {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        }
        let digest: [u8; 32] = hash.finalize().into();
        digest[..16].try_into().expect("16 of 32 bytes")
    }

    /// Its position in a list of changes.
    pub(super) fn place(&self) -> (Option<u64>, &str, &str, u8) {
        (self.record, &self.record_type, &self.item, self.category)
    }
}

/// Calls `each` with all problems of a log.
pub(super) fn each_problem(
    mut lines: LogLines,
    mut each: impl FnMut(&LoggedProblem<'_>) -> io::Result<()>,
) -> Result<()> {
    let mut line = Vec::new();
    while lines.next(&mut line).context("failed to read the log")? {
        if let Some(problem) = LoggedProblem::read(&line)? {
            each(&problem).context("failed to sort")?;
        }
    }
    Ok(())
}
