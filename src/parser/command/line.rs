//! One line of an external parser's output becomes one event.
//!
//! A record in JSON or a line that says its level is taken as such, any other line as text. A warning or
//! an error that names a record or a category is a problem, and looks like one of the built-in parser;
//! an error that names none is a problem of the file. What looks like a record and can't be read
//! whole is a problem of its own beside that.

use std::fmt::Write as _;

use serde_json::Value;

use super::super::{Category, Problem};
use super::tally::Tally;
use super::text;
use super::traceback::Gathering;
use crate::record::event::EXTERNAL;
use crate::record::{Foreign, Level, plain};

/// Where loggers put an exception.
const EXCEPTIONS: [&str; 4] = ["exc_text", "exc_info", "stack_trace", "exception"];

/// The pipe that a line came through.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stream {
    /// Lines without a level of their own are INFO.
    Stdout,
    /// Lines without a level of their own are WARN, but for what a progress bar leaves.
    Stderr,
}

/// A line as it came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Raw<'a> {
    pub(super) bytes: &'a [u8],
    /// Numbers the parts of a line that was too long, from 1.
    pub(super) piece: Option<u64>,
    /// How often what stood on the line before was written over, as a progress bar does.
    pub(super) overwritten: u64,
}

/// Turns the lines of one pipe into events and counts its problems.
#[derive(Debug)]
pub(super) struct Listener {
    stream: Stream,
    tally: Tally,
    gathering: Gathering,
}

impl Listener {
    pub(super) fn new(stream: Stream, tally: Tally) -> Self {
        Self { stream, tally, gathering: Gathering::default() }
    }

    /// Logs one line, or holds it until it is known what belongs to it.
    pub(super) fn hear(&mut self, raw: Raw<'_>) {
        let line = readable(raw.bytes);
        let is_whole_or_first = raw.piece.is_none_or(|piece| piece == 1);
        if let Some(mut record) = Foreign::read(&line).filter(|_| is_whole_or_first) {
            self.settle();
            if raw.piece.is_some() {
                record.damage = Some(format!("it is longer than {} bytes", raw.bytes.len()));
            }
            return self.say(record);
        }
        if raw.piece.is_some() {
            self.settle();
            return self.text(&line, raw);
        }
        let read = text::read(&line);
        let gathered = self.gathering.take(&line, read.as_ref());
        if let Some(before) = gathered.before {
            self.say(before);
        }
        match read {
            _ if gathered.held => {}
            Some(record) => self.say(record),
            None => self.text(&line, raw),
        }
    }

    /// Logs what is held: nothing more comes for now.
    pub(super) fn settle(&mut self) {
        if let Some(held) = self.gathering.flush() {
            self.say(held);
        }
    }

    fn text(&self, line: &str, raw: Raw<'_>) {
        let (piece, overwritten) = (raw.piece, (raw.overwritten > 0).then_some(raw.overwritten));
        match self.stream {
            Stream::Stderr if overwritten.is_none() => {
                tracing::warn!(target: EXTERNAL, piece, "{line}");
            }
            _ => tracing::info!(target: EXTERNAL, piece, overwritten, "{line}"),
        }
    }

    fn say(&self, record: Foreign) {
        let fallback = match self.stream {
            Stream::Stderr => Level::Warn,
            Stream::Stdout if record.damage.is_some() => Level::Warn,
            Stream::Stdout => Level::Info,
        };
        Entry { level: record.level.unwrap_or(fallback), record }.log(&self.tally);
    }
}

/// Whether a line says its level, so that it may not be passed over.
pub(super) fn says_its_level(bytes: &[u8]) -> bool {
    let line = String::from_utf8_lossy(bytes);
    Foreign::read(&line).is_some() || text::read(&line).is_some()
}

/// The bytes as text, with those that are no UTF-8 as `\xNN`.
fn readable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// A record on its way to an event.
struct Entry {
    level: Level,
    record: Foreign,
}

