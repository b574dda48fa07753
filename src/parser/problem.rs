//! One problem found in a submission.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::record::event::ProblemEvent;

/// The kinds of problem, numbered as the real system numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Category {
    /// The file as a whole: it is rejected.
    #[serde(rename = "1")]
    File,
    /// The value of one field.
    #[serde(rename = "2")]
    Field,
    /// Two or more fields of one record that disagree.
    #[serde(rename = "3")]
    CrossField,
    /// Records that disagree with each other, duplicates included.
    #[serde(rename = "4")]
    Case,
    /// A record that could not be taken at all.
    #[serde(rename = "7")]
    Record,
}

impl Category {
    /// All categories, in number order.
    pub const ALL: [Self; 5] = [Self::File, Self::Field, Self::CrossField, Self::Case, Self::Record];

    /// The real system's number for it.
    pub fn number(self) -> u8 {
        match self {
            Self::File => 1,
            Self::Field => 2,
            Self::CrossField => 3,
            Self::Case => 4,
            Self::Record => 7,
        }
    }

    /// What the number stands for, in words.
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

/// One problem in a submission. No part of it may hold a sensitive value.
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
    /// The case it belongs to, named by the number of the case's first record.
    pub case: Option<u64>,
    /// A rule that is reported but no longer counts for the verdict.
    pub deprecated: bool,
    /// What to fix, for a data analyst.
    pub message: &'a str,
}

impl Problem<'_> {
    /// A problem of which no more is known yet than its kind.
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

    /// Logs the problem as one event: ERROR when the file or record is refused, else WARN.
    pub fn log(&self) {
        let refuses = matches!(self.category, Category::File | Category::Record);
        let event = ProblemEvent {
            record: self.record,
            category: self.category.number(),
            record_type: self.record_type.into(),
            item: self.item.into(),
            field: self.field.into(),
            month: self.month.into(),
            case: self.case,
            deprecated: self.deprecated,
            message: self.message.into(),
        };
        event.log(refuses, None);
    }
}
