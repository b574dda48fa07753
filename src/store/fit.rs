//! Makes values from outside fit a row, so that Postgres refuses no text or number of a parser, a store or a
//! person.
//!
//! Every statement binds such values through here (`tests/it/architecture` checks it). Names of
//! objects are the exception: another name is another object, so [`name`] refuses names that don't fit.

use std::borrow::Cow;

use anyhow::{Result, ensure};
use serde::Serialize;
use serde_json::{Map, Number, Value};
use sqlx::types::Json;

use crate::parser::LARGEST_COUNT;

/// The longest text (bytes) on a row; a mark counts the bytes cut off.
const LONGEST_TEXT: usize = 4096;

/// The longest label (bytes): names of files and people, which indexes hold.
const LONGEST_LABEL: usize = 1024;

/// A text as a row holds it: NULs as `\u{0}`, and long text cut, with a mark.
pub(crate) fn text(text: &str) -> Cow<'_, str> {
    bounded(text, LONGEST_TEXT)
}

/// As [`text`], for names of files and people.
pub(crate) fn label(text: &str) -> Cow<'_, str> {
    bounded(text, LONGEST_LABEL)
}

/// The name of an object, as it is.
///
/// # Errors
/// It holds a NUL, which no row can hold.
pub(crate) fn name(text: &str) -> Result<&str> {
    ensure!(!text.contains('\0'), "a bucket, key or version holds a NUL character: it can't be recorded");
    Ok(text)
}

/// A count as a row holds it: at most [`LARGEST_COUNT`].
pub(crate) fn count(count: u64) -> i64 {
    count.min(LARGEST_COUNT).cast_signed()
}

/// The number of a record, if valid.
pub(crate) fn record(number: u64) -> Option<i64> {
    (number <= LARGEST_COUNT).then_some(number.cast_signed())
}

/// A value as JSON in which every text, key and number fits; its texts are labels.
pub(crate) fn json(value: &impl Serialize) -> Json<Value> {
    // Only a map with keys other than text has no JSON, and nothing stored is one.
    Json(fitting(serde_json::to_value(value).unwrap_or_default()))
}

fn fitting(value: Value) -> Value {
    match value {
        Value::String(string) => Value::String(label(&string).into_owned()),
        Value::Number(number) => Value::Number(fitting_number(number)),
        Value::Array(values) => values.into_iter().map(fitting).collect(),
        Value::Object(map) => {
            let fit = map.into_iter().map(|(key, value)| (label(&key).into_owned(), fitting(value)));
            Value::Object(fit.collect::<Map<_, _>>())
        }
        other => other,
    }
}

fn fitting_number(number: Number) -> Number {
    match number.as_u64() {
        Some(large) if large > LARGEST_COUNT => LARGEST_COUNT.into(),
        _ => number,
    }
}

fn bounded(text: &str, most: usize) -> Cow<'_, str> {
    let kept = if text.len() > most { &text[..text.floor_char_boundary(most)] } else { text };
    if kept.len() == text.len() && !kept.contains('\0') {
        return Cow::Borrowed(text);
    }
    let mut fit = kept.replace('\0', "\\u{0}");
    if kept.len() < text.len() {
        fit.push_str(&format!("… [{} more bytes]", text.len() - kept.len()));
    }
    Cow::Owned(fit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_escaped_visibly_and_its_cut_is_marked() {
        assert!(matches!(text("as it is: é"), Cow::Borrowed("as it is: é")));
        assert_eq!(text("a\0b"), "a\\u{0}b");
        let long = "é".repeat(LONGEST_TEXT);
        let fit = text(&long);
        assert!(fit.ends_with(&format!("é… [{LONGEST_TEXT} more bytes]")), "{}", &fit[LONGEST_TEXT - 10..]);
    }

    #[test]
    fn keys_texts_and_counts_inside_of_json_fit() {
        let value = serde_json::json!({"T\0": u64::MAX, "deep": [{"\0": "\0", "n": -1, "f": 1.5}]});
        let fit =
            serde_json::json!({"T\\u{0}": LARGEST_COUNT, "deep": [{"\\u{0}": "\\u{0}", "n": -1, "f": 1.5}]});
        assert_eq!(json(&value).0, fit);
    }
}
