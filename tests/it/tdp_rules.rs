//! Rules about the file as a whole and about its lines, each by a submission that breaks it.

use parselog::parser::SummaryStatus::{Accepted, AcceptedWithErrors, PartiallyAccepted, Rejected};

use crate::tdp_support::{ACTIVE, As, Parsed, changed, first, found, only, parse_text, put, sound, summary};

const HEADER: &str = "HEADER20204A06000TAN1 D";

// Category 1: the file.

#[test]
fn a_file_of_unknown_kind_is_refused_as_a_whole() {
    for (bytes, name) in [
        (&b"\xff\xfe\0H"[..], "a.txt"),
        (b"PK\x03\x04 no workbook", "a.xlsx"),
        (b"\x89PNG\r\n\x1a\n", "a.csv"),
    ] {
        let parsed = parse_text(bytes, name, ACTIVE);
        assert_eq!((summary(&parsed), found(&parsed)), (Rejected, vec![(0, 1)]), "{name}");
    }
    let csv = parse_text(HEADER, "a.csv", ACTIVE);
    assert_eq!(found(&csv), [(0, 1)], "a fixed-width file is not csv");
}

#[test]
fn a_header_of_wrong_length_and_start_has_both_reported_and_nothing_else() {
    for text in ["", "T1trash\nT1trash", "\n\n"] {
        let parsed = parse_text(text, "a.txt", ACTIVE);
        assert_eq!((summary(&parsed), found(&parsed)), (Rejected, vec![(1, 1), (1, 1)]), "{text:?}");
    }
    let blanks_around = changed(ACTIVE, |lines| lines[0] = format!("  {}  ", lines[0]));
    assert_eq!(summary(&blanks_around), Accepted);
}

#[test]
fn a_wrong_header_field_refuses_the_file_and_a_wrong_update_flag_only_warns() {
    let parsed = changed(ACTIVE, |lines| put(&mut lines[0], 20, "7"));
    assert_eq!((summary(&parsed), found(&parsed)), (Rejected, vec![(1, 2)]));
    let parsed = changed(ACTIVE, |lines| put(&mut lines[0], 22, "U"));
    assert_eq!((summary(&parsed), found(&parsed)), (AcceptedWithErrors, vec![(1, 2)]));
    assert!(only(&parsed).message().starts_with("item 10 update is 'U'"));
}

#[test]
fn a_header_that_is_not_what_was_submitted_refuses_the_file() {
    let refused = |parsed: Parsed, says: &str| {
        assert_eq!((summary(&parsed), found(&parsed)), (Rejected, vec![(1, 1)]), "{says}");
        assert!(only(&parsed).message().contains(says), "{}", only(&parsed).message());
        assert!(parsed.records.is_empty());
    };
    refused(changed(ACTIVE, |lines| put(&mut lines[0], 12, "00")), "neither a state nor a tribe");
    refused(changed(ACTIVE, |lines| put(&mut lines[0], 14, "142")), "names a tribe");
    refused(changed(ACTIVE, |lines| put(&mut lines[0], 12, "00142")), "program TAN of a tribe");
    refused(changed(ACTIVE, |lines| put(&mut lines[0], 17, "SSP")), "program SSP");
    refused(changed(ACTIVE, |lines| put(&mut lines[0], 11, "C")), "section C");
    refused(changed(ACTIVE, |lines| put(&mut lines[0], 6, "20211")), "calendar year 2021 quarter 1");
}

#[test]
fn a_second_header_takes_everything_back() {
    let parsed = changed(ACTIVE, |lines| {
        put(first(lines, "T1"), 30, "9");
        lines.insert(4, HEADER.to_owned());
    });
    assert_eq!((summary(&parsed), found(&parsed)), (Rejected, vec![(5, 1)]));
    assert!(parsed.records.is_empty());
}

#[test]
fn a_file_without_records_is_accepted_when_its_trailer_counts_none() {
    let empty = |trailer: &str| parse_text(format!("{HEADER}\n{trailer}\n"), "a.txt", ACTIVE);
    assert_eq!(summary(&empty("TRAILER0000000         ")), Accepted);
    assert_eq!(found(&empty("TRAILER0000001         ")), [(2, 1), (0, 1)]);
    assert_eq!(found(&empty("TRAILERabcdefg         ")), [(2, 2), (0, 1)]);
    assert_eq!(found(&empty("TRAILER0000000")), [(2, 7), (0, 1)]);
    let headed = parse_text(HEADER, "a.txt", ACTIVE);
    assert_eq!((summary(&headed), found(&headed)), (Rejected, vec![(1, 7), (0, 1)]));
}

#[test]
fn a_file_of_which_nothing_can_be_accepted_is_refused() {
    let parsed = parse_text(format!("{HEADER}\nX1\nTRAILER0000001         "), "a.txt", ACTIVE);
    assert_eq!((summary(&parsed), found(&parsed)), (Rejected, vec![(2, 7), (0, 1)]));
}

