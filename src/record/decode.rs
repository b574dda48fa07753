//! Decoding: from one line back to a record; any other line becomes text.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Arrival, CONTEXT, Cut, Head, Level, MAX_LINE_BYTES, Tail};

/// The streams of an external program, in the order of [`Record::output`]; its files end in these names.
pub const STREAMS: [&str; 2] = ["stdout", "stderr"];

/// One line of a log, decoded. It ignores unknown keys of later versions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// When it was logged; `None` for a line that is not a record.
    #[serde(default)]
    pub timestamp: Option<DateTime<Utc>>,
    /// When another process logged it, by its own clock; `timestamp` is the time of arrival.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<DateTime<Utc>>,
    /// Number of the event in its log, from 1; 0 on head, cut and tail.
    #[serde(default)]
    pub seq: u64,
    /// Severity.
    #[serde(default = "info")]
    pub level: Level,
    /// The module or library that logged it.
    #[serde(default)]
    pub target: String,
    /// What happened.
    #[serde(default)]
    pub message: String,
    /// The line or row of the submitted file that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<u64>,
    /// Up to which byte of an external program's [`STREAMS`] the log has everything, with this event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<[u64; 2]>,
    /// Where a record of another process came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Arrival>,
    /// `file:line` of the log call.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// Path of the spans around it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub span: String,
    /// Structured context.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub fields: Map<String, Value>,
    /// Set on the first record of a log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<Box<Head>>,
    /// Set if records are missing here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<Cut>,
    /// Set on the last record of a log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<Tail>,
}

impl Record {
    /// Decodes one line, with or without its newline; `None` if it is not a record.
    pub fn decode(line: &[u8]) -> Option<Self> {
        if line.len() > MAX_LINE_BYTES {
            return None;
        }
        let record: Self = serde_json::from_slice(line).ok()?;
        record.timestamp.is_some().then_some(record)
    }

    /// Decodes one line; a line that is not a record becomes a record with the line's text as message.
    pub fn decode_lossy(line: &[u8]) -> Self {
        Self::decode(line).unwrap_or_else(|| {
            let shown = &line[..line.len().min(MAX_LINE_BYTES)];
            Self {
                timestamp: None,
                time: None,
                seq: 0,
                level: Level::Info,
                target: String::new(),
                message: String::from_utf8_lossy(shown).trim_end_matches('\n').to_owned(),
                record: None,
                output: None,
                from: None,
                source: String::new(),
                span: String::new(),
                fields: Map::new(),
                head: None,
                cut: None,
                tail: None,
            }
        })
    }

    /// The field of this name, also one in the context; dots lead into objects.
    pub fn field(&self, name: &str) -> Option<&Value> {
        let context = || self.fields.get(CONTEXT)?.as_object();
        in_object(&self.fields, name).or_else(|| in_object(context()?, name))
    }

    /// Whether it is an event, not a head, cut or tail.
    pub fn is_event(&self) -> bool {
        self.seq > 0
    }
}

fn in_object<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.get(name).or_else(|| {
        let (first, rest) = name.split_once('.')?;
        in_object(object.get(first)?.as_object()?, rest)
    })
}

/// Time of a line in microseconds since 1970, read from its fixed beginning alone.
pub fn timestamp_of(line: &[u8]) -> Option<i64> {
    let text = line.strip_prefix(b"{\"timestamp\":\"")?.get(..27)?;
    let text = std::str::from_utf8(text).ok()?;
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_micros())
}

/// Number of the event on a line, read from its beginning alone; 0 on head, cut and tail.
pub fn seq_of(line: &[u8]) -> Option<u64> {
    let digits = after_timestamp(line)?.strip_prefix(b",\"seq\":")?;
    let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(&digits[..end]).ok()?.parse().ok()
}

/// Level of a line, read from its beginning alone.
pub fn level_of(line: &[u8]) -> Option<Level> {
    let rest = after_timestamp(line)?.strip_prefix(b",\"seq\":")?;
    let digits = rest.iter().position(|byte| !byte.is_ascii_digit())?;
    let rest = rest[digits..].strip_prefix(b",\"level\":\"")?;
    Level::ALL.into_iter().find(|level| rest.starts_with(level.as_str().as_bytes()))
}

fn after_timestamp(line: &[u8]) -> Option<&[u8]> {
    line.strip_prefix(b"{\"timestamp\":\"")?.get(28..)
}

fn info() -> Level {
    Level::Info
}
