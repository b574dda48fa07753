//! What problems are called, for the analyst who has to mend the file.
//!
//! The value of a sensitive field is never in a message, and no more than the start of any other.

use std::fmt::Write as _;

use super::check::Check;
use super::index::What;
use super::layout::{
    Condition, Field, Finding, Link, Precheck, RecordType, Rule, RuleKind, Section, Segment,
};
use super::period::Period;
use super::record::Record;
use super::value::{At, Line, Value, is_blank};

/// Characters of a value that a message quotes.
const QUOTED: usize = 12;

/// What is wrong with a record, and the field it is filed under.
pub(super) fn finding<'s>(
    segment: &'s Segment,
    finding: Finding<'s>,
    record: &Record,
) -> (&'s Field, String) {
    match finding {
        Finding::Missing(field) => (field, format!("{} is required and blank", named(field))),
        Finding::Failed(field, check) => {
            let value = segment.fields.iter().position(|other| std::ptr::eq(other, field));
            let value = value.map_or(Value::Blank, |position| record.values[position]);
            (field, demanded(field, value, check, record))
        }
        Finding::Broken(rule) | Finding::Deprecated(rule) => {
            (&segment.fields[rule.field()], broken(segment, rule, record))
        }
    }
}

/// A linked rule that a record breaks.
pub(super) fn linked(segment: &Segment, link: &Link, record: &Record) -> String {
    let field = &segment.fields[link.demand.field];
    let value = record.values[link.demand.field];
    let demand = demanded(field, value, &link.demand.check, record);
    format!("{demand}, because the case has a {}", link.when_text)
}

/// A pre-check that a line fails.
pub(super) fn precheck(segment: &Segment, precheck: &Precheck, line: &Line<'_>, period: Period) -> String {
    let long = line.len();
    match precheck {
        Precheck::LengthAtLeast(least) => {
            format!("the line is {long} characters long and must have at least {least}")
        }
        Precheck::LengthExactly(length) => {
            format!("the line is {long} characters long and must have exactly {length}")
        }
        Precheck::StartsWith(start) => format!("the line must start with {start}"),
        Precheck::Filled(at) | Precheck::FilledNotZeros(at) => match field_at(segment, *at) {
            Some(field) => format!("{} must not be blank", named(field)),
            None if long < at.end => {
                format!("the line is {long} characters long and must have at least {}", at.end)
            }
            None => format!("characters {} to {} must not be blank", at.start + 1, at.end),
        },
        Precheck::MonthInQuarter => {
            let field = segment.month.map(|month| &segment.fields[month]);
            let value = field.filter(|field| !field.sensitive).and_then(|field| line.get(field.at));
            let is = match value {
                None => String::new(),
                Some(bytes) if is_blank(bytes) => " is blank and".to_owned(),
                Some(bytes) => format!(" is {} and", quoted(bytes)),
            };
            let name = field.map_or_else(|| "the month".to_owned(), named);
            format!(
                "{name}{is} must be a month of the file's quarter, {} to {}",
                period.month(0).0,
                period.month(2).0
            )
        }
        Precheck::Quarter(at) => {
            let name = field_at(segment, *at)
                .map_or_else(|| format!("characters {} to {}", at.start + 1, at.end), named);
            format!("{name} must be a year from 2020 on and a quarter from 1 to 4 (YYYYQ)")
        }
    }
}

/// A problem between records.
pub(super) fn between(section: &Section, kind: &RecordType, what: What) -> String {
    let name = &kind.name;
    match what {
        What::Duplicate { of } => format!("this {name} is a copy of record {of}: every value is the same"),
        What::Partial { of } => {
            let segment = &kind.segments[0];
            let fields = segment.partial_key.iter().map(|&field| named(&segment.fields[field]));
            let fields = fields.collect::<Vec<_>>().join(", ");
            format!("this {name} is a partial duplicate of record {of}: these are the same: {fields}")
        }
        What::TooMany => {
            let most = section.most_records.unwrap_or_default();
            format!("the case has more than {most} records in this month")
        }
        What::Relation { rule, none } => {
            let rule = &section.relations[rule];
            let types = rule.types.iter().map(|&kind| section.records[usize::from(kind)].name.as_str());
            let types = types.collect::<Vec<_>>().join(" or ");
            let mut text = format!("this {name}");
            if !rule.every_text.is_empty() {
                let _ = write!(text, " with {}", rule.every_text);
            }
            let _ = write!(text, " needs at least one {types} with the same month and case number");
            if !rule.needs_text.is_empty() {
                let _ = write!(text, ", and with {}", rule.needs_text);
            }
            if none {
                text.push_str("; there is none");
            } else {
                text.push_str("; there is one, but not with that");
            }
            text
        }
    }
}

fn broken(segment: &Segment, rule: &Rule, record: &Record) -> String {
    let list =
        |fields: &[usize]| fields.iter().map(|&f| named(&segment.fields[f])).collect::<Vec<_>>().join(", ");
    match &rule.kind {
        RuleKind::SumAbove { parts, least } => {
            format!("the sum of {} must be more than {least}", list(parts))
        }
        RuleKind::SumEquals { total, parts } => {
            format!("{} must be the sum of {}", named(&segment.fields[*total]), list(parts))
        }
        RuleKind::Demand { when, then } => {
            let mut text =
                demanded(&segment.fields[then.field], record.values[then.field], &then.check, record);
            for (nth, condition) in when.iter().enumerate() {
                text.push_str(if nth == 0 { ", because " } else { " and " });
                text.push_str(&reason(segment, condition, record));
            }
            text
        }
    }
}

fn demanded(field: &Field, value: Value, check: &Check, record: &Record) -> String {
    let (name, demand) = (named(field), &check.demand);
    match shown(field, value, record) {
        Some(value) => format!("{name} is {value} and must {demand}"),
        None => format!("{name} must {demand} (its value is not shown)"),
    }
}

fn reason(segment: &Segment, condition: &Condition, record: &Record) -> String {
    let field = &segment.fields[condition.field];
    match shown(field, record.values[condition.field], record) {
        Some(value) => format!("{} is {value}", named(field)),
        None => format!("{} turns out to {}", named(field), condition.check.demand),
    }
}

/// The value in quotes; `None` where it must not be shown.
fn shown(field: &Field, value: Value, record: &Record) -> Option<String> {
    match value {
        Value::Blank => Some("blank".to_owned()),
        _ if field.sensitive => None,
        Value::Number(number) => Some(number.to_string()),
        Value::Text(span) => Some(quoted(span.of(&record.bytes))),
    }
}

/// The start of a value in quotes, control characters escaped.
fn quoted(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let start: String = text.chars().take(QUOTED).flat_map(char::escape_debug).collect();
    let more = if text.chars().nth(QUOTED).is_some() { "…" } else { "" };
    format!("'{start}{more}'")
}

fn field_at(segment: &Segment, at: At) -> Option<&Field> {
    segment.fields.iter().find(|field| field.at == at)
}

fn named(field: &Field) -> String {
    format!("item {} {}", field.item, field.name)
}