// Category 7: lines and records.

#[test]
fn a_trailer_must_be_there_once_and_whole_but_its_count_is_not_checked_beside_records() {
    let last = sound(ACTIVE, 3).len() as u64;
    let parsed = changed(ACTIVE, |lines| drop(lines.pop()));
    assert_eq!((summary(&parsed), found(&parsed)), (PartiallyAccepted, vec![(last - 1, 7), (last - 1, 7)]));
    let parsed = changed(ACTIVE, |lines| lines.push("TRAILER0000099         ".to_owned()));
    assert_eq!(found(&parsed), [(last + 1, 7)]);
    let parsed = changed(ACTIVE, |lines| *first(lines, "TRAILER") = "TRAILER0000099         ".to_owned());
    assert_eq!(summary(&parsed), Accepted);
}

#[test]
fn a_line_of_no_known_type_is_refused_blank_lines_and_remarks_included() {
    for line in ["", "# remark", "T9", "M1", "t1"] {
        let parsed = changed(ACTIVE, |lines| lines.insert(2, line.to_owned()));
        assert_eq!((summary(&parsed), found(&parsed)[0]), (PartiallyAccepted, (3, 7)), "{line:?}");
        assert!(parsed.problems[0].message().contains("T1, T2, T3"));
    }
}

#[test]
fn a_line_that_is_not_utf8_is_refused_and_the_parse_goes_on() {
    let mut bytes = sound(ACTIVE, 60).join("\n").into_bytes();
    let at = bytes.iter().rposition(|&byte| byte == b'T').expect("trailer");
    bytes.splice(at..at, *b"T1\xff\xfe\n");
    assert!(at > 4096);
    let parsed = parse_text(bytes, "a.txt", ACTIVE);
    assert_eq!((summary(&parsed), only(&parsed).category), (PartiallyAccepted, 7));
}

#[test]
fn every_failed_pre_check_is_reported_and_drops_the_record() {
    let parsed = changed(ACTIVE, |lines| {
        let line = first(lines, "T1");
        line.truncate(100);
        put(line, 2, "202101");
        put(line, 8, "           ");
    });
    let on_line_2: Vec<_> = parsed.problems.iter().filter(|p| p.record == Some(2)).collect();
    assert_eq!(on_line_2.iter().map(|problem| problem.category).collect::<Vec<_>>(), [7, 7, 7]);
    assert!(on_line_2[0].message().contains("100 characters long"));
    assert_eq!(on_line_2[1].message(), "item 6 CASE_NUMBER must not be blank");
    assert!(on_line_2[2].message().contains("202010 to 202012"));
}

#[test]
fn quarters_of_aggregate_lines_must_be_quarters() {
    let aggregate = As { section: "aggregate", ..ACTIVE };
    for (quarter, count) in [("20205", 2), ("2020X", 2), ("20201", 1), ("19994", 2)] {
        let parsed = changed(aggregate, |lines| put(first(lines, "T6"), 2, quarter));
        assert_eq!(found(&parsed), vec![(2, 7); count], "{quarter}");
        assert_eq!(parsed.outcome.created_by_type["T6"], 6, "the other two lines stay");
    }
}

#[test]
fn a_stratum_line_must_have_a_first_block_and_leaves_out_the_blank_ones() {
    let stratum = As { section: "stratum", ..ACTIVE };
    let parsed = changed(stratum, |lines| {
        let line = first(lines, "T7");
        put(line, 7, &" ".repeat(240));
    });
    assert_eq!(found(&parsed), [(2, 7)]);
    let parsed = changed(stratum, |lines| {
        lines.drain(2..lines.len() - 1);
        put(&mut lines[1], 31, &" ".repeat(216));
    });
    assert_eq!((summary(&parsed), parsed.outcome.created_by_type["T7"]), (Accepted, 3));
    let months: Vec<_> =
        parsed.records.iter().map(|(_, record)| record["RPT_MONTH_YEAR"].to_string()).collect();
    assert_eq!(months, ["202010", "202011", "202012"]);
}

#[test]
fn a_second_child_is_left_out_without_a_word_when_it_is_not_there() {
    let children = |change: &dyn Fn(&mut String)| {
        let parsed = changed(ACTIVE, |lines| {
            lines.drain(4..lines.len() - 1);
            assert!(lines[3].starts_with("T3"));
            lines[3] = format!("{:<101}", lines[3]);
            change(&mut lines[3]);
        });
        (found(&parsed), parsed.outcome.created_by_type.get("T3").copied().unwrap_or(0))
    };
    assert_eq!(children(&|line| line.truncate(60)), (vec![], 1));
    assert_eq!(children(&|line| put(line, 60, &" ".repeat(41))), (vec![], 1));
    assert_eq!(children(&|line| put(line, 60, &"0".repeat(41))), (vec![], 1));
    assert_eq!(children(&|line| line.replace_range(60.., "120100101")), (vec![(4, 7)], 1));
}
