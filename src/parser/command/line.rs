//! One line of an external parser's output becomes one event.
//!
//! A JSON object with a level or a message is taken as such, any other line as text. A warning or an
//! error that names a record or a category is a problem, and looks like one of the built-in parser.

use std::fmt::Write as _;

use serde_json::{Map, Value};
use tracing::Level;

use super::super::{Category, Problem};
use super::tally::Tally;
use crate::record;

/// The pipe that a line came through.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stream {
    /// Lines without a level of their own are INFO.
    Stdout,
    /// Lines without a level of their own are WARN.
    Stderr,
}

/// Logs one line; `piece` numbers the parts of a line that was too long, from 1.
pub(super) fn log(line: &[u8], piece: Option<u64>, stream: Stream, tally: &Tally) {
    let text = readable(line);
    match Entry::parse(&text).filter(|_| piece.is_none()) {
        Some(entry) => entry.log(stream, tally),
        None => match stream {
            Stream::Stdout => tracing::info!(target: "parselog::external", piece, "{text}"),
            Stream::Stderr => tracing::warn!(target: "parselog::external", piece, "{text}"),
        },
    }
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

/// A line in JSON: what is known by name, and the rest.
struct Entry {
    level: Option<Level>,
    message: String,
    rest: Map<String, Value>,
}

impl Entry {
    /// Reads a JSON object that has a level or a message, by the names that logging libraries use.
    fn parse(text: &str) -> Option<Self> {
        if !text.trim_start().starts_with('{') {
            return None;
        }
        let mut rest: Map<String, Value> = serde_json::from_str(text).ok()?;
        let level = take(&mut rest, &["level", "levelname", "severity", "lvl"]);
        let message = take(&mut rest, &["message", "msg"]);
        if level.is_none() && message.is_none() {
            return None;
        }
        if let Some(Value::Object(fields)) = take(&mut rest, &["fields"]) {
            for (name, value) in fields {
                rest.entry(name).or_insert(value);
            }
        }
        Some(Self {
            level: level.and_then(|level| level_of(&level)),
            message: message.map_or_else(String::new, plain),
            rest,
        })
    }

    fn log(mut self, stream: Stream, tally: &Tally) {
        let fallback = match stream {
            Stream::Stdout => Level::INFO,
            Stream::Stderr => Level::WARN,
        };
        let level = self.level.unwrap_or(fallback);
        let record = self.number("record");
        let named = self.category();
        if let Some(record) = record {
            tally.record(record);
        }
        let category = match level {
            Level::ERROR => named.or(record.map(|_| Category::Record)),
            Level::WARN => named.or(record.map(|_| Category::Field)),
            _ => named,
        };
        let case = self.number("case");
        let deprecated = self.rest.remove("deprecated").is_some_and(|value| value == true);
        let [record_type, item, field, month] =
            ["record_type", "item", "field", "month"].map(|name| self.text(name));
        let context = (!self.rest.is_empty()).then(|| Value::Object(self.rest).to_string());
        let is_problem = level <= Level::WARN && category.is_some();

        // Level and target of an event are part of its static callsite, hence one call for each.
        macro_rules! emit {
            ($target:literal, $level:ident) => {
                tracing::$level!(
                    target: $target,
                    record,
                    category = category.map(Category::number),
                    record_type = record_type.as_deref(),
                    item = item.as_deref(),
                    field = field.as_deref(),
                    month = month.as_deref(),
                    case,
                    deprecated = deprecated.then_some(true),
                    context = context.as_deref(),
                    "{}",
                    self.message
                )
            };
        }
        match (is_problem, category, level) {
            (true, Some(Category::File | Category::Record), _) => emit!("parselog::problem", error),
            (true, ..) => emit!("parselog::problem", warn),
            (_, _, Level::ERROR) => emit!("parselog::external", error),
            (_, _, Level::WARN) => emit!("parselog::external", warn),
            (_, _, Level::INFO) => emit!("parselog::external", info),
            (_, _, Level::DEBUG) => emit!("parselog::external", debug),
            _ => emit!("parselog::external", trace),
        }
        if let Some(category) = category.filter(|_| is_problem) {
            tally.problem(&Problem {
                category,
                record,
                record_type: record_type.as_deref().unwrap_or_default(),
                item: item.as_deref().unwrap_or_default(),
                field: field.as_deref().unwrap_or_default(),
                month: month.as_deref().unwrap_or_default(),
                case,
                deprecated,
                message: &self.message,
            });
        }
    }

    /// Takes a number out; what is no number stays in the rest.
    fn number(&mut self, name: &str) -> Option<u64> {
        let number = self.rest.get(name).and_then(|value| match value {
            Value::String(text) => text.parse().ok(),
            value => value.as_u64(),
        })?;
        self.rest.remove(name);
        Some(number)
    }

    fn category(&mut self) -> Option<Category> {
        let number = self.rest.get("category").and_then(|value| match value {
            Value::String(text) => text.parse().ok(),
            value => value.as_u64(),
        })?;
        let category = Category::ALL.into_iter().find(|category| u64::from(category.number()) == number)?;
        self.rest.remove("category");
        Some(category)
    }

    fn text(&mut self, name: &str) -> Option<String> {
        if !matches!(self.rest.get(name)?, Value::String(_) | Value::Number(_)) {
            return None;
        }
        self.rest.remove(name).map(plain).filter(|text| !text.is_empty())
    }
}

/// Takes the first of these keys out; the others stay.
fn take(rest: &mut Map<String, Value>, names: &[&str]) -> Option<Value> {
    names.iter().find_map(|name| rest.remove(*name))
}

/// A value as a person writes it: a string without its quotes.
fn plain(value: Value) -> String {
    match value {
        Value::String(text) => text,
        value => value.to_string(),
    }
}

/// A level by name, in the words of the usual libraries, or by Python's number.
fn level_of(value: &Value) -> Option<Level> {
    if let Some(number) = value.as_u64() {
        return Some(match number {
            40.. => Level::ERROR,
            30.. => Level::WARN,
            20.. => Level::INFO,
            10.. => Level::DEBUG,
            _ => Level::TRACE,
        });
    }
    value.as_str()?.parse::<record::Level>().ok().map(Level::from)
}
