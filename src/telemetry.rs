//! The process's logging: the scope layer, the global log on stderr, the panic hook.
//!
//! The global log gets the events outside of every run. Everything in it passes the redactor.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::panic::PanicHookInfo;

use anyhow::{Context, Result};
use chrono::Utc;
use serde_json::Value;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry};

use crate::clock;
use crate::config::{GlobalFormat, Levels};
use crate::record::{Encoder, Record, Text, TextStyle, push_prefix};
use crate::redact::Redactor;
use crate::scope::{EventVisitor, Outside, ScopeLayer, origin};

/// The longest line (bytes) of the global log as JSON: what collects a console cuts longer ones, in the middle of
/// their JSON, at 16 KiB.
const LONGEST_LINE: usize = 15 << 10;

/// Sets up logging for the whole process; once.
///
/// `run` and `outside` are the levels of a run's log and of the global log.
///
/// # Errors
/// Logging is set up already.
pub fn init(run: Levels, outside: Levels, format: GlobalFormat, redactor: Redactor) -> Result<()> {
    let global = GlobalLog { format, redactor, color: io::stderr().is_terminal() };
    layer(run, outside, move |line| global.write(line))
        .with_subscriber(Registry::default())
        .try_init()
        .context("logging is set up already")?;
    tracing_log::LogTracer::init().context("the log crate has a logger already")?;
    log_panics();
    Ok(())
}

/// From now on a panic is an event where it happens: inside a run it lands in that run's log, with
/// its message and place. Nothing of it is written to stderr raw.
pub fn log_panics() {
    std::panic::set_hook(Box::new(log_panic));
}

/// The scope layer, for a subscriber of one's own over `tracing_subscriber::Registry`. `run` says
/// what a run's log keeps. The records outside of every run that `outside` keeps, and those that a
/// run's log can't take, go to `global`.
///
/// Events that neither list keeps are switched off for the whole subscriber.
pub fn layer(
    run: Levels,
    outside: Levels,
    global: impl Fn(Record) + Send + Sync + 'static,
) -> impl Layer<Registry> + Send + Sync {
    ScopeLayer::new(run, outside, move |leaving: Outside<'_>| {
        if let Some(record) = to_record(&leaving) {
            global(record);
        }
    })
}

/// The process's own log, on stderr.
struct GlobalLog {
    format: GlobalFormat,
    redactor: Redactor,
    color: bool,
}

impl GlobalLog {
    fn style(&self) -> TextStyle {
        TextStyle { color: self.color, offset_at: clock::offset_at, ..TextStyle::default() }
    }

    fn write(&self, mut record: Record) {
        redact(&self.redactor, &mut record);
        let line = match self.format {
            GlobalFormat::Text => format!("{}\n", Text { record: &record, style: self.style() }),
            GlobalFormat::Json => json_line(&record),
        };
        // If stderr can't be written to, nothing can report that.
        let _ = io::stderr().lock().write_all(line.as_bytes());
    }
}

/// A record as collectors of console output take it: one line of JSON, in bounds. Its longest texts are cut until
/// it fits.
fn json_line(record: &Record) -> String {
    let rooms = [usize::MAX, 4096, 1024, 256, 64];
    let lines = rooms
        .map(Some)
        .into_iter()
        .chain([None])
        .map(|room| serde_json::to_string(&shortened(record.clone(), room)).unwrap_or_default() + "\n");
    let mut last = String::new();
    for line in lines {
        last = line;
        if last.len() <= LONGEST_LINE {
            break;
        }
    }
    last
}

/// A record without texts that are longer than `room`; without room, also without fields.
fn shortened(mut record: Record, room: Option<usize>) -> Record {
    let Some(room) = room else {
        record.fields.clear();
        return shortened(record, Some(64));
    };
    for value in record.fields.values_mut() {
        if (value.is_array() || value.is_object()) && room < usize::MAX {
            *value = Value::String(value.to_string());
        }
        if let Value::String(text) = value {
            cut(text, room);
        }
    }
    for text in [&mut record.message, &mut record.span, &mut record.target, &mut record.source] {
        cut(text, room);
    }
    record
}

/// Cuts a text that is longer, and says so.
fn cut(text: &mut String, room: usize) {
    if text.len() > room {
        let left_out = text.len() - text.floor_char_boundary(room);
        text.truncate(text.len() - left_out);
        text.push_str(&format!("… [{left_out} more bytes]"));
    }
}

/// Takes private shapes out of everything that a record says, numbers included.
pub fn redact(redactor: &Redactor, record: &mut Record) {
    for text in [&mut record.message, &mut record.span, &mut record.target] {
        if let Cow::Owned(redacted) = redactor.redact(text) {
            *text = redacted;
        }
    }
    record.record = record.record.filter(|number| redactor.lets_pass(&number.to_string()));
    record.fields.values_mut().for_each(|value| redactor.redact_value(value));
}

fn to_record(leaving: &Outside<'_>) -> Option<Record> {
    let mut line = Vec::with_capacity(256);
    push_prefix(&mut line, Utc::now().timestamp_micros(), 0);
    match leaving {
        Outside::Event { event, metadata } => {
            let mut encoder = Encoder::default();
            let origin = origin(metadata);
            encoder.start(&origin);
            event.record(&mut EventVisitor(&mut encoder));
            line.extend_from_slice(encoder.finish(&origin, b""));
            Record::decode(&line)
        }
        Outside::Overflow { log, body } => {
            line.extend_from_slice(body);
            let mut record = Record::decode(&line)?;
            record.fields.insert("run".to_owned(), Value::String(log.as_run().to_string()));
            Some(record)
        }
    }
}

fn log_panic(info: &PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("a value that is not text");
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
    tracing::error!(target: "parselog::panic", location, thread, "panicked: {message}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_json_fits_in_what_collectors_of_consoles_take() {
        let read = |record: Record| {
            let line = json_line(&record);
            assert!(line.len() <= LONGEST_LINE && line.ends_with('\n'), "{} bytes", line.len());
            serde_json::from_str::<Value>(&line).expect("JSON")
        };
        let mut record = Record::decode_lossy(b"short");
        assert_eq!(read(record.clone())["message"], "short");
        record.message = "\u{1}".repeat(100_000);
        for number in 0..2_000 {
            record.fields.insert(format!("field {number}"), Value::from(vec!["x"; 100]));
        }
        let said = read(record)["message"].as_str().expect("a message").to_owned();
        assert!(said.ends_with("more bytes]"), "{said}");
    }
}
