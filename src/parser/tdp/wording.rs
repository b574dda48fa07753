//! The wording of problems, for the analyst who has to fix the file.
//!
//! The value of a sensitive field is never in a message, and no more than the start of any other.

use std::fmt::Write as _;

use super::check::{Check, Test};
use super::index::What;
use super::layout::{
    Condition, Fault, Field, LineSegment, Link, Precheck, RecordType, Rule, RuleKind, Section,
};
use super::period::Period;
use super::record::Values;
use super::value::{At, Flaw, SourceLine, Value, is_blank};

/// Characters of a value that a message quotes.
const QUOTED: usize = 12;

/// A problem of a record, and the field it belongs to.
pub(super) fn finding<'s>(
    segment: &'s LineSegment,
    finding: Fault<'s>,
    record: &Values,
    line: &SourceLine<'_>,
) -> (&'s Field, String) {
    match finding {
        Fault::Missing(field) => (field, missing(field, line)),
        Fault::Failed(field, check) => {
            let value = segment.fields.iter().position(|other| std::ptr::eq(other, field));
            let value = value.map_or(Value::Blank, |position| record.values[position]);
            (field, demanded(field, value, check, record, line))
        }
        Fault::Broken(rule) | Fault::Deprecated(rule) => {
            (&segment.fields[rule.field()], broken(segment, rule, record, line))
        }
    }
}

/// A linked rule that a record breaks.
pub(super) fn linked(segment: &LineSegment, link: &Link, record: &Values, line: &SourceLine<'_>) -> String {
    let field = &segment.fields[link.demand.field];
    let value = record.values[link.demand.field];
    let demand = demanded(field, value, &link.demand.check, record, line);
    format!("{demand}, because the case has a {}", link.when_text)
}

/// A pre-check that a line fails.
pub(super) fn precheck(
    segment: &LineSegment,
    precheck: &Precheck,
    line: &SourceLine<'_>,
    period: Period,
) -> String {
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
pub(super) fn between(section: &Section, kind: &RecordType, what: What, line: &SourceLine<'_>) -> String {
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
        What::Relation { rule, none, refused } => {
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
            if let Some(line) = refused {
                let _ = write!(text, "; record {line} was to be one and is refused");
            } else if none && kind.segments[0].case_begins_blank(line) {
                text.push_str(
                    "; its own case number begins with a blank, so its characters may be out of place",
                );
            } else if none {
                text.push_str("; there is none");
            } else {
                text.push_str("; there is one, but not with that");
            }
            text
        }
    }
}

fn broken(segment: &LineSegment, rule: &Rule, record: &Values, line: &SourceLine<'_>) -> String {
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
                demanded(&segment.fields[then.field], record.values[then.field], &then.check, record, line);
            for (nth, condition) in when.iter().enumerate() {
                text.push_str(if nth == 0 { ", because " } else { " and " });
                text.push_str(&reason(segment, condition, record, line));
            }
            text
        }
    }
}

fn demanded(field: &Field, value: Value, check: &Check, record: &Values, line: &SourceLine<'_>) -> String {
    let (name, demand) = (named(field), &check.demand);
    match shown(field, value, record, line) {
        Some(value) => format!("{name} is {value} and must {demand}"),
        None => format!("{name} must {demand} (its value is not shown{})", hint(check, value, record)),
    }
}

fn reason(segment: &LineSegment, condition: &Condition, record: &Values, line: &SourceLine<'_>) -> String {
    let field = &segment.fields[condition.field];
    match shown(field, record.values[condition.field], record, line) {
        Some(value) => format!("{} is {value}", named(field)),
        None => format!("{} turns out to {}", named(field), condition.check.demand),
    }
}

