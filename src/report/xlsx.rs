//! The report as a workbook: the sheets Summary, Groups and Problems, and Problems 2 and so on where
//! one sheet can't hold them all.
//!
//! Rows are written as they come, so size costs no memory. Text is written as text, never as a formula.

use std::borrow::Cow;
use std::io::Write;

use anyhow::{Context, Result};
use rust_xlsxwriter::{Format, Workbook, Worksheet};

use super::{Report, Summary};
use crate::clock;
use crate::parser::Category;

/// Rows that a sheet can have, the headings included.
pub(super) const MOST_ROWS: u32 = 1_048_576;

/// Characters (UTF-16 units) that a cell can hold.
const LONGEST_CELL: usize = 32_767;

/// Headings and widths.
type Columns = [(&'static str, f64)];

const GROUPS: &Columns = &[
    ("count", 8.0),
    ("category", 9.0),
    ("kind", 16.0),
    ("record type", 11.0),
    ("item", 8.0),
    ("field", 32.0),
    ("message", 90.0),
    ("first record", 12.0),
    ("example records", 24.0),
    ("deprecated", 11.0),
];

const PROBLEMS: &Columns = &[
    ("record", 9.0),
    ("month", 9.0),
    ("case", 9.0),
    ("record type", 11.0),
    ("item", 8.0),
    ("field", 32.0),
    ("category", 9.0),
    ("kind", 16.0),
    ("message", 110.0),
    ("deprecated", 11.0),
];

enum SheetCell<'a> {
    Number(Option<u64>),
    Text(&'a str),
}
use SheetCell::{Number, Text};

pub(super) fn write(report: &mut Report, out: &mut (impl Write + Send), most_rows: u32) -> Result<()> {
    let mut book = Workbook::new();
    book.set_tempdir(&report.scratch).context("failed to write to the scratch folder")?;
    let bold = Format::new().set_bold();

    summary(&report.summary, book.add_worksheet_with_constant_memory()?, &bold)?;

    let sheet = start(&mut book, "Groups", GROUPS, &bold)?;
    for (group, row) in report.groups.iter().zip(1..) {
        let cells = [
            Number(Some(group.count)),
            Number(Some(group.category.into())),
            Text(&group.kind),
            Text(&group.record_type),
            Text(&group.item),
            Text(&group.field),
            Text(&group.pattern.to_string()),
            Number(group.first_record),
            Text(&group.examples()),
            Text(yes(group.deprecated)),
        ];
        put(sheet, row, &cells)?;
    }

    let mut sheet = start(&mut book, "Problems", PROBLEMS, &bold)?;
    let (mut row, mut sheets) = (1, 1);
    for problem in report.problems()? {
        let problem = problem?;
        if row == most_rows {
            (row, sheets) = (1, sheets + 1);
            sheet = start(&mut book, &format!("Problems {sheets}"), PROBLEMS, &bold)?;
        }
        let cells = [
            Number(problem.record),
            Text(&problem.month),
            Number(problem.case),
            Text(&problem.record_type),
            Text(&problem.item),
            Text(&problem.field),
            Number(Some(problem.category.into())),
            Text(&problem.kind),
            Text(&problem.message),
            Text(yes(problem.deprecated)),
        ];
        put(sheet, row, &cells)?;
        row += 1;
    }
    book.save_to_writer(out).context("failed to write the workbook")
}

/// The facts, then the counts, each under a heading.
fn summary(summary: &Summary, sheet: &mut Worksheet, bold: &Format) -> Result<()> {
    sheet.set_name("Summary")?;
    sheet.set_column_width(0, 30.0)?.set_column_width(1, 60.0)?.set_column_width(2, 10.0)?;
    let mut row = 0;
    for (name, text) in summary.facts(clock::exact_moment) {
        sheet.write_string_with_format(row, 0, name, bold)?;
        match text.parse::<u64>() {
            Ok(number) if number.to_string() == text => put_at(sheet, row, 1, &Number(Some(number)))?,
            _ => put_at(sheet, row, 1, &Text(&text))?,
        }
        row += 1;
    }
    let mut table = |headings: [&str; 3], rows: Vec<[SheetCell<'_>; 3]>| -> Result<()> {
        row += 1;
        for (heading, column) in headings.into_iter().zip(0..) {
            sheet.write_string_with_format(row, column, heading, bold)?;
        }
        row += 1;
        for cells in rows {
            put(sheet, row, &cells)?;
            row += 1;
        }
        Ok(())
    };
    let count = |(&category, &count): (&u8, &u64)| {
        [Number(Some(category.into())), Text(name(category)), Number(Some(count))]
    };
    table(["problems by category", "kind", "count"], summary.by_category.iter().map(count).collect())?;
    let by_month = summary.by_month.iter().flat_map(|(month, counts)| {
        counts.iter().map(|(&category, &count)| [Text(month), Text(name(category)), Number(Some(count))])
    });
    table(["problems by month", "kind", "count"], by_month.collect())?;
    let by_type = summary.created_by_type.iter();
    let by_type = by_type.map(|(name, &count)| [Text(name), Text(""), Number(Some(count))]);
    table(["records created by type", "", "count"], by_type.collect())?;
    let cases = summary.cases.months.iter().flat_map(|(month, cases)| {
        let (sound, flawed) = (cases.accepted_without_errors, cases.accepted_with_errors);
        [("accepted without errors", sound), ("accepted with errors", flawed)]
            .map(|(what, count)| [Text(month), Text(what), Number(Some(count))])
    });
    table(["cases by month", "", "count"], cases.collect())
}

/// A new sheet with its headings, which stay in sight.
fn start<'b>(
    book: &'b mut Workbook,
    name: &str,
    columns: &Columns,
    bold: &Format,
) -> Result<&'b mut Worksheet> {
    let sheet = book.add_worksheet_with_constant_memory()?;
    sheet.set_name(name)?.set_freeze_panes(1, 0)?;
    for (&(heading, width), column) in columns.iter().zip(0..) {
        sheet.set_column_width(column, width)?;
        sheet.write_string_with_format(0, column, heading, bold)?;
    }
    Ok(sheet)
}

