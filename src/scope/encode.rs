//! From `tracing`'s events and spans to the record's encoder.

use std::error::Error;
use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};

use crate::record::{Encoder, push_escaped};

/// Encodes the fields of an event.
pub(crate) struct EventVisitor<'a>(pub(crate) &'a mut Encoder);

impl Visit for EventVisitor<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.formatted(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.0.message(format_args!("{value}")),
            name if is_of_log_crate(name) => {}
            name => self.0.text(name, value),
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.formatted(field, format_args!("{}", Chain(value)));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "record" => self.0.record(value),
            name if is_of_log_crate(name) => {}
            name => self.0.number(name, value),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        match u64::try_from(value) {
            Ok(value) => self.record_u64(field, value),
            Err(_) => self.0.literal(field.name(), value),
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.literal(field.name(), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.float(field.name(), value);
    }
}

impl EventVisitor<'_> {
    fn formatted(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        match field.name() {
            "message" => self.0.message(value),
            name if is_of_log_crate(name) => {}
            name => self.0.formatted(name, value),
        }
    }
}

/// Encodes a span's part of the path: `name{key=value key=value}`, escaped for a JSON string.
pub(super) struct SpanVisitor(Vec<u8>);

impl SpanVisitor {
    pub(super) fn start(name: &str) -> Self {
        let mut text = Vec::with_capacity(name.len() + 32);
        push_escaped(&mut text, name);
        Self(text)
    }

    /// Goes on with a part that was finished before, for fields that are recorded late.
    pub(super) fn resume(finished: Vec<u8>) -> Self {
        let mut text = finished;
        if text.last() == Some(&b'}') {
            text.pop();
        }
        Self(text)
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        if self.0.contains(&b'{') {
            self.0.push(b'}');
        }
        self.0
    }
}

impl Visit for SpanVisitor {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let separator = if self.0.contains(&b'{') { b' ' } else { b'{' };
        self.0.push(separator);
        let mut text = String::new();
        let _ = write!(text, "{}={value:?}", field.name());
        push_escaped(&mut self.0, &text);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

/// The `log` crate's bridge puts its metadata into fields; they are in the record's own keys.
fn is_of_log_crate(name: &str) -> bool {
    name.starts_with("log.")
}

struct Chain<'a>(&'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}