/// The value in quotes; `None` if it must not be shown.
fn shown(field: &Field, value: Value, record: &Values, line: &SourceLine<'_>) -> Option<String> {
    match value {
        Value::Blank => match no_number(field, line) {
            None => Some("blank".to_owned()),
            Some(_) if field.sensitive => None,
            Some(bytes) => Some(quoted(bytes)),
        },
        _ if field.sensitive => None,
        Value::Number(number) => Some(number.to_string()),
        Value::Text(span) => Some(quoted(span.of(&record.bytes))),
    }
}

/// The content of a number field that is not a number.
fn no_number<'l>(field: &Field, line: &SourceLine<'l>) -> Option<&'l [u8]> {
    line.get(field.at).filter(|bytes| !is_blank(bytes) && !bytes.iter().all(u8::is_ascii_whitespace))
}

fn missing(field: &Field, line: &SourceLine<'_>) -> String {
    let name = named(field);
    match no_number(field, line) {
        None => format!("{name} is required and blank"),
        Some(_) if field.sensitive => format!("{name} must be a number (its value is not shown)"),
        Some(bytes) => format!("{name} is {} and must be a number", quoted(bytes)),
    }
}

/// What a spreadsheet may have done to a number that must not be shown. A field of fixed width has its
/// blanks, so only a cell can be all digits and yet too short.
fn hint(check: &Check, value: Value, record: &Values) -> String {
    let (Test::Ssn, Value::Text(span)) = (&check.test, value) else { return String::new() };
    let text = span.of(&record.bytes);
    match text {
        _ if text.len() < 9 && text.iter().all(u8::is_ascii_digit) => {
            format!("; it has {} digits: Excel drops leading zeros, so keep the column as text", text.len())
        }
        [b'=' | b'\'' | b'"', ..] => {
            "; it begins with a mark of Excel's, = or ': save the digits alone".to_owned()
        }
        _ if text.contains(&b'+') => "; Excel has rounded it: keep the column as text".to_owned(),
        _ => String::new(),
    }
}

/// Why a line was not read at all.
pub(super) fn flaw(flaw: Flaw) -> String {
    match flaw {
        Flaw::NotUtf8 { after } => format!(
            "the line is not UTF-8 text from character {} on, perhaps Windows-1252; save the file as UTF-8",
            after + 1
        ),
        Flaw::OpenQuote => "a quote is not closed in the line; a cell must not hold a line break".to_owned(),
    }
}

/// A line that begins with no record type of the section, or with one behind blanks or in small letters.
pub(super) fn unknown(section: &Section, resembled: Option<(usize, &RecordType)>) -> String {
    let names = section.records.iter().map(|record| record.name.as_str()).collect::<Vec<_>>().join(", ");
    let hint = resembled.map_or_else(String::new, |(_, record)| {
        format!("; {} must stand at its very start, in capital letters", record.name)
    });
    format!("the line begins with no record type of this section ({names}){hint}")
}

/// A first row that does not hold data in two columns.
pub(super) fn first_row(sheet: &str, row: &[u8]) -> String {
    let of = if sheet.is_empty() { String::new() } else { format!(" of sheet '{sheet}'") };
    let demand = format!("the first row{of} must hold data in exactly two columns, without a heading");
    let separators = [(b';', "semicolons"), (b'\t', "tabs"), (b'|', "bars")];
    let found = separators.into_iter().find(|(separator, _)| row.contains(separator));
    match found {
        _ if row.starts_with(b"sep=") => {
            format!("{demand}; it is a 'sep=' line, which only Excel knows: remove it")
        }
        Some((_, name)) => format!("{demand}; {name} separate its cells: save the file with commas"),
        None => demand,
    }
}

/// The start of a value in quotes, control characters escaped.
fn quoted(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let start: String = text.chars().take(QUOTED).flat_map(char::escape_debug).collect();
    let more = if text.chars().nth(QUOTED).is_some() { "…" } else { "" };
    format!("'{start}{more}'")
}

fn field_at(segment: &LineSegment, at: At) -> Option<&Field> {
    segment.fields.iter().find(|field| field.at == at)
}

fn named(field: &Field) -> String {
    format!("item {} {}", field.item, field.name)
}
