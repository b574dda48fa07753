//! The path of spans in each record: encoded once per span, and bounded, since every line repeats it.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};

use crate::record::{push_cut, push_escaped};

/// The longest value of a span.
const LONGEST_VALUE: usize = 256;

/// The longest part of one span, escaped; beyond it the span gets no more fields.
const LONGEST_PART: usize = 1024;

/// The longest path above a span, escaped.
const LONGEST_ABOVE: usize = 3 * 1024;

/// Marks omitted text.
const MORE: &str = "…";

/// The path of a span: `run:rows{from=7}:row{n=9}`, escaped for a JSON string.
#[derive(Debug, Clone)]
pub(super) struct SpanPath {
    text: Vec<u8>,
    /// The start of the span's own part.
    own: usize,
}

impl SpanPath {
    pub(super) fn root() -> Self {
        Self { text: b"run".to_vec(), own: 0 }
    }

    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// The path of a span below, with this name and without fields.
    pub(super) fn below(&self, name: &str) -> Self {
        let mut text = self.text.clone();
        if text.len() > LONGEST_ABOVE {
            // A colon is never a part of an escape or of a character.
            let end = text[..LONGEST_ABOVE].iter().rposition(|byte| *byte == b':').unwrap_or_default();
            text.truncate(end);
            let mark = [b":", MORE.as_bytes()].concat();
            if !text.ends_with(&mark) {
                text.extend_from_slice(&mark);
            }
        }
        text.push(b':');
        let own = text.len();
        push_escaped(&mut text, name);
        Self { text, own }
    }

    /// Adds fields to the span's part.
    pub(super) fn add(&mut self, record: impl FnOnce(&mut dyn Visit)) {
        let has_fields = self.text[self.own..].ends_with(b"}");
        if has_fields {
            self.text.pop();
        }
        let mut fields = FieldEncoder { text: &mut self.text, own: self.own, any: has_fields };
        record(&mut fields);
        if fields.any {
            self.text.push(b'}');
        }
    }
}

struct FieldEncoder<'a> {
    text: &'a mut Vec<u8>,
    own: usize,
    any: bool,
}

impl Visit for FieldEncoder<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let before = self.text.len();
        if before - self.own > LONGEST_PART {
            if !self.text.ends_with(MORE.as_bytes()) {
                self.text.push(b' ');
                self.text.extend_from_slice(MORE.as_bytes());
            }
            return;
        }
        self.text.push(if self.any { b' ' } else { b'{' });
        self.any = true;
        push_escaped(self.text, field.name());
        self.text.push(b'=');
        push_cut(self.text, LONGEST_VALUE, |out| write!(out, "{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}
