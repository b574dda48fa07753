//! Selects lines of a log, and the members of an archive that hold them.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use regex::Regex;
use serde_json::Value;

use super::LogLines;
use crate::clock;
use crate::gzip::Index;
use crate::record::{Level, Record, Text, TextStyle, level_of, timestamp_of};

/// A selection of lines; by default all. Line numbers apply first, then all other conditions, then head or
/// tail.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Only lines with these numbers, from 0.
    pub lines: Option<Range<u64>>,
    /// Only lines at this time or later.
    pub since: Option<DateTime<Utc>>,
    /// Only lines before this time.
    pub until: Option<DateTime<Utc>>,
    /// Only lines of at least this level.
    pub level: Option<Level>,
    /// Only lines about this record of the submitted file.
    pub record: Option<u64>,
    /// Only lines that match, as people read them.
    pub grep: Option<Regex>,
    /// Only lines whose fields have all of these values.
    pub fields: Vec<(String, String)>,
    /// Only the first N of them.
    pub head: Option<u64>,
    /// Only the last N of them.
    pub tail: Option<u64>,
}

impl Selection {
    /// Reads a condition on a field, `KEY=VALUE`; in a key, dots lead into objects.
    ///
    /// # Errors
    /// It has no `=`, or no key.
    pub fn field_of(text: &str) -> Result<(String, String), String> {
        let condition = text.split_once('=').filter(|(key, _)| !key.is_empty());
        let (key, value) = condition.ok_or("use KEY=VALUE, such as item=12")?;
        Ok((key.to_owned(), value.to_owned()))
    }

    /// Whether an index can avoid fetching everything.
    pub(super) fn is_a_part(&self) -> bool {
        self.lines.is_some() || self.since.is_some() || self.plain_tail().is_some()
    }

    /// The members that hold all selected lines.
    pub(super) fn members_of(&self, index: &Index) -> Range<usize> {
        let mut members = 0..index.members().len();
        let parts = [
            self.lines.clone().map(|lines| index.members_for_lines(lines)),
            self.since.map(|since| index.members_since(since.timestamp_micros())),
            self.plain_tail().map(|lines| index.members_for_tail(lines)),
        ];
        for part in parts.into_iter().flatten() {
            members = members.start.max(part.start)..members.end.min(part.end);
        }
        members.start..members.end.max(members.start)
    }

    /// The number of last lines, if they are the last lines of the log as well.
    pub(super) fn plain_tail(&self) -> Option<u64> {
        let filtered = self.lines.is_some()
            || self.until.is_some()
            || self.level.is_some()
            || self.record.is_some()
            || self.grep.is_some()
            || !self.fields.is_empty();
        self.tail.filter(|_| !filtered)
    }

    /// Whether the line, apart from its number, is selected. A line without level or time is, since it belongs
    /// to the lines around it.
    pub fn wants(&self, line: &[u8]) -> bool {
        if self.level.is_some_and(|least| level_of(line).is_some_and(|level| level < least)) {
            return false;
        }
        if self.since.is_some_and(|since| timestamp_of(line).is_some_and(|at| at < since.timestamp_micros()))
        {
            return false;
        }
        if self.record.is_none() && self.grep.is_none() && self.fields.is_empty() {
            return true;
        }
        let record = Record::decode_lossy(line);
        let says = |key: &str, wanted: &str| match record.field(key) {
            Some(Value::String(text)) => text == wanted,
            Some(other) => format!("{other}") == wanted,
            None => false,
        };
        self.record.is_none_or(|number| record.record == Some(number))
            && self.fields.iter().all(|(key, value)| says(key, value))
            && self.grep.as_ref().is_none_or(|pattern| {
                // As it is shown, its time included.
                let style = TextStyle { offset_at: clock::offset_at, ..TextStyle::default() };
                pattern.is_match(&Text { record: &record, style }.to_string())
            })
    }

    /// Whether no later line can match: the journal writes its lines in the order of their times.
    fn ends_before(&self, line: &[u8]) -> bool {
        self.until.is_some_and(|until| timestamp_of(line).is_some_and(|at| at >= until.timestamp_micros()))
    }
}

/// Calls `each` with the selected lines, in bounded memory: it holds at most the tail.
///
/// # Errors
/// When the log can't be read, or `each` fails.
pub fn select(
    mut lines: LogLines,
    selection: &Selection,
    mut each: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<()> {
    let numbers = selection.lines.clone().unwrap_or(0..u64::MAX);
    let mut left = selection.head.unwrap_or(u64::MAX);
    let mut held: VecDeque<Vec<u8>> = VecDeque::new();
    let mut line = Vec::new();
    let mut number = lines.first;
    while left > 0 && number < numbers.end && lines.next(&mut line).context("failed to read the log")? {
        number += 1;
        if selection.ends_before(&line) {
            break;
        }
        if number <= numbers.start || !selection.wants(&line) {
            continue;
        }
        left -= 1;
        match selection.tail {
            None => each(&line)?,
            Some(0) => {}
            Some(most) => {
                // The buffer of the line that falls out takes the one that comes in.
                let mut next =
                    if held.len() as u64 == most { held.pop_front() } else { None }.unwrap_or_default();
                std::mem::swap(&mut next, &mut line);
                held.push_back(next);
            }
        }
    }
    for line in held {
        each(&line)?;
    }
    Ok(())
}
