//! The event of a problem in the submission: every parser writes it; report, diff and mails read it.

use std::borrow::Cow;
use std::io;

use serde::Deserialize;

use super::PROBLEM;
use super::loose::Loose;

/// The target of a problem as it stands in a line.
const MARK: &[u8] = b"\"target\":\"parselog::problem\"";
/// The fixed beginning of a line, which must hold the mark: submitted text comes later.
const BEGINNING: usize = 128;

/// The valid category numbers. A problem without one of them gets the last: a record that could not be
/// accepted.
const CATEGORIES: [u8; 5] = [1, 2, 3, 4, 7];

/// A problem as its line states it. External parsers may leave out any field, or write a number as
/// text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProblemEvent<'a> {
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
    /// The case, named by the number of its first record.
    pub case: Option<u64>,
    /// Whether the rule is deprecated.
    pub deprecated: bool,
    pub message: Cow<'a, str>,
}

impl<'a> ProblemEvent<'a> {
    /// Logs the event, as an error if it refuses the file or the record. `context` holds the parser's other
    /// keys, as JSON; `output` is that of [`Record`](crate::record::Record).
    pub fn log(&self, refuses: bool, context: Option<&str>, output: Option<[u64; 2]>) {
        let [stdout, stderr] = [0, 1].map(|stream: usize| output.map(|ends| ends[stream]));
        // The level of an event is part of its static callsite, hence one call for each.
        macro_rules! emit {
            ($level:ident) => {
                tracing::$level!(
                    target: PROBLEM,
                    record = self.record,
                    category = self.category,
                    record_type = said(&self.record_type),
                    item = said(&self.item),
                    field = said(&self.field),
                    month = said(&self.month),
                    case = self.case,
                    deprecated = self.deprecated.then_some(true),
                    parselog_context = context,
                    parselog_stdout = stdout,
                    parselog_stderr = stderr,
                    "{}",
                    self.message
                )
            };
        }
        if refuses { emit!(error) } else { emit!(warn) }
    }

    /// Whether a line of a log states a problem, by its beginning alone.
    pub fn is_in(line: &[u8]) -> bool {
        line[..line.len().min(BEGINNING)].windows(MARK.len()).any(|part| part == MARK)
    }

    /// Reads the line of a problem; `None` for any other line.
    ///
    /// # Errors
    /// The line is damaged.
    pub fn read(line: &'a [u8]) -> io::Result<Option<Self>> {
        if !Self::is_in(line) {
            return Ok(None);
        }
        let Line { message, record, fields } = serde_json::from_slice(line)
            .map_err(|error| io::Error::other(format!("a problem in the log can't be read: {error}")))?;
        Ok(Some(Self {
            record: record.number(),
            category: category(fields.category.number()),
            record_type: fields.record_type.text(),
            item: fields.item.text(),
            field: fields.field.text(),
            month: fields.month.text(),
            case: fields.case.number(),
            deprecated: matches!(fields.deprecated, Loose::Bool(true)),
            message: message.text(),
        }))
    }
}

fn said(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn category(number: Option<u64>) -> u8 {
    let [.., record] = CATEGORIES;
    CATEGORIES.into_iter().find(|known| Some(u64::from(*known)) == number).unwrap_or(record)
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow, default)]
    message: Loose<'a>,
    #[serde(borrow, default)]
    record: Loose<'a>,
    #[serde(borrow, default)]
    fields: Fields<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Fields<'a> {
    #[serde(borrow)]
    category: Loose<'a>,
    #[serde(borrow)]
    record_type: Loose<'a>,
    #[serde(borrow)]
    item: Loose<'a>,
    #[serde(borrow)]
    field: Loose<'a>,
    #[serde(borrow)]
    month: Loose<'a>,
    #[serde(borrow)]
    case: Loose<'a>,
    #[serde(borrow)]
    deprecated: Loose<'a>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(rest: &str) -> Vec<u8> {
        format!(r#"{{"timestamp":"2026-11-21T06:30:23.123456Z","seq":7,"level":"WARN","target":"parselog::problem",{rest}}}"#)
            .into_bytes()
    }

    #[test]
    fn what_a_problem_leaves_out_or_writes_otherwise_is_read_all_the_same() {
        let line = line(r#""message":"m","fields":{"item":4,"case":"3","month":null,"field":["x"]}"#);
        let event = ProblemEvent::read(&line).unwrap().expect("a problem");
        assert_eq!((event.category, event.record, event.case), (7, None, Some(3)));
        assert_eq!((&*event.item, &*event.month, &*event.field), ("4", "", ""));
        for (category, number) in [("2", 2), ("\"3\"", 3), ("9", 7), ("-1", 7), ("1e99", 7), ("null", 7)] {
            let line = self::line(&format!(r#""message":"m","record":1,"fields":{{"category":{category}}}"#));
            let event = ProblemEvent::read(&line).unwrap();
            assert_eq!(event.map(|event| event.category), Some(number), "{category}");
        }
        assert!(ProblemEvent::read(&self::line(r#""message":"m""#)).unwrap().is_some(), "no fields at all");
    }

    #[test]
    fn another_line_is_no_problem_and_a_damaged_one_is_an_error() {
        let whole = line(r#""message":"m""#);
        assert!(ProblemEvent::read(&whole[..whole.len() - 1]).is_err());
        let quoted = br#"{"timestamp":"t","target":"x","message":"\"target\":\"parselog::problem\""}"#;
        assert_eq!(ProblemEvent::read(quoted).unwrap(), None);
    }
}
