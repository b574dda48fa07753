//! FRA submissions: rows of a csv file or of a workbook.

use std::fmt::Write as _;
use std::io::{Cursor, Write as _};

use parselog::parser::SummaryStatus::{Accepted, PartiallyAccepted, Rejected};

use crate::tdp_support::{As, Parsed, parse_text};

const FRA: As<'_> = As { program: "fra", section: "work-outcomes", year: 2024, quarter: 2 };

fn csv(text: &str) -> Parsed {
    parse_text(text, "exits.CSV", FRA)
}

/// A workbook of one sheet; each cell is the inside of a `<c>` element, with its attributes.
fn workbook(rows: &[(u32, &[&str])]) -> Vec<u8> {
    let mut sheet = String::from(
        r#"<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>"#,
    );
    for (row, cells) in rows {
        write!(sheet, r#"<row r="{row}">"#).expect("write");
        for (column, cell) in ["A", "B", "C"].iter().zip(*cells) {
            write!(sheet, r#"<c r="{column}{row}" {cell}</c>"#).expect("write");
        }
        sheet.push_str("</row>");
    }
    sheet.push_str("</sheetData></worksheet>");
    let types = "application/vnd.openxmlformats-officedocument.spreadsheetml";
    let relations = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    let packages = "http://schemas.openxmlformats.org/package/2006";
    let main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
    let parts = [
        (
            "[Content_Types].xml",
            format!(
                r#"<Types xmlns="{packages}/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Override PartName="/xl/workbook.xml" ContentType="{types}.sheet.main+xml"/><Override PartName="/xl/worksheets/sheet1.xml" ContentType="{types}.worksheet+xml"/></Types>"#
            ),
        ),
        (
            "_rels/.rels",
            format!(
                r#"<Relationships xmlns="{packages}/relationships"><Relationship Id="r1" Type="{relations}/officeDocument" Target="xl/workbook.xml"/></Relationships>"#
            ),
        ),
        (
            "xl/workbook.xml",
            format!(
                r#"<workbook xmlns="{main}" xmlns:r="{relations}"><sheets><sheet name="Exits" sheetId="1" r:id="r1"/></sheets></workbook>"#
            ),
        ),
        (
            "xl/_rels/workbook.xml.rels",
            format!(
                r#"<Relationships xmlns="{packages}/relationships"><Relationship Id="r1" Type="{relations}/worksheet" Target="worksheets/sheet1.xml"/><Relationship Id="r2" Type="{relations}/styles" Target="styles.xml"/></Relationships>"#
            ),
        ),
        (
            "xl/styles.xml",
            format!(
                r#"<styleSheet xmlns="{main}"><cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="14" applyNumberFormat="1"/></cellXfs></styleSheet>"#
            ),
        ),
        ("xl/worksheets/sheet1.xml", sheet),
    ];
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in parts {
        archive.start_file(name, zip::write::SimpleFileOptions::default()).expect("part");
        archive.write_all(text.as_bytes()).expect("part");
    }
    archive.finish().expect("archive").into_inner()
}

fn number(value: &str) -> String {
    format!("><v>{value}</v>")
}

fn text(value: &str) -> String {
    format!(r#"t="inlineStr"><is><t>{value}</t></is>"#)
}

fn found(parsed: &Parsed) -> Vec<(u64, u64)> {
    parsed.problems.iter().map(|problem| (problem.record.unwrap_or(0), problem.category)).collect()
}

#[test]
fn rows_of_the_quarter_are_taken_and_empty_rows_and_remarks_passed_over() {
    let parsed = csv("202401,912345678\r\n\r\n# remark,1\n , \n\"202403\",\"912345679\"\n");
    assert_eq!((parsed.outcome.summary, found(&parsed)), (Accepted, vec![]));
    assert_eq!((parsed.outcome.records_in_file, parsed.outcome.records_created), (2, 2));
    let (record_type, record) = &parsed.records[1];
    assert_eq!(record_type, "TE1");
    assert_eq!(serde_json::to_string(record).expect("json"), r#"{"EXIT_DATE":202403,"SSN":"912345679"}"#);
}

#[test]
fn a_row_with_a_problem_is_not_stored_and_all_its_problems_are_of_category_four() {
    let rows = [
        ("202312,912345678", 1),
        ("202413,912345678", 1),
        ("January,912345678", 2),
        (",912345678", 2),
        ("202401,", 1),
        ("202401", 1),
        ("202401,000123456", 1),
        ("202401,666123456", 1),
        ("202401,912-34-5678", 1),
        ("202399,91234567A", 2),
    ];
    for (row, problems) in rows {
        let parsed = csv(&format!("202401,912345670\n{row}\n"));
        assert_eq!(found(&parsed), vec![(2, 4); problems], "{row}");
        assert_eq!((parsed.outcome.summary, parsed.records.len()), (PartiallyAccepted, 1), "{row}");
        assert_eq!(parsed.outcome.records_in_file, 2);
    }
}

#[test]
fn equal_rows_are_all_taken_out_except_for_the_number_nobody_has() {
    let parsed = csv("202401,912345678\n202402,912345678\n202401,912345678\n202401,912345678\n");
    assert_eq!((found(&parsed), parsed.records.len()), (vec![(3, 4), (4, 4)], 1));
    let parsed = csv("202401,999999999\n202401,999999999\n");
    assert_eq!((parsed.outcome.summary, parsed.records.len()), (Accepted, 2));
}

#[test]
fn the_first_row_must_hold_data_in_two_columns() {
    for start in ["", "\n202401,912345678", "202401", "202401,", "202401,912345678,x", "202401,912345678,"] {
        let parsed = csv(&format!("{start}\n202401,912345678\n"));
        assert_eq!((parsed.outcome.summary, found(&parsed)), (Rejected, vec![(1, 1)]), "{start:?}");
    }
    let heading = csv("Exit Date,SSN\n202401,912345678\n");
    assert_eq!(heading.outcome.summary, PartiallyAccepted, "a heading is a row with problems");
}

#[test]
fn a_workbook_is_read_with_its_numbers_texts_and_dates() {
    let book = workbook(&[
        (1, &[&number("202401"), &number("912345678")]),
        (2, &[&text("202402"), &text("912345679")]),
        (4, &[&text("# remark")]),
        // The 15th of February 2024, as a day number.
        (5, &[r#"s="1"><v>45337</v>"#, &number("912345670")]),
        (6, &[&number("202401"), &number("12345678")]),
        (7, &[&number("202301"), &text("")]),
    ]);
    let parsed = parse_text(book, "exits.xlsx", FRA);
    let months: Vec<_> = parsed.records.iter().map(|(_, record)| record["EXIT_DATE"].as_u64()).collect();
    assert_eq!(months, [Some(202_401), Some(202_402), Some(202_402)]);
    assert_eq!(found(&parsed), [(6, 4), (7, 4), (7, 4)]);
    assert_eq!(parsed.outcome.records_in_file, 5);
}

#[test]
fn a_workbook_whose_first_row_is_empty_or_too_wide_is_refused() {
    let (month, ssn) = (number("202401"), number("912345678"));
    let wide: &[&str] = &[&month, &ssn, &month];
    for rows in [[(2, &wide[..2])], [(1, wide)], [(1, &wide[..1])]] {
        let parsed = parse_text(workbook(&rows), "exits.xlsx", FRA);
        assert_eq!((parsed.outcome.summary, found(&parsed)), (Rejected, vec![(1, 1)]));
    }
}

#[test]
fn a_workbook_that_unpacks_to_too_much_is_refused_before_it_is_read() {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let packed =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    archive.start_file("xl/sharedStrings.xml", packed).expect("part");
    for _ in 0..300 {
        archive.write_all(&vec![b' '; 1 << 20]).expect("part");
    }
    let bomb = archive.finish().expect("archive").into_inner();
    assert!(bomb.len() < 1 << 20);
    let parsed = parse_text(bomb, "exits.xlsx", FRA);
    assert_eq!((parsed.outcome.summary, found(&parsed)), (Rejected, vec![(0, 1)]));
}

#[test]
fn a_sheet_must_be_csv_or_a_workbook() {
    let parsed = parse_text("202401,912345678\n", "exits.txt", FRA);
    assert_eq!((parsed.outcome.summary, found(&parsed)), (Rejected, vec![(0, 1)]));
}
