//! One problem as a report lists it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::parser::Category;
use crate::record::{Record, write_safe};
use crate::redact::Redactor;

/// The target of the events that are problems.
const TARGET: &str = "parselog::problem";

/// One problem. Its texts hold no character that could fool a reader, and no private shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Line or row number in the submitted file; `None` when it is about the whole file.
    pub record: Option<u64>,
    /// Reporting month, `YYYYMM`; empty where there is none.
    pub month: String,
    /// The case, named by the number of its first record.
    pub case: Option<u64>,
    /// Record type, such as `T1`.
    pub record_type: String,
    /// Item number of the published instructions.
    pub item: String,
    /// Field name.
    pub field: String,
    /// Number of the category.
    pub category: u8,
    /// The category in words.
    pub kind: String,
    /// What to fix.
    pub message: String,
    /// Of a rule that no longer counts.
    pub deprecated: bool,
}

impl Problem {
    /// Reads a record of the log; `None` when it is no problem.
    pub(super) fn read(record: &Record, redactor: &Redactor) -> Option<Self> {
        if record.target != TARGET {
            return None;
        }
        let text = |name| match record.fields.get(name) {
            Some(Value::String(text)) => readable(text, redactor),
            Some(other) => readable(&other.to_string(), redactor),
            None => String::new(),
        };
        let number = |name| record.fields.get(name).and_then(Value::as_u64);
        let known = |number| Category::ALL.into_iter().find(|known| u64::from(known.number()) == number);
        // A parser of somebody else's may leave the category out.
        let category = number("category").and_then(known).unwrap_or(Category::Record);
        Some(Self {
            record: record.record,
            month: text("month"),
            case: number("case"),
            record_type: text("record_type"),
            item: text("item"),
            field: text("field"),
            category: category.number(),
            kind: category.name().to_owned(),
            message: readable(&record.message, redactor),
            deprecated: record.fields.get("deprecated").is_some_and(|value| value == true),
        })
    }
}

/// The text without private shapes, and with control characters as escapes.
pub(super) fn readable(text: &str, redactor: &Redactor) -> String {
    let mut safe = String::with_capacity(text.len());
    // Writing to a string does not fail.
    let _ = write_safe(&mut safe, &redactor.redact(text));
    safe
}
