//! A record as people read it: one line, without characters that could fool a terminal.

use std::fmt::{self, Write};

use chrono::SecondsFormat;
use serde_json::Value;

use super::escape::is_unsafe;
use super::{Level, Record, Subject};

/// Shows a record as `2026-11-21 06:30:23.123 WARN  record 12: message  key=value …`.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a> {
    /// The record to show.
    pub record: &'a Record,
    /// Whether to colour levels; only for a terminal.
    pub color: bool,
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let record = self.record;
        if let Some(time) = record.timestamp {
            write!(f, "{} ", time.format("%Y-%m-%d %H:%M:%S%.3f"))?;
            let (before, after) = if self.color { colour(record.level) } else { ("", "") };
            write!(f, "{before}{:5}{after} ", record.level)?;
        }
        if let Some(number) = record.record {
            write!(f, "record {number}: ")?;
        }
        write_safe(f, &record.message)?;
        if let Some(time) = record.time {
            write!(f, "  time={}", time.to_rfc3339_opts(SecondsFormat::Micros, true))?;
        }
        for (key, value) in &record.fields {
            f.write_str("  ")?;
            write_safe(f, key)?;
            f.write_char('=')?;
            write_value(f, value)?;
        }
        if let Some(head) = &record.head {
            match &head.subject {
                Subject::Run(run) => {
                    write!(f, "  run={} data_file={} attempt={}", run.run, run.data_file, run.attempt)?;
                    if let Some(reparse) = run.reparse {
                        write!(f, " reparse={reparse}")?;
                    }
                }
                Subject::Segment(segment) => {
                    write!(f, "  log={} service={}", head.log, segment.service)?;
                }
            }
        }
        if let Some(cut) = record.cut {
            write!(f, "  dropped={}", cut.dropped)?;
        }
        if let Some(tail) = &record.tail {
            let ending = serde_json::to_value(tail.ending).unwrap_or_default();
            write!(f, "  ending={}", ending.as_str().unwrap_or_default())?;
            if let Some(reason) = &tail.reason {
                f.write_str("  reason=")?;
                write_safe(f, reason)?;
            }
            write!(f, "  events={} dropped={}", tail.events.total(), tail.dropped)?;
        }
        Ok(())
    }
}

/// Shows a value from outside as [`write_safe`] writes it; width and alignment count.
#[derive(Debug, Clone, Copy)]
pub struct Safe<T>(pub T);

impl<T: fmt::Display> fmt::Display for Safe<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        write_safe(&mut text, &self.0.to_string())?;
        f.pad(&text)
    }
}

/// Writes text with every character that could move a cursor, break the line or reorder it shown
/// as an escape.
///
/// # Errors
/// The errors of `out`.
pub fn write_safe(out: &mut impl Write, text: &str) -> fmt::Result {
    for character in text.chars() {
        match character {
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            '\t' => out.write_char(' ')?,
            other if is_unsafe(other) => write!(out, "\\u{{{:x}}}", u32::from(other))?,
            other => out.write_char(other)?,
        }
    }
    Ok(())
}

fn write_value(out: &mut impl Write, value: &Value) -> fmt::Result {
    match value {
        Value::String(text) => write_safe(out, text),
        other => write_safe(out, &other.to_string()),
    }
}

fn colour(level: Level) -> (&'static str, &'static str) {
    let before = match level {
        Level::Error => "\x1b[31m",
        Level::Warn => "\x1b[33m",
        Level::Info => "\x1b[32m",
        Level::Debug | Level::Trace => "\x1b[2m",
    };
    (before, "\x1b[0m")
}
