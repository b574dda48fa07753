//! The generator and the parser agree with each other, whatever the bound on memory.

use parselog::parser::tdp::sample::{Sample, Size};
use parselog::parser::tdp::{Identity, Tdp, identify, sections};
use parselog::parser::{Category, SummaryStatus};

use crate::tdp_support::{As, Parsed, parse, parse_with};

fn sample<'a>(program: &'a str, section: &'a str, size: Size, error_rate: f64) -> Sample<'a> {
    Sample { program, section, fiscal_year: 2021, fiscal_quarter: 1, size, error_rate, seed: 7 }
}

fn name_of(program: &str) -> &'static str {
    if program == "fra" { "sample.csv" } else { "sample.txt" }
}

fn submission<'a>(program: &'a str, section: &'a str) -> As<'a> {
    As { program, section, year: 2021, quarter: 1 }
}

fn written(sample: Sample<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let size = sample.write(&mut bytes).expect("sample");
    assert_eq!(size, bytes.len() as u64);
    bytes
}

fn parsed(text: &[u8], program: &str, section: &str, lines_per_share: u64) -> Parsed {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("sample");
    std::fs::write(&path, text).expect("write");
    let parser = Tdp::with_lines_per_share(lines_per_share);
    parse_with(&parser, &path, name_of(program), submission(program, section))
}

#[test]
fn a_sample_without_errors_is_accepted_in_every_section() {
    for (program, section) in sections() {
        // The program audit reads only months from October 2023 on.
        let year = if program == "audit" { 2024 } else { 2021 };
        let sample = Sample { fiscal_year: year, ..sample(program, section, Size::Cases(60), 0.0) };
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("sample");
        std::fs::write(&path, written(sample)).expect("write");
        let parsed = parse(&path, name_of(program), As { year, ..submission(program, section) });
        let found: Vec<_> = parsed.problems.iter().map(|p| (p.record, p.message())).take(5).collect();
        assert_eq!(parsed.outcome.summary, SummaryStatus::Accepted, "{program} {section}: {found:#?}");
        assert_eq!(parsed.records.len() as u64, parsed.outcome.records_created);
        assert!(parsed.outcome.records_created >= 60);
    }
}

#[test]
fn a_sample_with_errors_has_problems_of_every_kind_and_keeps_its_sound_cases() {
    let text = written(sample("tanf", "active", Size::Cases(400), 0.3));
    let outcome = parsed(&text, "tanf", "active", u64::MAX).outcome;
    assert_eq!(outcome.summary, SummaryStatus::PartiallyAccepted);
    for category in [Category::Field, Category::CrossField, Category::Case, Category::Record] {
        assert!(outcome.errors.contains_key(&category), "{category:?} in {:?}", outcome.errors);
    }
    assert!(
        outcome.cases.months.values().all(|month| month.accepted_without_errors > 60),
        "{:?}",
        outcome.cases
    );
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let one = sample("ssp", "closed", Size::Bytes(20_000), 0.2);
    assert_eq!(written(one), written(one));
    assert_ne!(written(one), written(Sample { seed: 8, ..one }));
    assert!((20_000..21_000).contains(&written(one).len()));
}

#[test]
fn a_file_worked_through_in_shares_gives_the_same_records_and_problems() {
    for (program, section) in [
        ("tanf", "active"),
        ("ssp", "closed"),
        ("tanf", "aggregate"),
        ("tanf", "stratum"),
        ("fra", "work-outcomes"),
    ] {
        let mut text = written(sample(program, section, Size::Cases(120), 0.3));
        if section == "stratum" {
            // Twice the same line: everything of that type goes, in every share.
            let line = text.split(|&byte| byte == b'\n').nth(3).expect("line").to_vec();
            let at = text.iter().position(|&byte| byte == b'\n').expect("line end") + 1;
            text.splice(at..at, [line, vec![b'\n']].concat());
        }
        let sorted = |lines| {
            let mut parsed = parsed(&text, program, section, lines);
            parsed.problems.sort_by_key(|problem| (problem.record, format!("{problem:?}")));
            let mut records: Vec<_> = parsed.records.iter().map(|record| format!("{record:?}")).collect();
            records.sort();
            parsed.outcome.cases.rejected = 0;
            (parsed.outcome, parsed.problems, records)
        };
        let whole = sorted(u64::MAX);
        assert!(!whole.1.is_empty());
        for lines in [1, 7, 50] {
            let (outcome, problems, records) = sorted(lines);
            assert_eq!(problems, whole.1, "{program} {section}, {lines} lines a share");
            assert_eq!(records, whole.2, "{program} {section}, {lines} lines a share");
            assert_eq!(outcome, whole.0, "{program} {section}, {lines} lines a share");
        }
    }
}

#[test]
fn a_file_says_itself_what_it_is_unless_it_has_no_header() {
    let folder = tempfile::tempdir().expect("folder");
    for (program, section) in sections().filter(|(program, _)| *program != "audit") {
        let path = folder.path().join("sample");
        std::fs::write(&path, written(sample(program, section, Size::Cases(1), 0.0))).expect("write");
        let said = identify(&path).expect("read");
        let expected = Identity {
            program: program.to_owned(),
            section: section.to_owned(),
            fiscal_year: 2021,
            fiscal_quarter: 1,
            // Invented anew in each sample.
            state: said.as_ref().and_then(|said| said.state.clone()),
        };
        assert_eq!(expected.state.is_some(), program != "fra");
        assert_eq!(said, (program != "fra").then_some(expected));
    }
    let path = folder.path().join("empty");
    std::fs::write(&path, "").expect("write");
    assert_eq!(identify(&path).expect("read"), None);
}

#[test]
fn the_shipped_sample_has_errors_and_its_corrected_twin_has_none() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
    let parsed = |name: &str| parse(&folder.join(name), name, submission("tanf", "active")).outcome;
    let (first, second) = (parsed("tanf-active-2021-q1.txt"), parsed("tanf-active-2021-q1-corrected.txt"));
    assert_eq!(first.summary, SummaryStatus::PartiallyAccepted);
    assert!(first.error_count() >= 4 && first.records_created > 10, "{first:?}");
    assert_eq!((second.summary, second.error_count()), (SummaryStatus::Accepted, 0));
}
