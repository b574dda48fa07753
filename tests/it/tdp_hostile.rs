//! Bytes that nobody meant to submit, and what must never be logged of those that somebody did.

use parselog::parser::tdp::sample::{Sample, Size};
use parselog::parser::tdp::{identify, sections};
use proptest::prelude::*;

use crate::tdp_support::{As, Parsed, parse, parse_text};

fn sample(program: &str, section: &str, error_rate: f64, seed: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let size = Size::Cases(12);
    let sample = Sample { program, section, fiscal_year: 2024, fiscal_quarter: 2, size, error_rate, seed };
    sample.write(&mut bytes).expect("sample");
    bytes
}

fn parsed(bytes: &[u8], (program, section): (&str, &str)) -> Parsed {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("submission");
    std::fs::write(&path, bytes).expect("write");
    identify(&path).expect("identify");
    let name = if program == "fra" { "a.csv" } else { "a.txt" };
    parse(&path, name, As { program, section, year: 2024, quarter: 2 })
}

/// What holds of every outcome, whatever was submitted.
fn is_coherent(parsed: &Parsed) {
    let outcome = &parsed.outcome;
    assert_eq!(outcome.records_created, parsed.records.len() as u64 * u64::from(outcome.records_created > 0));
    assert_eq!(outcome.error_count() + outcome.deprecated_errors, parsed.problems.len() as u64);
    assert_eq!(outcome.first_error.is_some(), outcome.error_count() > 0);
    assert!(parsed.problems.iter().all(|problem| problem.message().len() < 2000));
}

fn any_section() -> impl Strategy<Value = (&'static str, &'static str)> {
    proptest::sample::select(sections().collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_always_have_an_outcome(bytes in proptest::collection::vec(any::<u8>(), 0..3000), section in any_section()) {
        is_coherent(&parsed(&bytes, section));
    }

    #[test]
    fn random_lines_behind_a_sound_header_always_have_an_outcome(
        lines in proptest::collection::vec("(T[1-7]|M[1-7]|TRAILER|HEADER|)[ -~é\0\u{feff}]{0,200}", 0..20),
        section in any_section(),
    ) {
        let sound = sample(section.0, section.1, 0.0, 1);
        let header = sound.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let bytes = [header, b"\n", lines.join("\n").as_bytes()].concat();
        is_coherent(&parsed(&bytes, section));
    }

    #[test]
    fn a_damaged_submission_always_has_an_outcome(
        section in any_section(),
        seed in any::<u64>(),
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), 0_u8..4, any::<u8>()), 0..40),
    ) {
        let mut bytes = sample(section.0, section.1, 0.5, seed);
        for (at, how, byte) in damage {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => drop(bytes.remove(at)),
                _ => bytes.truncate(at.max(1)),
            }
        }
        is_coherent(&parsed(&bytes, section));
    }
}

#[test]
fn endless_lines_nulls_and_odd_line_ends_have_an_outcome() {
    let header = "HEADER20241A06000TAN1 D";
    let long = "T1202401".to_owned() + &"0".repeat(3 << 20);
    let nulls = "\0".repeat(100_000);
    for body in [long.as_str(), &nulls, "\r\r\r\r", "\n\r\n\r", "T1", "T3\u{feff}", &"T7".repeat(200)] {
        for end in ["", "\n", "\nTRAILER0000001         "] {
            is_coherent(&parsed(format!("{header}\n{body}{end}").as_bytes(), ("tanf", "active")));
            is_coherent(&parsed(
                format!("202401,912345678\n{body}{end}").as_bytes(),
                ("fra", "work-outcomes"),
            ));
        }
    }
    is_coherent(&parsed(long.as_bytes(), ("tanf", "active")));
}

/// Puts a text at each of the places, where the line reaches that far.
fn put(line: &mut String, places: &[usize], text: &str) {
    for &at in places {
        if line.len() >= at + text.len() {
            line.replace_range(at..at + text.len(), text);
        }
    }
}

#[test]
fn no_number_birth_date_or_case_number_is_in_any_problem() {
    // Values that stand nowhere else, so that finding one is proof; all of them break rules.
    let (ssn, birth, case) = ("666777888", "19831399", "CASE4711XYZ");
    for (program, section) in sections().filter(|(_, section)| matches!(*section, "active" | "closed")) {
        let text = String::from_utf8(sample(program, section, 0.4, 5)).expect("text");
        let spoilt = text.lines().skip(1).map(|line| {
            let mut line = line.to_owned();
            put(&mut line, &[8], case);
            let (births, ssns): (&[usize], &[usize]) = match line.get(1..2) {
                Some("2") => (&[21], &[29]),
                Some("3") => (&[20, 61], &[28, 69]),
                Some("5") => (&[20], &[28]),
                _ => (&[], &[]),
            };
            put(&mut line, births, birth);
            // Letters in it are refused as well, and must not be shown either.
            let number = if line.len() % 2 == 0 { ssn } else { "66677788X" };
            put(&mut line, ssns, number);
            line
        });
        let spoilt: Vec<String> = text.lines().take(1).map(str::to_owned).chain(spoilt).collect();
        let parsed = parse_text(spoilt.join("\n"), "a.txt", As { program, section, year: 2024, quarter: 2 });
        assert!(parsed.problems.len() > 20, "{program} {section}");
        is_silent(&parsed, &[ssn, "66677788", birth, case, "CASE4711"]);
    }
    let swapped =
        "202401,912345678\n912345679,202401\n91234567X,202402\n912-34-5678,666777888\n666777888,x\n";
    let parsed =
        parse_text(swapped, "a.csv", As { program: "fra", section: "work-outcomes", year: 2024, quarter: 2 });
    assert_eq!(parsed.outcome.records_created, 1);
    is_silent(&parsed, &["912345679", "91234567", "912-34", "666777888"]);
}

fn is_silent(parsed: &Parsed, secrets: &[&str]) {
    for problem in &parsed.problems {
        let said = format!("{problem:?}");
        assert!(secrets.iter().all(|secret| !said.contains(secret)), "{said}");
    }
    let outcome = serde_json::to_string(&parsed.outcome).expect("json");
    assert!(secrets.iter().all(|secret| !outcome.contains(secret)), "{outcome}");
}
