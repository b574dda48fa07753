//! Every rule of the format, each by a submission that breaks it.

use parselog::parser::SummaryStatus::{Accepted, AcceptedWithErrors, PartiallyAccepted, Rejected};
use parselog::parser::tdp::sample::{Sample, Size};
use parselog::parser::{Outcome, SummaryStatus};

use crate::tdp_support::{As, Logged, Parsed, parse_text};

const ACTIVE: As<'_> = As { program: "tanf", section: "active", year: 2021, quarter: 1 };
const HEADER: &str = "HEADER20204A06000TAN1 D";

/// A sound submission, line by line; line 0 is the header.
fn sound(submission: As<'_>, cases: u64) -> Vec<String> {
    let mut bytes = Vec::new();
    let As { program, section, year, quarter } = submission;
    let size = Size::Cases(cases);
    let sample = Sample {
        program,
        section,
        fiscal_year: year,
        fiscal_quarter: quarter,
        size,
        error_rate: 0.0,
        seed: 3,
    };
    sample.write(&mut bytes).expect("sample");
    String::from_utf8(bytes).expect("text").lines().map(str::to_owned).collect()
}

fn parsed(lines: &[String], submission: As<'_>) -> Parsed {
    let name = if submission.program == "fra" { "file.csv" } else { "file.txt" };
    parse_text(lines.join("\n"), name, submission)
}

/// The sound submission after a change, parsed.
fn changed(submission: As<'_>, change: impl FnOnce(&mut Vec<String>)) -> Parsed {
    let mut lines = sound(submission, 3);
    change(&mut lines);
    parsed(&lines, submission)
}

fn put(line: &mut String, at: usize, text: &str) {
    line.replace_range(at..at + text.len(), text);
}

/// The first line of a record type.
fn first<'a>(lines: &'a mut [String], record_type: &str) -> &'a mut String {
    lines.iter_mut().find(|line| line.starts_with(record_type)).expect(record_type)
}

/// Problems as (line, category), in the order they were logged.
fn found(parsed: &Parsed) -> Vec<(u64, u64)> {
    parsed.problems.iter().map(|problem| (problem.record.unwrap_or(0), problem.category)).collect()
}

fn summary(parsed: &Parsed) -> SummaryStatus {
    parsed.outcome.summary
}

fn only(parsed: &Parsed) -> &Logged {
    let [problem] = parsed.problems.as_slice() else { panic!("not one problem: {:#?}", parsed.problems) };
    problem
}

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

// Category 2: fields.

#[test]
fn a_wrong_field_is_named_with_its_value_and_the_record_is_kept() {
    let parsed = changed(ACTIVE, |lines| put(first(lines, "T1"), 34, "7"));
    assert_eq!(summary(&parsed), AcceptedWithErrors);
    let problem = only(&parsed);
    assert_eq!(problem.message(), "item 12 FAMILY_TYPE is 7 and must be between 1 and 3");
    assert_eq!((problem.category, problem.record, problem.case), (2, Some(2), Some(2)));
    let texts = ["record_type", "item", "field", "month"].map(|name| problem.text(name));
    assert_eq!(texts, ["T1", "12", "FAMILY_TYPE", "202011"]);
    assert_eq!(parsed.outcome.first_error.as_ref().and_then(|first| first.record), Some(2));
    let months = &parsed.outcome.errors_by_month;
    assert_eq!(months.keys().collect::<Vec<_>>(), ["202011"]);
}

#[test]
fn a_required_field_must_be_filled_and_only_then_is_it_checked() {
    for filler in [" ", "#", "_", "X"] {
        let parsed = changed(ACTIVE, |lines| put(first(lines, "T1"), 31, filler));
        assert_eq!(only(&parsed).message(), "item 10 NEW_APPLICANT is required and blank");
    }
    let optional = changed(ACTIVE, |lines| put(first(lines, "T1"), 22, "XX"));
    assert_eq!(summary(&optional), Accepted, "checks of optional fields are not run");
}

// Category 3: fields that disagree.

#[test]
fn fields_that_disagree_are_both_named() {
    let parsed = changed(ACTIVE, |lines| {
        put(first(lines, "T1"), 55, "0100000");
    });
    let problem = only(&parsed);
    assert_eq!(
        problem.message(),
        "item 21B NBR_MONTHS is 0 and must be 1 or more, because item 21A CASH_AMOUNT is 100"
    );
    assert_eq!((problem.category, summary(&parsed)), (3, AcceptedWithErrors));
}

