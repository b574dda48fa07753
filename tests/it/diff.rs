//! What changed between two runs: the comparison of logs, and `parselog diff`.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Cursor};

use parselog::diff::{Change, Comparison, Counts, changed_lines, compare_lines};
use parselog::reader::LogLines;
use proptest::prelude::*;

use crate::reading::invented;
use crate::support::{Desk, sample_text};

/// A log of these problems: record number and message.
fn log(problems: &[(u64, &str)]) -> String {
    let mut text = "{\"timestamp\":\"2026-11-21T07:51:02.626884Z\",\"seq\":0,\"level\":\"INFO\",\
        \"target\":\"parselog\",\"message\":\"log opened\"}\n"
        .to_owned();
    for (seq, (record, message)) in problems.iter().enumerate() {
        writeln!(
            text,
            "{{\"timestamp\":\"2026-11-21T07:51:02.{:06}Z\",\"seq\":{},\"level\":\"WARN\",\
             \"target\":\"parselog::problem\",\"message\":\"{message}\",\"record\":{record},\
             \"source\":\"src/x.rs:{seq}\",\"fields\":{{\"category\":{}}}}}",
            seq * 7 % 1_000_000,
            seq + 1,
            if *record % 2 == 0 { 2 } else { 4 }
        )
        .unwrap();
    }
    text
}

fn lines(log: &str) -> LogLines {
    LogLines::new(Cursor::new(log.to_owned()), 0)
}

fn compare(before: &str, after: &str, held: usize) -> (Comparison, Vec<String>) {
    let comparison = compare_lines(lines(before), lines(after), held).unwrap();
    let mut told = Vec::new();
    changed_lines(&comparison, lines(before), lines(after), |change, problem| {
        let sign = if change == Change::Appeared { '+' } else { '-' };
        told.push(format!("{sign}{} {}", problem.record.unwrap(), problem.message));
        Ok(())
    })
    .unwrap();
    (comparison, told)
}

#[test]
fn problems_match_by_what_they_say_and_not_by_where_or_when_they_were_logged() {
    let before = log(&[(1, "a"), (2, "b"), (3, "c")]);
    let after = log(&[(3, "c"), (2, "b"), (1, "a")]);
    let (comparison, told) = compare(&before, &after, 1000);
    assert_eq!(comparison.total, Counts { appeared: 0, disappeared: 0, unchanged: 3 });
    assert!(told.is_empty(), "{told:?}");
}

#[test]
fn a_problem_that_is_found_less_often_has_disappeared_that_often() {
    let before = log(&[(2, "x"), (2, "x"), (2, "x"), (4, "y")]);
    let after = log(&[(2, "x"), (4, "z")]);
    let (comparison, told) = compare(&before, &after, 1000);
    assert_eq!(comparison.total, Counts { appeared: 1, disappeared: 3, unchanged: 1 });
    assert_eq!(comparison.by_category, BTreeMap::from([(2, comparison.total)]));
    assert_eq!(told, ["-2 x", "-2 x", "-4 y", "+4 z"]);
}

#[test]
fn changes_of_both_sides_stand_beside_each_other_in_the_order_of_records() {
    let before = log(&[(2, "is 7"), (5, "same"), (9, "is blank")]);
    let after = log(&[(2, "is 8"), (5, "same"), (7, "new")]);
    let (_, told) = compare(&before, &after, 1000);
    assert_eq!(told, ["-2 is 7", "+2 is 8", "+7 new", "-9 is blank"]);
}

#[test]
fn text_that_looks_like_a_problem_is_none() {
    let mut log = log(&[]);
    log.push_str(
        "{\"timestamp\":\"2026-11-21T07:51:02.626884Z\",\"seq\":1,\"level\":\"INFO\",\"target\":\"x\",\
         \"message\":\"\\\"target\\\":\\\"parselog::problem\\\"\"}\n",
    );
    let (comparison, _) = compare(&log, &log, 1000);
    assert_eq!(comparison.total, Counts::default());
}

#[test]
fn a_problem_without_a_category_is_one_of_a_record() {
    let whole = log(&[(1, "a")]);
    for category in ["\"category\":\"\"", "\"category\":9", "\"other\":4"] {
        let foreign = whole.replace("\"category\":4", category);
        let comparison = compare_lines(lines(&foreign), lines(&foreign), 10).unwrap();
        assert_eq!(comparison.by_category.keys().copied().collect::<Vec<_>>(), [7], "{category}");
    }
}