fn put(sheet: &mut Worksheet, row: u32, cells: &[SheetCell<'_>]) -> Result<()> {
    cells.iter().zip(0..).try_for_each(|(cell, column)| put_at(sheet, row, column, cell))
}

fn put_at(sheet: &mut Worksheet, row: u32, column: u16, cell: &SheetCell<'_>) -> Result<()> {
    match cell {
        Number(None) | Text("") => {}
        // A sheet's numbers are floating-point; counts and line numbers stay exact to 2^53.
        Number(Some(number)) => drop(sheet.write_number(row, column, *number as f64)?),
        Text(text) => drop(sheet.write_string(row, column, fitting(text))?),
    }
    Ok(())
}

/// As much of the text as a cell holds.
fn fitting(text: &str) -> Cow<'_, str> {
    if text.len() <= LONGEST_CELL || text.encode_utf16().count() <= LONGEST_CELL {
        return Cow::Borrowed(text);
    }
    let mut length = 0;
    let fits = |c: &char| {
        length += c.len_utf16();
        length < LONGEST_CELL
    };
    Cow::Owned(text.chars().take_while(fits).chain(['…']).collect())
}

fn yes(deprecated: bool) -> &'static str {
    if deprecated { "yes" } else { "" }
}

fn name(category: u8) -> &'static str {
    Category::ALL.into_iter().find(|known| known.number() == category).map_or("", Category::name)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Cursor, Read, Seek, Write};

    use super::*;
    use crate::redact::Redactor;

    #[test]
    fn problems_that_one_sheet_cannot_hold_go_on_in_the_next() {
        let folder = tempfile::tempdir().expect("folder");
        let mut log = File::options();
        let log = log.read(true).write(true).create_new(true).open(folder.path().join("log"));
        let mut log = log.expect("log");
        for record in 1..=7 {
            let begin = r#"{"timestamp":"2026-11-21T06:30:23.123456Z","seq":1,"level":"WARN""#;
            let rest = r#""target":"parselog::problem","message":"=1+1","fields":{"category":2}}"#;
            writeln!(log, r#"{begin},"record":{record},{rest}"#).expect("write");
        }
        log.rewind().expect("rewind");
        let mut report = Report::of_file(log, Redactor::default(), folder.path()).expect("report");
        let mut book = Cursor::new(Vec::new());
        write(&mut report, &mut book, 4).expect("write");

        let mut book = zip::ZipArchive::new(book).expect("a zip");
        let mut part = |name: &str| {
            let mut text = String::new();
            book.by_name(name).expect(name).read_to_string(&mut text).expect("text");
            text
        };
        let sheets = part("xl/workbook.xml");
        assert!(sheets.contains("\"Problems 3\"") && !sheets.contains("\"Problems 4\""), "{sheets}");
        let rows: Vec<usize> =
            (3..=5).map(|n| part(&format!("xl/worksheets/sheet{n}.xml")).matches("<row ").count()).collect();
        assert_eq!(rows, [4, 4, 2], "three problems under the headings, then three, then one");
    }

    #[test]
    fn a_text_that_a_cell_cannot_hold_is_cut_and_shows_it() {
        let long = "é𝄞".repeat(LONGEST_CELL);
        let cut = fitting(&long);
        assert!(cut.encode_utf16().count() <= LONGEST_CELL && cut.ends_with('…'));
        assert_eq!(fitting("short"), "short");
    }
}