impl Entry {
    fn log(mut self, tally: &Tally) {
        let level = self.level;
        let names_record = self.record.rest.get("record").is_some_and(|value| !value.is_null());
        let record = self.number("record");
        if names_record && record.is_none() {
            self.damage("its record is not a number".to_owned());
        }
        if let Some(record) = record {
            tally.record(record);
        }
        let named = self.category();
        let category = match level {
            Level::Error => named.or(Some(if names_record { Category::Record } else { Category::File })),
            Level::Warn => named.or(record.map(|_| Category::Field)),
            _ => named,
        };
        let case = self.number("case");
        let deprecated = self.record.rest.remove("deprecated").is_some_and(|value| value == true);
        let [record_type, item, field, month] =
            ["record_type", "item", "field", "month"].map(|name| self.text(name));
        let mut exceptions = EXCEPTIONS.iter().rev().filter_map(|name| self.record.rest.get(*name)?.as_str());
        if let Some(exception) = exceptions.find(|_| level == Level::Error) {
            tally.exception(exception);
        }
        let Foreign { message, rest, damage, .. } = self.record;
        let context = (!rest.is_empty()).then(|| Value::Object(rest).to_string());
        let problem = category.filter(|_| level >= Level::Warn).map(|category| Problem {
            category,
            record,
            record_type: record_type.as_deref().unwrap_or_default(),
            item: item.as_deref().unwrap_or_default(),
            field: field.as_deref().unwrap_or_default(),
            month: month.as_deref().unwrap_or_default(),
            case,
            deprecated,
            message: &message,
        });
        if let Some(problem) = problem {
            let refuses = level == Level::Error || problem.category.refuses();
            problem.event().log(refuses, context.as_deref());
            tally.problem(&problem);
        } else {
            // The level of an event is part of its static callsite, hence one call for each.
            macro_rules! emit {
                ($level:ident) => {
                    tracing::$level!(
                        target: EXTERNAL,
                        record,
                        category = category.map(Category::number),
                        record_type = record_type.as_deref(),
                        item = item.as_deref(),
                        field = field.as_deref(),
                        month = month.as_deref(),
                        case,
                        deprecated = deprecated.then_some(true),
                        context = context.as_deref(),
                        "{message}"
                    )
                };
            }
            match level {
                Level::Error => emit!(error),
                Level::Warn => emit!(warn),
                Level::Info => emit!(info),
                Level::Debug => emit!(debug),
                Level::Trace => emit!(trace),
            }
        }
        if let Some(damage) = damage {
            let message = format!("a line of the parser can't be read whole: {damage}");
            let problem = Problem { record, message: &message, ..Problem::new(Category::Record) };
            // The rest of the line was read, so nothing is refused for it.
            problem.event().log(false, None);
            tally.problem(&problem);
        }
    }

    fn damage(&mut self, damage: String) {
        self.record.damage.get_or_insert(damage);
    }

    /// Takes a number out; anything else stays in the rest.
    fn number(&mut self, name: &str) -> Option<u64> {
        let number = whole(self.record.rest.get(name)?)?;
        self.record.rest.remove(name);
        Some(number)
    }

    fn category(&mut self) -> Option<Category> {
        let value = self.record.rest.get("category").filter(|value| !value.is_null())?;
        let number = whole(value);
        let Some(category) =
            Category::ALL.into_iter().find(|category| number == Some(u64::from(category.number())))
        else {
            self.damage("its category is unknown: expected 1, 2, 3, 4 or 7".to_owned());
            return None;
        };
        self.record.rest.remove("category");
        Some(category)
    }

    fn text(&mut self, name: &str) -> Option<String> {
        let rest = &mut self.record.rest;
        if !matches!(rest.get(name)?, Value::String(_) | Value::Number(_)) {
            return None;
        }
        rest.remove(name).map(plain).filter(|text| !text.is_empty())
    }
}

/// A whole number of zero or more, whatever it is written as: 4, "4" or 4.0.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is whole and in range")]
fn whole(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => text.trim().parse().ok(),
        value => value.as_u64().or_else(|| {
            let number = value.as_f64()?;
            (number.fract() == 0.0 && (0.0..9e15).contains(&number)).then_some(number as u64)
        }),
    }
}
