//! Encoding: from values to the bytes of one line.

use std::cell::Cell;
use std::fmt::{self, Write as _};

use chrono::DateTime;
use serde_json::Value;

use super::escape::escape_from;
use super::{Arrival, Level, MAX_VALUE_BYTES, push_escaped, push_json_escaped};

/// Version of the record format, in every head.
pub const SCHEMA_VERSION: u32 = 1;

/// The parts that all records of one call site share, escaped once.
#[derive(Debug)]
pub struct Origin {
    opening: Vec<u8>,
    source: Vec<u8>,
}

/// Builds the part of a line behind the prefix: everything that is known before the event has its
/// number. The encoder is reused for each event, so that encoding allocates nothing.
#[derive(Debug, Default)]
pub struct Encoder {
    line: Vec<u8>,
    fields: Vec<u8>,
    record: Option<u64>,
    output: Option<[u64; 2]>,
    from: Option<Arrival>,
    lost: u64,
    has_message: bool,
}

impl Origin {
    /// The origin with a level and a target; `source` is file and line, if known.
    pub fn new(level: Level, target: &str, source: Option<(&str, u32)>) -> Self {
        let mut opening = format!(",\"level\":\"{level}\",\"target\":\"").into_bytes();
        push_escaped(&mut opening, target);
        opening.push(b'"');
        let mut text = Vec::new();
        if let Some((file, line)) = source {
            text.extend_from_slice(b",\"source\":\"");
            push_escaped(&mut text, file);
            text.push(b':');
            push_number(&mut text, u64::from(line));
            text.push(b'"');
        }
        Self { opening, source: text }
    }
}

impl Encoder {
    /// Starts a record.
    pub fn start(&mut self, origin: &Origin) {
        self.line.clear();
        self.fields.clear();
        self.record = None;
        self.output = None;
        self.from = None;
        self.lost = 0;
        self.has_message = false;
        self.line.extend_from_slice(&origin.opening);
    }

    /// Adds the message.
    pub fn message(&mut self, message: fmt::Arguments<'_>) {
        self.line.extend_from_slice(b",\"message\":\"");
        push_cut(&mut self.line, MAX_VALUE_BYTES, |out| out.write_fmt(message));
        self.line.push(b'"');
        self.has_message = true;
    }

    /// Says which record of the submitted file the event is about.
    pub fn record(&mut self, record: u64) {
        self.record = Some(record);
    }

    /// Says up to which byte of an external program's stream the log has everything, with this event.
    pub fn output(&mut self, stream: usize, end: u64) {
        self.output.get_or_insert_default()[stream] = end;
    }

    /// Says where a record of another process came from.
    pub fn from(&mut self, from: Arrival) {
        self.from = Some(from);
    }

    /// Notes that so many events before this one are lost. The line does not say it; its number does.
    pub fn lost(&mut self, events: u64) {
        self.lost = events;
    }

    /// Events that are lost before this one.
    pub fn events_lost(&self) -> u64 {
        self.lost
    }

    /// Keeps the time (microseconds since 1970, UTC) at which another process logged the event.
    pub fn own_time(&mut self, micros: i64) {
        self.line.extend_from_slice(b",\"time\":\"");
        push_time(&mut self.line, micros);
        self.line.push(b'"');
    }