#[test]
fn a_damaged_problem_is_an_error_and_not_a_difference() {
    let whole = log(&[(1, "a")]);
    let damaged = whole.replace("\"category\":4", "\"category\":4,");
    let error = compare_lines(lines(&whole), lines(&damaged), 10).unwrap_err();
    assert!(format!("{error:#}").contains("can't be read"), "{error:#}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn sorting_on_disk_finds_what_a_plain_count_finds(
        before in prop::collection::vec((0_u64..12, 0_u8..4), 0..80),
        after in prop::collection::vec((0_u64..12, 0_u8..4), 0..80),
    ) {
        let mut balance: BTreeMap<(u64, u8), i64> = BTreeMap::new();
        for (sign, side) in [(-1, &before), (1, &after)] {
            for problem in side {
                *balance.entry(*problem).or_default() += sign;
            }
        }
        let text = |side: &[(u64, u8)]| {
            let names: Vec<(u64, String)> =
                side.iter().map(|(record, what)| (*record, format!("m{what}"))).collect();
            let names: Vec<(u64, &str)> = names.iter().map(|(record, what)| (*record, what.as_str())).collect();
            log(&names)
        };
        let (comparison, told) = compare(&text(&before), &text(&after), 3);
        let appeared: i64 = balance.values().filter(|count| **count > 0).sum();
        let disappeared: i64 = -balance.values().filter(|count| **count < 0).sum::<i64>();
        prop_assert_eq!(comparison.total.appeared, appeared.cast_unsigned());
        prop_assert_eq!(comparison.total.disappeared, disappeared.cast_unsigned());
        prop_assert_eq!(comparison.total.unchanged as usize, before.len() - disappeared as usize);
        let mut counted: BTreeMap<String, i64> = BTreeMap::new();
        for line in told {
            *counted.entry(line).or_default() += 1;
        }
        let expected: BTreeMap<String, i64> = balance
            .into_iter()
            .filter(|(_, count)| *count != 0)
            .map(|((record, what), count)| {
                let sign = if count > 0 { '+' } else { '-' };
                (format!("{sign}{record} m{what}"), count.abs())
            })
            .collect();
        prop_assert_eq!(counted, expected);
    }
}

/// The most memory that this process had so far, in KiB.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
#[ignore = "takes minutes: it compares two logs of 1 GB"]
fn two_logs_of_1_gb_compare_in_bounded_memory() {
    // The second log lacks the first line and goes on a little longer.
    let before = || LogLines::new(io::BufReader::with_capacity(1 << 20, invented(1_000_000_000)), 0);
    let after = || {
        let mut reader = io::BufReader::with_capacity(1 << 20, invented(1_000_000_500));
        io::BufRead::skip_until(&mut reader, b'\n').unwrap();
        LogLines::new(reader, 0)
    };
    let at_first = peak_memory();
    let comparison = compare_lines(before(), after(), 1 << 18).unwrap();
    let mut told = Vec::new();
    changed_lines(&comparison, before(), after(), |change, problem| {
        told.push((change, problem.record));
        Ok(())
    })
    .unwrap();
    let grown = peak_memory() - at_first;
    println!("{:?}, {grown} KiB more memory", comparison.total);
    assert_eq!(told.len() as u64, comparison.total.appeared + comparison.total.disappeared);
    assert_eq!(told[0], (Change::Disappeared, Some(1)));
    assert!(comparison.total.unchanged > 3_000_000 && told.len() < 10);
    assert!(grown < 100 << 10, "{grown} KiB");
}

#[tokio::test]
async fn a_rerun_has_an_empty_diff_and_one_changed_byte_gives_exactly_that_change() {
    let desk = Desk::new().await;
    let text = sample_text("tanf-active-2021-q1-corrected.txt");
    let file = desk.file("a.txt", &text);
    desk.ok(&["run", &file]);
    desk.ok(&["run", &file]);
    let said = desk.ok(&["diff", "--exit-code", "a.txt@previous", "a.txt@latest"]);
    assert_eq!(said.out, "", "an identical rerun differs");
    assert!(said.err.contains("no difference"), "{}", said.err);

    // The family type of record 2 becomes 7: one byte.
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let whole = sample_text("tanf-active-2021-q1.txt");
    let broken = whole.lines().nth(1).unwrap();
    assert_eq!(lines[1].bytes().zip(broken.bytes()).filter(|(a, b)| a != b).count(), 1);
    lines[1] = broken.to_owned();
    desk.file("a.txt", &(lines.join("\n") + "\n"));
    desk.ok(&["run", &file]);
    let said = desk.run(&["diff", "--json", "--exit-code", "a.txt"]);
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    let told = said.json();
    assert_eq!(told[0]["same"], false);
    assert_eq!(told[0]["before"]["summary_status"], "Accepted");
    assert_eq!(told[0]["after"]["summary_status"], "Accepted with Errors");
    assert_eq!(told[0]["problems"]["appeared"], 1);
    assert_eq!(told[0]["problems"]["disappeared"], 0);
    assert_eq!(told.len(), 2, "{}", said.out);
    assert_eq!(told[1]["change"], "appeared");
    assert_eq!((told[1]["record"].as_u64(), told[1]["item"].as_str()), (Some(2), Some("12")));

    let text = desk.ok(&["diff", "a.txt"]).out;
    assert!(text.contains("Accepted -> Accepted with Errors"), "{text}");
    assert!(text.contains("+ line 2: T1 item 12 FAMILY_TYPE"), "{text}");
}

#[tokio::test]
async fn the_first_run_of_a_file_has_no_previous_one() {
    let desk = Desk::new().await;
    let file = desk.file("a.txt", &sample_text("tanf-active-2021-q1.txt"));
    desk.ok(&["run", &file]);
    let said = desk.run(&["diff", "a.txt"]);
    assert_eq!(said.code, 4, "{}", said.err);
    assert!(said.err.contains("is the first of 'a.txt'"), "{}", said.err);
    assert_eq!(io::BufRead::lines(said.err.as_bytes()).count(), 1);
}
