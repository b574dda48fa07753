//! What a workbook claims about itself never takes more memory than the workbook could fill.
//!
//! A claim that is believed ends the process and not the test, so they are tried in a process of their own,
//! whose memory is bounded.

use std::process::Command;

use parselog::parser::SummaryStatus::Rejected;
use proptest::prelude::*;

use crate::tdp_support::{As, Parsed, parse_text};
use crate::tdp_workbook::{Parts, number, parts, zipped};

const FRA: As<'_> = As { program: "fra", section: "work-outcomes", year: 2024, quarter: 2 };
/// KiB of address space that a process has which reads a workbook of a few KiB.
const BOUND: u64 = 1 << 20;

fn good() -> Parts {
    let (month, ssn) = (number("202401"), number("912345678"));
    let shared = (r#"t="s"><v>0</v>"#, r#"t="s"><v>1</v>"#);
    parts(&[(
        "Exits",
        "",
        &[
            (1, &[&month, &ssn]),
            (2, &[shared.0, shared.1]),
            (3, &[r#"s="1"><v>45337</v>"#, r#"s="2"><v>12345678</v>"#]),
        ],
    )])
}

fn parsed(parts: &Parts) -> Parsed {
    parse_text(zipped(parts), "exits.xlsx", FRA)
}

/// The good workbook with one text of one part replaced.
pub(crate) fn spoilt(part: &str, from: &str, to: &str) -> Parts {
    let mut parts = good();
    let text = parts.get_mut(part).expect(part);
    assert!(text.contains(from), "{part} has no {from}");
    *text = text.replacen(from, to, 1);
    parts
}

/// Runs an ignored test of this program with bounded memory.
fn in_bounds(test: &str) {
    let program = std::env::current_exe().expect("program");
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit -v {BOUND} && exec \"$@\""), "sh"]).arg(program);
    let done = shell.args([test, "--exact", "--ignored", "--test-threads=1"]).output().expect("run");
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{:?}\n{said}{}", done.status, String::from_utf8_lossy(&done.stderr));
    assert!(said.contains("1 passed"), "{test} was not run: {said}");
}

#[test]
fn a_workbook_that_claims_more_than_a_sheet_can_hold_is_refused_by_name() {
    in_bounds("tdp_claims::claims");
}

#[test]
#[ignore = "run by the test above, in bounded memory"]
fn claims() {
    assert_eq!(parsed(&good()).records.len(), 3, "{:?}", parsed(&good()).problems);
    let long = "n".repeat(1 << 20);
    let formats = r#"<xf numFmtId="0" fontId="0"/>"#.repeat(3000);
    let texts = "<si/>".repeat(5 << 20);
    for (part, from, to, says) in [
        (
            "xl/sharedStrings.xml",
            r#"uniqueCount="2""#,
            r#"uniqueCount="1000000000000""#,
            "claims 1000000000000 shared texts",
        ),
        (
            "xl/sharedStrings.xml",
            r#"uniqueCount="2""#,
            r#"uniqueCount="99999999999999999999999999""#,
            "shared texts",
        ),
        ("xl/sharedStrings.xml", "<si>", &format!("{texts}<si>"), "holds more than"),
        ("xl/worksheets/sheet1.xml", r#"r="A1""#, r#"r="A99999999999""#, "names a cell beyond"),
        ("xl/worksheets/sheet1.xml", r#"r="A1""#, r#"r="ZZZZZZZZZ1""#, "names a cell beyond"),
        ("xl/worksheets/sheet1.xml", r#"<row r="2""#, r#"<row r="4294967297""#, "names a cell beyond"),
        ("xl/worksheets/sheet1.xml", r#"ref="A1:C9""#, r#"ref="A1:XFD99999999999""#, "names a cell beyond"),
        ("xl/worksheets/sheet1.xml", r#"ref="A1:C9""#, r#"ref="C9:A1""#, "ends before it begins"),
        ("xl/styles.xml", r#"val="Calibri""#, &format!(r#"val="{long}""#), ""),
        ("xl/styles.xml", "</cellXfs>", &format!("{formats}</cellXfs>"), ""),
    ] {
        let parts = spoilt(part, from, to);
        let parsed = parsed(&parts);
        if says.is_empty() {
            assert_eq!(parsed.records.len(), 3, "one long name or many formats alone are of no weight");
            continue;
        }
        let [problem] = parsed.problems.as_slice() else { panic!("{to}: {:?}", parsed.problems) };
        assert_eq!((parsed.outcome.summary, problem.category, problem.record), (Rejected, 1, None));
        assert!(
            problem.message().contains(says) && problem.message().contains(part),
            "{}",
            problem.message()
        );
    }
    let mut both = spoilt("xl/styles.xml", r#"val="Calibri""#, &format!(r#"val="{long}""#));
    let styles = both.get_mut("xl/styles.xml").expect("styles");
    *styles = styles.replacen("</cellXfs>", &format!("{formats}</cellXfs>"), 1);
    assert!(parsed(&both).problems[0].message().contains("holds cell formats of more than 64 MiB"));
}

#[test]
fn random_edits_of_the_numbers_in_a_workbook_never_take_more_memory_than_a_bound() {
    in_bounds("tdp_claims::random_edits");
}

fn a_number() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<u64>().prop_map(|number| number.to_string()),
        (0_u32..70).prop_map(|power| 10_u128.pow(power.min(38)).to_string()),
        Just("-1".to_owned()),
        Just("1e300".to_owned()),
        Just("0".to_owned()),
        (1_usize..400).prop_map(|digits| "9".repeat(digits)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    #[ignore = "run by the test above, in bounded memory"]
    fn random_edits(edits in proptest::collection::vec((any::<proptest::sample::Index>(), a_number()), 1..4)) {
        let mut parts = good();
        for (at, number) in edits {
            let places: Vec<_> = parts.iter().flat_map(|(name, text)| {
                let starts = text.char_indices().filter(|&(at, c)| {
                    c.is_ascii_digit() && !text[..at].ends_with(|before: char| before.is_ascii_digit())
                });
                starts.map(|(at, _)| (name.clone(), at)).collect::<Vec<_>>()
            }).collect();
            let (part, from) = at.get(&places);
            let text = parts.get_mut(part).expect("part");
            let digits = text[*from..].bytes().take_while(u8::is_ascii_digit).count();
            text.replace_range(*from..from + digits, &number);
        }
        parsed(&parts);
    }
}