#[test]
fn sums_must_add_up() {
    let parsed =
        changed(As { section: "aggregate", ..ACTIVE }, |lines| put(first(lines, "T6"), 7, "99999999"));
    let problem = only(&parsed);
    assert!(
        problem.message().starts_with("item 4A NUM_APPLICATIONS must be the sum of"),
        "{}",
        problem.message()
    );
    assert_eq!((problem.category, problem.text("month")), (3, "202010"));
}

#[test]
fn a_person_paid_by_federal_funds_must_have_a_valid_number() {
    let case = |funding: &str| {
        let parsed = changed(ACTIVE, |lines| {
            put(first(lines, "T1"), 29, funding);
            put(first(lines, "T2"), 29, "000123456");
        });
        assert!(parsed.records.len() >= 9);
        found(&parsed)
    };
    assert_eq!(case("1"), [(3, 3)]);
    assert_eq!(case("2"), []);
}

// Category 4: records that disagree.

#[test]
fn a_family_needs_its_members_and_members_their_family() {
    let without = |record_type: &str| {
        let parsed = changed(ACTIVE, |lines| {
            let case = lines[1][8..19].to_owned();
            lines.retain(|line| !(line.starts_with(record_type) && line[8..19] == case));
        });
        assert_eq!(summary(&parsed), PartiallyAccepted);
        let case = "00000000001";
        assert!(
            parsed.records.iter().all(|(_, record)| record["CASE_NUMBER"] != case),
            "the whole case goes"
        );
        assert!(parsed.problems.iter().all(|problem| problem.case == Some(2)));
        found(&parsed)
    };
    let orphans = without("T1");
    assert!(orphans.len() >= 2 && orphans.iter().all(|(_, category)| *category == 4), "{orphans:?}");
    let lonely = changed(ACTIVE, |lines| {
        let case = lines[1][8..19].to_owned();
        lines.retain(|line| line.starts_with("T1") || line.get(8..19) != Some(&case));
    });
    assert_eq!(found(&lonely), [(2, 4)]);
    assert!(only(&lonely).message().ends_with("there is none"));
}

#[test]
fn somebody_in_the_family_must_be_its_member() {
    let parsed = changed(ACTIVE, |lines| {
        lines.drain(4..lines.len() - 1);
        lines.remove(3);
        put(&mut lines[2], 19, "5");
    });
    assert!(found(&parsed).contains(&(2, 4)), "{:?}", parsed.problems);
    assert_eq!(summary(&parsed), Rejected, "it was the only case");
}

#[test]
fn a_case_is_found_together_wherever_its_lines_stand() {
    let mut lines = sound(ACTIVE, 20);
    let last = lines.len() - 1;
    lines[1..last].sort();
    let parsed = parsed(&lines, ACTIVE);
    assert_eq!((summary(&parsed), found(&parsed)), (Accepted, vec![]));
}

#[test]
fn a_case_may_have_seventeen_records() {
    let with = |members: usize| {
        let parsed = changed(ACTIVE, |lines| {
            lines.drain(3..lines.len() - 1);
            let adult = lines[2].clone();
            put(&mut lines[2], 19, "1");
            for member in 1..members {
                let mut line = adult.clone();
                put(&mut line, 19, "5");
                put(&mut line, 29, &format!("9{member:02}110001"));
                lines.insert(3, line);
            }
        });
        let crowded = parsed.problems.iter().filter(|p| p.message().contains("more than 17")).count();
        (crowded, parsed.outcome.created_by_type.get("T2").copied().unwrap_or(0))
    };
    assert_eq!(with(16), (0, 16));
    assert_eq!(with(17), (1, 0));
}

#[test]
fn a_copy_of_a_record_takes_its_case_along() {
    let parsed = changed(ACTIVE, |lines| lines.insert(2, lines[1].clone()));
    assert_eq!(found(&parsed), [(3, 4)]);
    assert_eq!(only(&parsed).message(), "this T1 is a copy of record 2: every value is the same");
    assert_eq!(parsed.outcome.created_by_type["T1"], 2);
    assert!(parsed.records.iter().all(|(_, record)| record["CASE_NUMBER"] != "00000000001"));
}

