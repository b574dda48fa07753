//! The redactor: takes private values out of every text that leaves for the global log, a row or a mail.
//!
//! It catches shapes: social security numbers (dashed, spaced, dotted, or nine digits that stand
//! alone), e-mail addresses, and the patterns of the configuration. Parsers mark sensitive fields and
//! never log them; this is the second line.

use std::borrow::Cow;
use std::str::FromStr;

use anyhow::{Context, Result};
use regex::Regex;
use serde_json::Value;

/// Replaces a private value.
pub const REDACTED: &str = "[redacted]";

const SHAPES: &str = concat!(
    // An e-mail address, in any alphabet; first, for its name may begin as a number does.
    r"[\p{L}\p{M}\p{N}._%+'-]+@[\p{L}\p{M}\p{N}-]+(?:\.[\p{L}\p{M}\p{N}-]+)+",
    // A social security number with any separator that people or programs put into one.
    r"|(?<parted>[0-9]{3}[-\u{2010}-\u{2015}\u{2212} \u{a0}.][0-9]{2}[-\u{2010}-\u{2015}\u{2212} \u{a0}.][0-9]{4})",
    // Or with none; longer numbers are something else.
    r"|(?<bare>\b[0-9]{9}\b)",
);

/// A pattern of the configuration: a regular expression that matches some text, and not none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

/// Replaces private shapes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Redactor(Regex);

impl Redactor {
    /// A redactor for the built-in shapes and the given patterns.
    ///
    /// # Errors
    /// Patterns that are too large together, or have a name in common.
    pub fn new(patterns: &[Pattern]) -> Result<Self> {
        let mut all = SHAPES.to_owned();
        for Pattern(pattern) in patterns {
            all.push_str("|(?:");
            all.push_str(pattern);
            all.push(')');
        }
        Ok(Self(Regex::new(&all).context("failed to join the redaction patterns")?))
    }

    /// The text with every private shape replaced by [`REDACTED`].
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut redacted = String::new();
        // Where the rest begins that is not in `redacted`, and where the search goes on.
        let (mut rest, mut at) = (0, 0);
        while let Some(found) = self.0.captures_at(text, at) {
            let whole = found.get_match().range();
            if found.name("parted").is_some_and(|number| touches_a_digit(text, number.range())) {
                // A piece of a longer number; letters around it don't make it one. What begins within it
                // may be private all the same.
                at = whole.start + 1;
                continue;
            }
            redacted.push_str(&text[rest..whole.start]);
            redacted.push_str(REDACTED);
            (rest, at) = (whole.end, whole.end);
        }
        if rest == 0 {
            return Cow::Borrowed(text);
        }
        redacted.push_str(&text[rest..]);
        Cow::Owned(redacted)
    }
}

impl Redactor {
    /// Takes private shapes out of a value: out of its texts, and out of its numbers, since a social
    /// security number is one that somebody may log as such.
    pub fn redact_value(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Cow::Owned(redacted) = self.redact(text) {
                    *text = redacted;
                }
            }
            Value::Number(number) => {
                if !self.lets_pass(&number.to_string()) {
                    *value = Value::String(REDACTED.to_owned());
                }
            }
            Value::Array(values) => values.iter_mut().for_each(|value| self.redact_value(value)),
            Value::Object(fields) => fields.values_mut().for_each(|value| self.redact_value(value)),
            Value::Null | Value::Bool(_) => {}
        }
    }

    /// Whether there is nothing private in a number.
    pub fn lets_pass(&self, number: &str) -> bool {
        self.redact(number) == number
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(pattern: &str) -> Result<Self, String> {
        let parsed = regex_syntax::parse(pattern).map_err(|_| {
            format!("'{pattern}' is not a regular expression: expected one such as CASE-[0-9]+")
        })?;
        if parsed.properties().minimum_len().is_none_or(|least| least == 0) {
            return Err(format!("'{pattern}' matches the empty text, and so would take out everything"));
        }
        Regex::new(pattern).map_err(|_| format!("'{pattern}' is too large"))?;
        Ok(Self(pattern.to_owned()))
    }
}

fn touches_a_digit(text: &str, range: std::ops::Range<usize>) -> bool {
    let digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
    digit(range.start.checked_sub(1).map(|before| &text.as_bytes()[before]))
        || digit(text.as_bytes().get(range.end))
}

impl Default for Redactor {
    fn default() -> Self {
        Self::new(&[]).expect("the built-in shapes are one valid expression")
    }
}