    /// Adds a text field.
    pub fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        self.fields.push(b'"');
        if value.len() <= MAX_VALUE_BYTES {
            push_escaped(&mut self.fields, value);
        } else {
            push_cut(&mut self.fields, MAX_VALUE_BYTES, |out| out.write_str(value));
        }
        self.fields.push(b'"');
    }

    /// Adds a text field and formats it.
    pub fn formatted(&mut self, key: &str, value: fmt::Arguments<'_>) {
        self.key(key);
        self.fields.push(b'"');
        push_cut(&mut self.fields, MAX_VALUE_BYTES, |out| out.write_fmt(value));
        self.fields.push(b'"');
    }

    /// Adds a field with a whole number, zero or more.
    pub fn number(&mut self, key: &str, value: u64) {
        self.key(key);
        push_number(&mut self.fields, value);
    }

    /// Adds a field whose text is already JSON: another number or a bool.
    pub fn literal(&mut self, key: &str, value: impl fmt::Display) {
        self.key(key);
        let _ = write!(ByteWriter(&mut self.fields), "{value}");
    }

    /// Adds a floating-point field; values without a JSON number become text.
    pub fn float(&mut self, key: &str, value: f64) {
        if value.is_finite() {
            self.literal(key, value);
        } else {
            self.formatted(key, format_args!("{value}"));
        }
    }

    /// Adds a field with any value; one that is nested and too long becomes text and is cut.
    pub fn value(&mut self, key: &str, value: &Value) {
        match value {
            Value::String(text) => self.text(key, text),
            Value::Number(number) => self.literal(key, number),
            Value::Array(_) | Value::Object(_) => match value.to_string() {
                json if json.len() > MAX_VALUE_BYTES => self.text(key, &json),
                json => {
                    self.key(key);
                    push_json_escaped(&mut self.fields, &json);
                }
            },
            Value::Null | Value::Bool(_) => self.literal(key, value),
        }
    }

    /// Adds a field that is an object, given as JSON; what is none, or is too long, becomes text.
    pub fn object(&mut self, key: &str, json: &str) {
        let is_object = json.len() <= MAX_VALUE_BYTES
            && json.starts_with('{')
            && serde_json::from_str::<serde::de::IgnoredAny>(json).is_ok();
        if is_object {
            self.key(key);
            push_json_escaped(&mut self.fields, json);
        } else {
            self.text(key, json);
        }
    }

    /// Bytes of the fields so far.
    pub(super) fn fields_bytes(&self) -> usize {
        self.fields.len()
    }

    /// Ends the record and returns the part behind the prefix, newline included. `span` is an escaped
    /// span path.
    pub fn finish(&mut self, origin: &Origin, span: &[u8]) -> &[u8] {
        if !self.has_message {
            self.line.extend_from_slice(b",\"message\":\"\"");
        }
        if let Some(record) = self.record {
            self.line.extend_from_slice(b",\"record\":");
            push_number(&mut self.line, record);
        }
        if let Some([stdout, stderr]) = self.output {
            self.line.extend_from_slice(b",\"output\":[");
            push_number(&mut self.line, stdout);
            self.line.push(b',');
            push_number(&mut self.line, stderr);
            self.line.push(b']');
        }
        if let Some(Arrival { connection, end }) = self.from {
            self.line.extend_from_slice(b",\"from\":[");
            push_number(&mut self.line, connection);
            self.line.push(b',');
            push_number(&mut self.line, end);
            self.line.push(b']');
        }
        self.line.extend_from_slice(&origin.source);
        if !span.is_empty() {
            self.line.extend_from_slice(b",\"span\":\"");
            self.line.extend_from_slice(span);
            self.line.push(b'"');
        }
        if !self.fields.is_empty() {
            self.line.extend_from_slice(b",\"fields\":{");
            self.line.extend_from_slice(&self.fields);
            self.line.push(b'}');
        }
        self.line.extend_from_slice(b"}\n");
        &self.line
    }

    fn key(&mut self, key: &str) {
        if !self.fields.is_empty() {
            self.fields.push(b',');
        }
        self.fields.push(b'"');
        push_escaped(&mut self.fields, key);
        self.fields.extend_from_slice(b"\":");
    }
}

/// Opens a line: its time (microseconds since 1970, UTC) and the event's number in its log.
pub fn push_prefix(line: &mut Vec<u8>, micros: i64, seq: u64) {
    push_timestamp(line, micros);
    line.extend_from_slice(b",\"seq\":");
    push_number(line, seq);
}

/// Opens a line with only its time.
pub fn push_timestamp(line: &mut Vec<u8>, micros: i64) {
    line.extend_from_slice(b"{\"timestamp\":\"");
    push_time(line, micros);
    line.push(b'"');
}

/// A time in RFC 3339 with microseconds.
fn push_time(line: &mut Vec<u8>, micros: i64) {
    thread_local! {
        static LAST: Cell<(i64, [u8; 19])> = const { Cell::new((i64::MIN, [b'0'; 19])) };
    }
    let (seconds, fraction) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let (cached, mut text) = LAST.get();
    if cached != seconds {
        text = date_time(seconds);
        LAST.set((seconds, text));
    }
    line.extend_from_slice(&text);
    let mut digits = *b".000000Z";
    let mut rest = fraction;
    for digit in digits[1..7].iter_mut().rev() {
        *digit += (rest % 10) as u8;
        rest /= 10;
    }
    line.extend_from_slice(&digits);
}

/// Appends at most `room` bytes of the output of `write`, escaped. It escapes the whole at once, because
/// formatting writes many small pieces.
pub(crate) fn push_cut(out: &mut Vec<u8>, room: usize, write: impl FnOnce(&mut Bounded<'_>) -> fmt::Result) {
    let from = out.len();
    let mut writer = Bounded { out, room, cut: 0 };
    let _ = write(&mut writer);
    let cut = writer.cut;
    escape_from(out, from);
    if cut > 0 {
        let _ = write!(ByteWriter(out), "… [{cut} more bytes]");
    }
}

fn push_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn date_time(seconds: i64) -> [u8; 19] {
    let mut text = *b"1970-01-01T00:00:00";
    if let Some(time) = DateTime::from_timestamp(seconds, 0) {
        let formatted = time.format("%Y-%m-%dT%H:%M:%S").to_string();
        if let Ok(exact) = <[u8; 19]>::try_from(formatted.as_bytes()) {
            text = exact;
        }
    }
    text
}

struct ByteWriter<'a>(&'a mut Vec<u8>);

impl fmt::Write for ByteWriter<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Text that is cut at its room, with a count of the omitted bytes.
pub(crate) struct Bounded<'a> {
    out: &'a mut Vec<u8>,
    room: usize,
    cut: usize,
}

impl fmt::Write for Bounded<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let kept = if self.cut > 0 { 0 } else { text.floor_char_boundary(self.room) };
        self.out.extend_from_slice(&text.as_bytes()[..kept]);
        self.room -= kept;
        self.cut += text.len() - kept;
        Ok(())
    }
}
