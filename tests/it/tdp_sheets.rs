//! FRA submissions: rows of a csv file or of a workbook.

use std::io::{Cursor, Write as _};

use parselog::parser::SummaryStatus::{Accepted, PartiallyAccepted, Rejected};

use crate::tdp_support::{As, Parsed, parse_text};
use crate::tdp_workbook::{number, parts, text, workbook, zipped};

const FRA: As<'_> = As { program: "fra", section: "work-outcomes", year: 2024, quarter: 2 };

fn csv(text: &str) -> Parsed {
    parse_text(text, "exits.CSV", FRA)
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
    for start in ["", "\n202401,912345678", "202401", "202401,", "202401,912345678,x"] {
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

#[test]
fn the_first_visible_sheet_is_read_and_named_where_it_does_not_fit() {
    let (month, ssn, note) = (number("202401"), number("912345678"), text("how to fill this in"));
    let data: &[(u32, &[&str])] = &[(1, &[&month, &ssn])];
    let notes: &[(u32, &[&str])] = &[(1, &[&note])];
    let hidden = [("Notes", r#"state="hidden""#, notes), ("Exits", "", data)];
    let parsed = parse_text(zipped(&parts(&hidden)), "exits.xlsx", FRA);
    assert_eq!((parsed.outcome.summary, parsed.records.len()), (Accepted, 1));
    let visible = [("Read me", "", notes), ("Exits", "", data)];
    let parsed = parse_text(zipped(&parts(&visible)), "exits.xlsx", FRA);
    assert_eq!(parsed.outcome.summary, Rejected);
    let message = parsed.problems[0].message();
    assert!(message.contains("the first row of sheet 'Read me'"), "{message}");
    let none = [("Exits", r#"state="veryHidden""#, data)];
    let parsed = parse_text(zipped(&parts(&none)), "exits.xlsx", FRA);
    assert!(parsed.problems[0].message().contains("no visible sheet"), "{:?}", parsed.problems);
}

#[test]
fn a_number_is_read_with_the_leading_zeros_that_its_format_shows() {
    let month = number("202401");
    for format in ["2", "3"] {
        let shown = format!(r#"s="{format}"><v>12345678</v>"#);
        let parsed = parse_text(workbook(&[(1, &[&month, &shown])]), "exits.xlsx", FRA);
        assert_eq!(parsed.outcome.summary, Accepted, "{:?}", parsed.problems);
        assert_eq!(parsed.records[0].1["SSN"], "012345678");
    }
}
