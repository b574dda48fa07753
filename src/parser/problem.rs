//! One problem found in a submission.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::record::event::ProblemEvent;

/// The kinds of problem, with the real system's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Category {
    /// The file as a whole: it is rejected.
    #[serde(rename = "1")]
    File,
    /// The value of one field.
    #[serde(rename = "2")]
    Field,
    /// Two or more fields of one record disagree.
    #[serde(rename = "3")]
    CrossField,
    /// Records disagree with each other; duplicates count too.
    #[serde(rename = "4")]
    Case,
    /// A record could not be accepted at all.
    #[serde(rename = "7")]
    Record,
}

impl Category {
    /// All categories, in number order.
    pub const ALL: [Self; 5] = [Self::File, Self::Field, Self::CrossField, Self::Case, Self::Record];

    /// The real system's number.
    pub fn number(self) -> u8 {
        match self {
            Self::File => 1,
            Self::Field => 2,
            Self::CrossField => 3,
            Self::Case => 4,
            Self::Record => 7,
        }
    }

    /// Whether such a problem refuses its file or its record.
    pub(super) fn refuses(self) -> bool {
        matches!(self, Self::File | Self::Record)
    }

    /// The meaning of the number, in words.
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Field => "field value",
            Self::CrossField => "cross-field",
            Self::Case => "case consistency",
            Self::Record => "record",
        }
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

/// One problem in a submission. It must not hold any sensitive value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem<'a> {
    /// Its kind.
    pub category: Category,
    /// Line or row number in the submitted file, from 1; `None` for the whole file.
    pub record: Option<u64>,
    /// Record type, such as `T1`; empty where there is none.
    pub record_type: &'a str,
    /// Item number of the published instructions; empty where there is none.
    pub item: &'a str,
    /// Field name; empty where there is none.
    pub field: &'a str,
    /// Reporting month, `YYYYMM`; empty where there is none.
    pub month: &'a str,
    /// The case, named by the number of its first record.
    pub case: Option<u64>,
    /// The rule is deprecated: reported, but without effect on the verdict.
    pub deprecated: bool,
    /// What to fix, for a data analyst.
    pub message: &'a str,
}

impl Problem<'_> {
    /// A problem with only its kind.
    pub fn new(category: Category) -> Self {
        Self {
            category,
            record: None,
            record_type: "",
            item: "",
            field: "",
            month: "",
            case: None,
            deprecated: false,
            message: "",
        }
    }

    /// Logs the problem as one event: ERROR if it refuses the file or record, else WARN.
    pub fn log(&self) {
        self.event().log(self.category.refuses(), None, None);
    }

    /// The problem as its event states it.
    pub(super) fn event(&self) -> ProblemEvent<'_> {
        ProblemEvent {
            record: self.record,
            category: self.category.number(),
            record_type: self.record_type.into(),
            item: self.item.into(),
            field: self.field.into(),
            month: self.month.into(),
            case: self.case,
            deprecated: self.deprecated,
            message: self.message.into(),
        }
    }
}