#[test]
fn a_partial_copy_takes_its_case_along_unless_it_is_exempt() {
    let parsed = changed(ACTIVE, |lines| {
        let mut copy = lines[1].clone();
        put(&mut copy, 22, "77");
        lines.insert(2, copy);
    });
    assert!(
        only(&parsed)
            .message()
            .starts_with("this T1 is a partial duplicate of record 2: these are the same: item 0")
    );
    assert_eq!(parsed.outcome.created_by_type["T1"], 2);
    let people = |affiliation: &str| {
        let parsed = changed(ACTIVE, |lines| {
            let mut one = lines[2].clone();
            put(&mut one, 19, affiliation);
            let mut other = one.clone();
            put(&mut other, 132, if &one[132..136] == "0000" { "0001" } else { "0000" });
            lines.splice(3..3, [one, other]);
        });
        parsed.problems.iter().filter(|problem| problem.category == 4).count()
    };
    assert_eq!(people("2"), 1);
    assert_eq!(people("5"), 0);
}

#[test]
fn a_copied_aggregate_line_takes_all_of_its_type_along() {
    let parsed = changed(As { section: "aggregate", ..ACTIVE }, |lines| lines.insert(2, lines[1].clone()));
    assert_eq!(found(&parsed), [(3, 4), (3, 4), (3, 4), (0, 1)]);
    assert_eq!(summary(&parsed), Rejected);
}

#[test]
fn a_program_audit_reports_copies_and_keeps_them() {
    let audit = As { program: "audit", section: "active", year: 2024, quarter: 1 };
    let whole = parsed(&sound(audit, 3), audit).records.len();
    let parsed = changed(audit, |lines| lines.insert(2, lines[1].clone()));
    assert_eq!((found(&parsed), parsed.records.len()), (vec![(3, 4)], whole + 1));
}

#[test]
fn deprecated_rules_are_reported_and_weigh_nothing() {
    let closed = As { section: "closed", ..ACTIVE };
    let parsed = changed(closed, |lines| {
        lines.drain(3..lines.len() - 1);
        put(&mut lines[1], 30, "01");
        put(&mut lines[2], 62, "2");
    });
    let problem = only(&parsed);
    assert!(problem.deprecated && problem.category == 4, "{problem:?}");
    let Outcome { summary, deprecated_errors, errors, .. } = &parsed.outcome;
    assert_eq!((*summary, *deprecated_errors, errors.is_empty()), (Accepted, 1, true));
}

#[test]
fn numbers_are_deciphered_when_the_header_says_so() {
    let parsed = changed(ACTIVE, |lines| {
        put(&mut lines[0], 21, "E");
        for line in lines.iter_mut().filter(|line| line.starts_with("T2") || line.starts_with("T3")) {
            let starts: &[usize] = if line.starts_with("T2") { &[29] } else { &[28, 69] };
            for &start in starts {
                if line[start..].trim().is_empty() {
                    continue;
                }
                let plain = line[start..start + 9].to_owned();
                let cipher = |digit: char| b"T@9ZP0#YBW"[digit.to_digit(10).expect("digit") as usize] as char;
                put(line, start, &plain.chars().map(cipher).collect::<String>());
            }
        }
    });
    assert_eq!((summary(&parsed), found(&parsed)), (Accepted, vec![]));
    let numbers: Vec<_> =
        parsed.records.iter().filter_map(|(_, record)| record.get("SSN")?.as_str()).collect();
    assert!(
        !numbers.is_empty() && numbers.iter().all(|ssn| ssn.starts_with('9') && ssn.parse::<u64>().is_ok())
    );
}

#[test]
fn characters_beyond_ascii_count_as_one_position() {
    let parsed = changed(ACTIVE, |lines| put(first(lines, "T1"), 22, "é"));
    // Two bytes, one character: everything behind it stands one position further left.
    assert!(parsed.problems.iter().any(|problem| problem.record == Some(2)));
    let parsed = changed(ACTIVE, |lines| {
        let line = first(lines, "T1");
        let rest = line.split_off(24);
        line.truncate(22);
        *line = format!("{line}éß{rest}");
    });
    assert_eq!((summary(&parsed), found(&parsed)), (Accepted, vec![]));
    assert_eq!(parsed.records[0].1["STRATUM"], "éß");
}

#[test]
fn records_keep_their_fields_in_layout_order() {
    let parsed = parsed(&sound(ACTIVE, 1), ACTIVE);
    let (record_type, record) = &parsed.records[0];
    assert_eq!(record_type, "T1");
    let first: Vec<_> = record.keys().take(4).map(String::as_str).collect();
    assert_eq!(first, ["RecordType", "RPT_MONTH_YEAR", "CASE_NUMBER", "COUNTY_FIPS_CODE"]);
}
