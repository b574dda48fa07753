//! The redactor: takes private values out of every text that leaves for the global log, a row or a mail.
//!
//! It catches shapes: social security numbers (dashed, spaced, dotted, or nine digits that stand
//! alone), e-mail addresses, and the patterns of the configuration. Parsers mark sensitive fields and
//! never log them; this is the second line.

use std::borrow::Cow;

use anyhow::{Context, Result};
use regex::{Captures, Regex};

/// What stands where a private value was.
pub const REDACTED: &str = "[redacted]";

const SHAPES: &str = concat!(
    // An e-mail address, in any alphabet; first, for its name may begin as a number does.
    r"[\p{L}\p{M}\p{N}._%+'-]+@[\p{L}\p{M}\p{N}-]+(?:\.[\p{L}\p{M}\p{N}-]+)+",
    // A social security number with any separator that people or programs put into one.
    r"|(?<parted>[0-9]{3}[-\u{2010}-\u{2015}\u{2212} \u{a0}.][0-9]{2}[-\u{2010}-\u{2015}\u{2212} \u{a0}.][0-9]{4})",
    // Or with none; longer numbers are something else.
    r"|(?<bare>\b[0-9]{9}\b)",
);

/// Replaces private shapes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Redactor(Regex);

impl Redactor {
    /// A redactor for the built-in shapes and the given patterns (regular expressions).
    ///
    /// # Errors
    /// A pattern that is no regular expression.
    pub fn new(patterns: &[String]) -> Result<Self> {
        let mut all = SHAPES.to_owned();
        for pattern in patterns {
            Regex::new(pattern).with_context(|| format!("'{pattern}' is no regular expression"))?;
            all.push_str("|(?:");
            all.push_str(pattern);
            all.push(')');
        }
        Ok(Self(Regex::new(&all).context("failed to join the redaction patterns")?))
    }

    /// The text with every private shape replaced by [`REDACTED`].
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.0.replace_all(text, |found: &Captures<'_>| match found.name("parted") {
            // A piece of a longer number; letters around it don't make it one.
            Some(number) if touches_a_digit(text, number.range()) => number.as_str().to_owned(),
            _ => REDACTED.to_owned(),
        })
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
