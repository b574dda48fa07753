//! The report as one table. The column `part` says what a row is: a fact or count of the `summary`,
//! a `group`, or a `problem`.
//!
//! No cell is a formula: a text that a spreadsheet would run begins with an apostrophe. The time is in RFC 3339 with the
//! offset of this machine's zone, which programs and people can read.

use std::borrow::Cow;
use std::io::Write;

use anyhow::Result;

use super::Report;
use crate::clock;
use crate::parser::Category;
use crate::record::Safe;

const COLUMNS: [&str; 14] = [
    "part",
    "name",
    "count",
    "category",
    "kind",
    "record_type",
    "item",
    "field",
    "month",
    "case",
    "record",
    "deprecated",
    "text",
    "examples",
];

/// One row; missing cells stay empty.
#[derive(Clone, Copy, Default)]
struct CsvRow<'a> {
    part: &'a str,
    name: &'a str,
    count: Option<u64>,
    category: Option<u8>,
    record_type: &'a str,
    item: &'a str,
    field: &'a str,
    month: &'a str,
    case: Option<u64>,
    record: Option<u64>,
    deprecated: bool,
    text: &'a str,
    examples: &'a str,
}

pub(super) fn write(report: &mut Report, out: &mut impl Write) -> Result<()> {
    let mut table = csv::Writer::from_writer(out);
    table.write_record(COLUMNS)?;
    let summary = &report.summary;
    for (name, text) in summary.facts(clock::rfc3339) {
        put(&mut table, &CsvRow { part: "summary", name, text: &text, ..CsvRow::default() })?;
    }
    let problems = CsvRow { part: "summary", name: "problems", ..CsvRow::default() };
    for (&category, &count) in &summary.by_category {
        put(&mut table, &CsvRow { count: Some(count), category: Some(category), ..problems })?;
    }
    for (month, counts) in &summary.by_month {
        for (&category, &count) in counts {
            put(&mut table, &CsvRow { count: Some(count), category: Some(category), month, ..problems })?;
        }
    }
    for (record_type, &count) in &summary.created_by_type {
        let row = CsvRow { part: "summary", name: "records created", ..CsvRow::default() };
        put(&mut table, &CsvRow { count: Some(count), record_type, ..row })?;
    }
    for (month, cases) in &summary.cases.months {
        let row = CsvRow { part: "summary", month, ..CsvRow::default() };
        let (sound, flawed) = (Some(cases.accepted_without_errors), Some(cases.accepted_with_errors));
        put(&mut table, &CsvRow { name: "cases accepted without errors", count: sound, ..row })?;
        put(&mut table, &CsvRow { name: "cases accepted with errors", count: flawed, ..row })?;
    }
    for group in &report.groups {
        let row = CsvRow {
            part: "group",
            count: Some(group.count),
            category: Some(group.category),
            record_type: &group.record_type,
            item: &group.item,
            field: &group.field,
            record: group.first_record,
            deprecated: group.deprecated,
            text: &group.pattern.to_string(),
            examples: &group.examples(),
            ..CsvRow::default()
        };
        put(&mut table, &row)?;
    }
    for problem in report.problems()? {
        let problem = problem?;
        let row = CsvRow {
            part: "problem",
            category: Some(problem.category),
            record_type: &problem.record_type,
            item: &problem.item,
            field: &problem.field,
            month: &problem.month,
            case: problem.case,
            record: problem.record,
            deprecated: problem.deprecated,
            text: &problem.message,
            ..CsvRow::default()
        };
        put(&mut table, &row)?;
    }
    table.flush()?;
    Ok(())
}

fn put(table: &mut csv::Writer<impl Write>, row: &CsvRow<'_>) -> Result<()> {
    let number = |number: Option<u64>| number.map_or_else(String::new, |number| number.to_string());
    let kind = Category::ALL.into_iter().find(|category| Some(category.number()) == row.category);
    let cells: [Cow<'_, str>; COLUMNS.len()] = [
        row.part.into(),
        row.name.into(),
        number(row.count).into(),
        number(row.category.map(u64::from)).into(),
        kind.map_or("", Category::name).into(),
        inert(row.record_type),
        inert(row.item),
        inert(row.field),
        inert(row.month),
        number(row.case).into(),
        number(row.record).into(),
        (if row.deprecated { "yes" } else { "" }).into(),
        inert(row.text),
        Safe(row.examples).to_string().into(),
    ];
    Ok(table.write_record(cells.iter().map(|cell| cell.as_bytes()))?)
}

/// The text, unable to be a formula in any spreadsheet, or to fool the terminal that shows it.
fn inert(text: &str) -> Cow<'_, str> {
    let runs = |c: char| matches!(c, '=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '＝' | '＋' | '－' | '＠');
    let sign = if text.trim_start().starts_with(runs) || text.starts_with(runs) { "'" } else { "" };
    Cow::Owned(format!("{sign}{}", Safe(text)))
}
