//! A record as people read it, without characters that could fool a terminal: one line, or also the lines of an
//! exception below it.

use std::fmt::{self, Write};

use chrono::{DateTime, FixedOffset, Offset, SecondsFormat, Utc};
use serde_json::Value;

use super::escape::is_unsafe;
use super::{CONTEXT, Level, Record, Subject};

/// What stands before each line of a text that has several: no value can begin a line of ours.
const BELOW: &str = "\n    | ";

/// Shows a record as `2026-11-21 06:30:23.123Z WARN  line 12: message  key=value …`; the line is one of the
/// submitted file.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a> {
    /// The record to show.
    pub record: &'a Record,
    pub style: TextStyle,
}

/// How a record is shown; by default on one line, in UTC and without colour.
#[derive(Debug, Clone, Copy)]
pub struct TextStyle {
    /// Whether to colour levels; only for a terminal.
    pub color: bool,
    /// The zone of the reader, as its offset at a time.
    pub offset_at: fn(DateTime<Utc>) -> FixedOffset,
    /// Whether a text of several lines, such as an exception, is shown as lines.
    pub on_lines: bool,
}

impl Default for TextStyle {
    fn default() -> Self {
        Self { color: false, offset_at: |_| Utc.fix(), on_lines: false }
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (record, style) = (self.record, self.style);
        let mut below: Vec<&str> = Vec::new();
        if let Some(time) = record.timestamp {
            let offset = (style.offset_at)(time);
            let zone = if offset == Utc.fix() { "Z".to_owned() } else { offset.to_string() };
            write!(f, "{}{zone} ", time.with_timezone(&offset).format("%Y-%m-%d %H:%M:%S%.3f"))?;
            let (before, after) = if style.color { colour(record.level) } else { ("", "") };
            write!(f, "{before}{:5}{after} ", record.level)?;
        }
        if let Some(number) = record.record {
            write!(f, "line {number}: ")?;
        }
        match record.message.split_once('\n').filter(|_| style.on_lines) {
            Some((first, rest)) => {
                write_safe(f, first)?;
                below.extend(rest.lines());
            }
            None => write_safe(f, &record.message)?,
        }
        if let Some(time) = record.time {
            let time = time.with_timezone(&(style.offset_at)(time));
            write!(f, "  time={}", time.to_rfc3339_opts(SecondsFormat::Micros, true))?;
        }
        for (key, value) in fields(record) {
            f.write_str("  ")?;
            write_safe(f, key)?;
            f.write_char('=')?;
            match value.as_str().filter(|text| style.on_lines && text.trim_end().contains('\n')) {
                Some(text) => {
                    f.write_str("(below)")?;
                    below.extend(text.lines());
                }
                None => write_value(f, value)?,
            }
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
        below.into_iter().try_for_each(|line| {
            f.write_str(BELOW)?;
            write_safe(f, line)
        })
    }
}

/// The fields, those of the context beside the others; a field that the context repeats is shown once.
fn fields(record: &Record) -> Vec<(&String, &Value)> {
    let mut all = Vec::with_capacity(record.fields.len());
    for (key, value) in &record.fields {
        match value {
            Value::Object(context) if key == CONTEXT => {
                all.extend(context.iter().filter(|(key, value)| record.fields.get(*key) != Some(value)));
            }
            _ => all.push((key, value)),
        }
    }
    all
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

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &[u8] = br#"{"timestamp":"2026-11-21T06:30:00.5Z","seq":1,"level":"ERROR","target":"t","message":"no: x\nFORGED","record":3,"fields":{"item":"4","context":{"n":7,"exc_info":"Traceback\n  in a\nValueError: x"}}}"#;

    fn shown(style: TextStyle) -> String {
        Text { record: &Record::decode(LINE).expect("a record"), style }.to_string()
    }

    #[test]
    fn a_record_is_one_line_with_its_context_beside_the_other_fields() {
        assert_eq!(
            shown(TextStyle::default()),
            "2026-11-21 06:30:00.500Z ERROR line 3: no: x\\nFORGED  item=4  n=7  exc_info=Traceback\\n  in a\\nValueError: x"
        );
    }

    #[test]
    fn a_field_that_the_context_repeats_is_shown_once_and_one_that_it_contradicts_twice() {
        let line = br#"{"timestamp":"2026-11-21T06:30:00.5Z","seq":1,"level":"WARN","target":"t","message":"m","fields":{"category":2,"item":"4","context":{"category":2,"item":"5"}}}"#;
        let text = Text { record: &Record::decode(line).expect("a record"), style: TextStyle::default() };
        assert!(text.to_string().ends_with(" m  category=2  item=4  item=5"), "{text}");
    }

    #[test]
    fn an_exception_is_lines_below_it_which_none_of_ours_looks_like() {
        let berlin = |_| FixedOffset::east_opt(3600).expect("an offset");
        assert_eq!(
            shown(TextStyle { on_lines: true, offset_at: berlin, ..TextStyle::default() }),
            "2026-11-21 07:30:00.500+01:00 ERROR line 3: no: x  item=4  n=7  exc_info=(below)\n    | FORGED\n    | \
             Traceback\n    |   in a\n    | ValueError: x"
        );
    }
}
