//! Rules about records and what they have to do with each other, each by a submission that breaks it.

use parselog::parser::Outcome;
use parselog::parser::SummaryStatus::{Accepted, AcceptedWithErrors, PartiallyAccepted, Rejected};

use crate::tdp_support::{ACTIVE, As, changed, first, found, only, parsed, put, sound, summary};

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
    for filler in [" ", "#", "_"] {
        let parsed = changed(ACTIVE, |lines| put(first(lines, "T1"), 31, filler));
        assert_eq!(only(&parsed).message(), "item 10 NEW_APPLICANT is required and blank");
    }
    let letter = changed(ACTIVE, |lines| put(first(lines, "T1"), 31, "X"));
    assert_eq!(only(&letter).message(), "item 10 NEW_APPLICANT is 'X' and must be a number");
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

#[test]
fn an_error_counts_against_its_case_in_its_month_alone() {
    let mut lines = sound(ACTIVE, 1);
    let case: Vec<String> =
        lines.iter().filter(|line| !line.starts_with(['H']) && !line.starts_with("TR")).cloned().collect();
    let month = case[0][2..8].to_owned();
    let other = if month == "202010" { "202011" } else { "202010" };
    let at = lines.len() - usize::from(lines.last().is_some_and(|line| line.starts_with("TRAILER")));
    for mut line in case.into_iter().rev() {
        put(&mut line, 2, other);
        lines.insert(at, line);
    }
    let cases = |lines: &[String]| {
        let outcome = parsed(lines, ACTIVE).outcome;
        let of = |month: &str| outcome.cases.months[month];
        [&*month, other].map(|month| (of(month).accepted_without_errors, of(month).accepted_with_errors))
    };
    assert_eq!(cases(&lines), [(1, 0), (1, 0)]);
    // A field of one month's record.
    let mut wrong = lines.clone();
    put(first(&mut wrong, "T1"), 34, "7");
    assert_eq!(cases(&wrong), [(0, 1), (1, 0)]);
    // A record of one month that could not be read at all.
    let mut short = lines.clone();
    let line = short.iter().position(|line| line.starts_with("T3")).expect("T3");
    let cut = short[line][..30].to_owned();
    short.insert(line, cut);
    assert_eq!(cases(&short), [(0, 1), (1, 0)]);
}
