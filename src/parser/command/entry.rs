//! Turns a record of an external parser into an event of its run.
//!
//! A warning or an error that names a record or a category is a problem, and looks like one of the built-in
//! parser; an error that names no record is a problem of the file. A line that looks like a record and can't be
//! read whole counts as a second problem.

use serde_json::Value;

use super::super::{Category, Problem};
use super::tally::Tally;
use crate::record::event::EXTERNAL;
use crate::record::{EXCEPTIONS, Foreign, Level, plain};

/// A record on its way to an event.
pub(super) struct Entry {
    pub(super) level: Level,
    pub(super) record: Foreign,
}

impl Entry {
    /// Logs and counts it. `output` is the byte of stdout and of stderr up to which everything is then
    /// logged.
    pub(super) fn log(mut self, tally: &Tally, output: [u64; 2]) {
        let level = self.level;
        let names_record = self.record.rest.get("record").is_some_and(|value| !value.is_null());
        let record = self.number("record");
        if names_record && record.is_none() {
            self.damage("its record is not a number".to_owned());
        }
        if let Some(record) = record {
            tally.record(record);
        }
        let named = self.category();
        let category = match level {
            Level::Error => named.or(Some(if names_record { Category::Record } else { Category::File })),
            Level::Warn => named.or(record.map(|_| Category::Field)),
            _ => named,
        };
        let case = self.number("case");
        let deprecated = self.record.rest.remove("deprecated").is_some_and(|value| value == true);
        let [record_type, item, field, month] =
            ["record_type", "item", "field", "month"].map(|name| self.text(name));
        let mut exceptions = EXCEPTIONS.iter().rev().filter_map(|name| self.record.rest.get(*name)?.as_str());
        if let Some(exception) = exceptions.find(|_| level == Level::Error) {
            tally.exception(exception);
        }
        let Foreign { message, rest, damage, .. } = self.record;
        let context = (!rest.is_empty()).then(|| Value::Object(rest).to_string());
        let problem = category.filter(|_| level >= Level::Warn).map(|category| Problem {
            category,
            record,
            record_type: record_type.as_deref().unwrap_or_default(),
            item: item.as_deref().unwrap_or_default(),
            field: field.as_deref().unwrap_or_default(),
            month: month.as_deref().unwrap_or_default(),
            case,
            deprecated,
            message: &message,
        });
        if let Some(problem) = problem {
            let refuses = level == Level::Error || problem.category.refuses();
            problem.event().log(refuses, context.as_deref(), Some(output));
            tally.problem(&problem);
        } else {
            let [stdout, stderr] = output;
            // The level of an event is part of its static callsite, hence one call for each.
            macro_rules! emit {
                ($level:ident) => {
                    tracing::$level!(
                        target: EXTERNAL,
                        parselog_stdout = stdout,
                        parselog_stderr = stderr,
                        record,
                        category = category.map(Category::number),
                        record_type = record_type.as_deref(),
                        item = item.as_deref(),
                        field = field.as_deref(),
                        month = month.as_deref(),
                        case,
                        deprecated = deprecated.then_some(true),
                        parselog_context = context.as_deref(),
                        "{message}"
                    )
                };
            }
            match level {
                Level::Error => emit!(error),
                Level::Warn => emit!(warn),
                Level::Info => emit!(info),
                Level::Debug => emit!(debug),
                Level::Trace => emit!(trace),
            }
        }
        if let Some(damage) = damage {
            let message = format!("a line of the parser can't be read whole: {damage}");
            let problem = Problem { record, message: &message, ..Problem::new(Category::Record) };
            // The rest of the line was read, so this refuses nothing.
            problem.event().log(false, None, Some(output));
            tally.problem(&problem);
        }
    }

    fn damage(&mut self, damage: String) {
        self.record.damage.get_or_insert(damage);
    }

    /// Takes a number out; anything else stays in the rest.
    fn number(&mut self, name: &str) -> Option<u64> {
        let number = whole(self.record.rest.get(name)?)?;
        self.record.rest.remove(name);
        Some(number)
    }

    fn category(&mut self) -> Option<Category> {
        let value = self.record.rest.get("category").filter(|value| !value.is_null())?;
        let number = whole(value);
        let Some(category) =
            Category::ALL.into_iter().find(|category| number == Some(u64::from(category.number())))
        else {
            self.damage("its category is unknown: expected 1, 2, 3, 4 or 7".to_owned());
            return None;
        };
        self.record.rest.remove("category");
        Some(category)
    }

    fn text(&mut self, name: &str) -> Option<String> {
        let rest = &mut self.record.rest;
        if !matches!(rest.get(name)?, Value::String(_) | Value::Number(_)) {
            return None;
        }
        rest.remove(name).map(plain).filter(|text| !text.is_empty())
    }
}

/// A whole number of zero or more, whatever it is written as: 4, "4" or 4.0.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is whole and in range")]
fn whole(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => text.trim().parse().ok(),
        value => value.as_u64().or_else(|| {
            let number = value.as_f64()?;
            (number.fract() == 0.0 && (0.0..9e15).contains(&number)).then_some(number as u64)
        }),
    }
}
