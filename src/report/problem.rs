//! One problem as a report lists it.

use serde::{Deserialize, Serialize};

use crate::parser::Category;
use crate::record::event::ProblemEvent;
use crate::record::write_safe;
use crate::redact::Redactor;

/// One problem. Its texts hold no character that could fool a reader, and no private shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedProblem {
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
    /// Whether the rule is deprecated.
    pub deprecated: bool,
}

impl ReportedProblem {
    /// The problem of an event.
    pub(super) fn of(event: &ProblemEvent<'_>, redactor: &Redactor) -> Self {
        let text = |text: &str| readable(text, redactor);
        let known = Category::ALL.into_iter().find(|known| known.number() == event.category);
        let category = known.unwrap_or(Category::Record);
        Self {
            record: event.record,
            month: text(&event.month),
            case: event.case,
            record_type: text(&event.record_type),
            item: text(&event.item),
            field: text(&event.field),
            category: category.number(),
            kind: category.name().to_owned(),
            message: text(&event.message),
            deprecated: event.deprecated,
        }
    }
}

/// The text without private shapes, and with control characters as escapes.
pub(super) fn readable(text: &str, redactor: &Redactor) -> String {
    let mut safe = String::with_capacity(text.len());
    // Writing to a string does not fail.
    let _ = write_safe(&mut safe, &redactor.redact(text));
    safe
}
