//! The redactor: takes private values out of every text that leaves for the global log, a row or a mail.
//!
//! It catches shapes: social security numbers (dashed, spaced or nine digits that stand alone),
//! e-mail addresses, and the patterns of the configuration. Parsers mark sensitive fields and never
//! log them; this is the second line.

use std::borrow::Cow;

use anyhow::{Context, Result};
use regex::Regex;

/// What stands where a private value was.
pub const REDACTED: &str = "[redacted]";

const SHAPES: &str = concat!(
    // A social security number: three, two and four digits, the same separator or none between.
    r"\b\d{3}(?:-\d{2}-|[ .]\d{2}[ .]|\d{2})\d{4}\b",
    // An e-mail address.
    r"|[A-Za-z0-9._%+'-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+",
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
        self.0.replace_all(text, REDACTED)
    }
}

impl Default for Redactor {
    fn default() -> Self {
        Self::new(&[]).expect("the built-in shapes are one valid expression")
    }
}
