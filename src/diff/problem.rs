//! One problem as a log's line tells it, and what makes two of them the same.

use std::borrow::Cow;
use std::io;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::reader::Lines;

/// The target under which parsers log problems, as it stands in a line.
const MARK: &[u8] = b"\"target\":\"parselog::problem\"";

/// A line's fixed beginning, in which the mark must stand: what comes later is submitted text.
const BEGINNING: usize = 128;

/// A problem as it was logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem<'a> {
    /// Line or row number in the submitted file; `None` for the whole file.
    pub record: Option<u64>,
    /// The category's number.
    pub category: u8,
    /// Empty where there is none, as are the following.
    pub record_type: Cow<'a, str>,
    pub item: Cow<'a, str>,
    pub field: Cow<'a, str>,
    /// `YYYYMM`.
    pub month: Cow<'a, str>,
    pub message: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    message: Cow<'a, str>,
    record: Option<u64>,
    #[serde(borrow)]
    fields: Fields<'a>,
}

#[derive(Deserialize)]
struct Fields<'a> {
    category: u8,
    #[serde(borrow, default)]
    record_type: Cow<'a, str>,
    #[serde(borrow, default)]
    item: Cow<'a, str>,
    #[serde(borrow, default)]
    field: Cow<'a, str>,
    #[serde(borrow, default)]
    month: Cow<'a, str>,
}

impl<'a> Problem<'a> {
    /// Reads the line of a problem.
    ///
    /// # Errors
    /// When the line is damaged.
    pub(super) fn of(line: &'a [u8]) -> Result<Self> {
        let Line { message, record, fields } =
            serde_json::from_slice(line).context("a problem in the log can't be read")?;
        let Fields { category, record_type, item, field, month } = fields;
        Ok(Self { record, category, record_type, item, field, month, message })
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

    /// Where it stands in a list of changes.
    pub(super) fn place(&self) -> (Option<u64>, &str, &str, u8) {
        (self.record, &self.record_type, &self.item, self.category)
    }
}

/// Whether a line of a log tells a problem.
pub(super) fn is_problem(line: &[u8]) -> bool {
    line[..line.len().min(BEGINNING)].windows(MARK.len()).any(|part| part == MARK)
}

/// Calls `each` with all problems of a log.
pub(super) fn each_problem(
    mut lines: Lines,
    mut each: impl FnMut(&Problem<'_>) -> io::Result<()>,
) -> Result<()> {
    let mut line = Vec::new();
    while lines.next(&mut line).context("failed to read the log")? {
        if is_problem(&line) {
            each(&Problem::of(&line)?).context("failed to sort")?;
        }
    }
    Ok(())
}
