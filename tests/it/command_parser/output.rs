//! What an external parser says becomes the run's log.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use parselog::parser::{Category, SummaryStatus};
use parselog::record::Level;
use serde_json::json;

use super::Run;

#[test]
fn lines_become_events_in_the_run_with_the_level_of_their_pipe() {
    let mut run = Run::new();
    let outcome = run.script("echo out; echo; echo err >&2; printf 'no newline'").expect("an outcome");
    assert_eq!(outcome.summary, SummaryStatus::NoVerdict);
    let mut said: Vec<_> = run.said.iter().map(|said| (said.message.as_str(), said.level)).collect();
    said.sort();
    assert_eq!(said, [("err", Level::Warn), ("no newline", Level::Info), ("out", Level::Info)]);
    assert!(run.said.iter().all(|said| said.target == "parselog::external"));
}

#[test]
fn a_program_is_told_the_facts_and_none_of_our_secrets() {
    let mut run = Run::new();
    run.script("env; echo \"arg=$1\"").expect("an outcome");
    let said = run.messages();
    for fact in [
        "PARSELOG_DATA_FILE_ID=7",
        "PARSELOG_NAME=a file.txt",
        "PARSELOG_PROGRAM=tanf",
        "PARSELOG_SECTION=active",
        "PARSELOG_FISCAL_YEAR=2021",
        "PARSELOG_FISCAL_QUARTER=1",
        "PARSELOG_LEVEL=INFO",
    ] {
        assert!(said.contains(&fact), "{fact} is not in {said:#?}");
    }
    assert!(said.contains(&format!("arg={}", run.path("a file.txt").display()).as_str()));
    assert!(said.iter().any(|line| line.starts_with("PATH=")));
    // `make test` puts such variables into our environment; the unit tests have the full rules.
    let leaked =
        |line: &&&str| ["AWS_", "DATABASE_URL", "PARSELOG_TEST"].iter().any(|name| line.starts_with(name));
    assert_eq!(said.iter().find(leaked), None);
}

#[test]
fn json_lines_keep_their_level_record_and_fields() {
    let mut run = Run::new();
    let outcome = run
        .script(
            r#"echo '{"levelname":"INFO","msg":"started","logger":"x","pages":3}'
               echo '{"level":"warning","message":"late","record":9,"category":2,"field":"DATE","item":4,"month":"202010"}'
               echo '{"level":"error","message":"torn","fields":{"record":4,"record_type":"T1","case":2,"hint":"look"}}' >&2
               echo '{"level":30,"message":"a plain warning"}'
               echo '{"level":"ERROR","message":"obsolete","category":"3","deprecated":true}'
               echo '{"no":"log line"}'
               echo '{"level":"info", broken'"#,
        )
        .expect("an outcome");
    assert_eq!((outcome.summary, outcome.deprecated_errors), (SummaryStatus::AcceptedWithErrors, 1));
    assert_eq!(
        outcome.errors,
        BTreeMap::from([(Category::Field, 1), (Category::Record, 2)]),
        "one is the torn line"
    );
    assert_eq!(
        outcome.errors_by_month,
        BTreeMap::from([("202010".to_owned(), BTreeMap::from([(Category::Field, 1)]))])
    );
    let first = outcome.first_error.expect("a first error");
    assert_eq!((first.record, first.message.as_str()), (Some(4), "torn"));

    let find =
        |message: &str| run.said.iter().find(|said| said.message.as_str() == message).expect("an event");
    let late = find("late");
    assert_eq!((late.level, late.target.as_str(), late.record), (Level::Warn, "parselog::problem", Some(9)));
    let fields = json!({"category": 2, "field": "DATE", "item": "4", "month": "202010"});
    assert_eq!(json!(late.fields), fields);
    let torn = find("torn");
    assert_eq!((torn.level, torn.record), (Level::Error, Some(4)));
    let fields = json!({"category": 7, "record_type": "T1", "case": 2, "context": {"hint": "look"}});
    assert_eq!(json!(torn.fields), fields);
    assert_eq!(find("started").fields["context"], json!({"logger": "x", "pages": 3}));
    assert_eq!(find("a plain warning").target, "parselog::external");
    assert_eq!(find("obsolete").fields["deprecated"], true);
    assert_eq!(find(r#"{"no":"log line"}"#).level, Level::Info);
    assert_eq!(find(r#"{"level":"info", broken"#).level, Level::Info);
    assert_eq!(run.progress.records.load(Ordering::Relaxed), 9);
    assert_eq!(run.progress.problems.load(Ordering::Relaxed), 3);
}

#[test]
fn invalid_utf_8_is_kept_as_escapes() {
    let mut run = Run::new();
    run.script(r"printf 'caf\303\251 \377\300 end\n'").expect("an outcome");
    assert_eq!(run.messages(), [r"café \xff\xc0 end"]);
}

#[test]
fn a_line_of_ten_megabytes_comes_in_pieces() {
    let mut run = Run::new();
    run.script("head -c 10000000 /dev/zero | tr '\\0' x; echo; echo next").expect("an outcome");
    let (next, pieces) = run.said.split_last().expect("events");
    assert_eq!(next.message, "next");
    assert!(pieces.iter().all(|piece| piece.message.len() <= 64 << 10));
    assert_eq!(pieces.iter().map(|piece| piece.message.len()).sum::<usize>(), 10_000_000);
    let numbers = pieces.iter().map(|piece| piece.fields["piece"].as_u64().expect("a number"));
    assert!(numbers.eq(1..=pieces.len() as u64));
}

#[test]
fn a_flood_on_both_pipes_never_blocks() {
    let mut run = Run::new();
    run.script("seq 1 50000 & seq 100001 150000 >&2 & wait").expect("an outcome");
    let count = |level| run.said.iter().filter(|said| said.level == level).count();
    assert_eq!((count(Level::Info), count(Level::Warn)), (50_000, 50_000));
}
