//! What programs say is read as what it means, also where it is torn, written over or no JSON at all.

use std::collections::BTreeMap;
use std::fs;
use std::time::Instant;

use parselog::parser::{Category, ParseError, SummaryStatus};
use parselog::record::{Level, Record};

use super::{Run, failure};
use crate::support::PATIENCE;

/// Runs a Python program given as text.
fn python(run: &mut Run, program: &str) -> Result<parselog::parser::Outcome, ParseError> {
    let quoted = shlex::try_quote(program).expect("a program").into_owned();
    run.command(&format!("python3 -c {quoted}"))
}

fn said<'a>(run: &'a Run, message: &str) -> &'a Record {
    run.said.iter().find(|said| said.message == message).unwrap_or_else(|| panic!("{:?}", run.messages()))
}

#[test]
fn the_numbers_that_python_writes_and_json_does_not_know_cost_a_line_nothing() {
    let mut run = Run::new();
    let outcome = python(
        &mut run,
        r#"import json
print(json.dumps({"level":"error","record":4,"category":2,"message":"no number","rate":float("nan")}))
print(json.dumps({"level":"error","record":5,"category":2,"message":"too large","amount":float("inf"),"half":"\ud800"}))
print(json.dumps({"level":"error","record":6,"category":2,"message":"long","big":2**70,"deep":eval("["*80+"]"*80)}))"#,
    )
    .expect("an outcome");
    let counted = outcome.errors[&Category::Field];
    assert_eq!((counted, outcome.summary), (3, SummaryStatus::AcceptedWithErrors));
    let large = said(&run, "too large");
    assert_eq!((large.level, large.record, &large.fields["category"]), (Level::Error, Some(5), &2.into()));
    assert!(large.fields["context"]["amount"] == "Infinity");
    let warned = run.messages().into_iter().filter(|message| message.contains("nested deeper")).count();
    assert_eq!(
        (warned, outcome.errors[&Category::Record]),
        (1, 1),
        "what is not whole is a problem of its own"
    );
}

#[test]
fn a_line_that_is_cut_keeps_its_level_and_rejects_what_it_rejected() {
    let mut run = Run::new();
    let outcome = run.script(r#"printf '{"level":"error","message":"the file is empty","path":"/da'"#);
    let outcome = outcome.expect("an outcome");
    assert_eq!(outcome.summary, SummaryStatus::Rejected);
    assert_eq!(outcome.errors, BTreeMap::from([(Category::File, 1), (Category::Record, 1)]));
    let cut = said(&run, "the file is empty");
    assert_eq!((cut.level, cut.target.as_str()), (Level::Error, "parselog::problem"));
    let own = run.said.iter().find(|said| said.message.contains("can't be read whole")).expect("a warning");
    assert_eq!((own.level, own.target.as_str()), (Level::Warn, "parselog::problem"));

    for line in [
        r#"{"level":"info","message":"twice","level":"error"}"#,
        r#"{"level":"error","record":"four","message":"a record"}"#,
        r#"{"level":"error","record":1,"category":9,"message":"a category"}"#,
    ] {
        let outcome = run.script(&format!("echo '{line}'")).expect("an outcome");
        assert_eq!(outcome.error_count(), 2, "{line}: {:?}", run.messages());
        assert!(run.said.iter().any(|said| said.level == Level::Error), "{line}");
    }
}

#[test]
fn a_record_that_is_long_is_read_as_one_and_one_without_end_keeps_its_level() {
    let mut run = Run::new();
    let long = |letters: usize| {
        format!(
            r#"import json; print(json.dumps({{"level":"error","record":7,"category":2,"message":"long","x":"y"*{letters}}}))"#
        )
    };
    let outcome = python(&mut run, &long(300_000)).expect("an outcome");
    assert_eq!(outcome.errors, BTreeMap::from([(Category::Field, 1)]));
    assert_eq!(run.said.len(), 1);
    let outcome = python(&mut run, &long(3_000_000)).expect("an outcome");
    assert_eq!(outcome.errors, BTreeMap::from([(Category::Field, 1), (Category::Record, 1)]));
    assert_eq!((said(&run, "long").level, said(&run, "long").record), (Level::Error, Some(7)));
}

#[test]
fn python_s_own_text_is_read_as_levels_and_a_traceback_is_one_event_and_the_reason() {
    let mut run = Run::new();
    let outcome = python(
        &mut run,
        r#"import logging
logging.basicConfig(level="INFO")
logging.info("began")
logging.warning("late")
try: 1/0
except Exception: logging.exception("row failed")
raise ValueError("no such column")"#,
    );
    let reason = failure(outcome);
    assert_eq!(reason, "the parser exited with code 1; its last words: ValueError: no such column");
    let said: Vec<_> = run.said.iter().map(|said| (said.level, said.message.as_str())).collect();
    let expected = [
        (Level::Info, "began"),
        (Level::Warn, "late"),
        (Level::Error, "row failed: ZeroDivisionError: division by zero"),
        (Level::Error, "ValueError: no such column"),
    ];
    assert_eq!(said, expected);
    assert!(run.said[3].fields["context"].to_string().contains("Traceback"));
}

#[test]
fn a_progress_bar_is_one_line_that_says_how_often_it_was_written_over() {
    let mut run = Run::new();
    python(
        &mut run,
        r##"import sys
for i in range(2001): sys.stderr.write("\r%3d%%|%s| %d/2000" % (i/20, ("#"*(i//100)).ljust(20), i))
sys.stderr.write("\n")
print("done")"##,
    )
    .expect("an outcome");
    let bar = run.said.iter().find(|said| said.message != "done").expect("the bar");
    assert_eq!((run.said.len(), bar.level, &bar.fields["overwritten"]), (2, Level::Info, &2000.into()));
    assert!(bar.message.contains("2000/2000"), "{}", bar.message);
}

#[test]
fn a_helper_that_escapes_with_the_pipes_delays_nothing() {
    let mut run = Run::new();
    run.options.grace = 2 * PATIENCE;
    let started = Instant::now();
    let outcome = run.script(
        r#"setsid env -i sleep 330 &
           echo '{"level":"error","record":1,"category":2,"message":"row 1 refused"}'"#,
    );
    assert_eq!(outcome.expect("an outcome").error_count(), 1);
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
    assert!(run.messages().iter().any(|line| line.contains("escaped")), "{:?}", run.messages());
}

#[test]
fn a_program_inherits_what_every_program_needs_and_what_is_passed_to_it() {
    let mut run = Run::new();
    let script = "env | grep -c '^CARGO' || true; env | grep '^CARGO_PKG_NAME' || true";
    run.script(script).expect("an outcome");
    assert_eq!(run.messages(), ["0"], "cargo's variables are in our environment");
    run.options.pass = vec!["CARGO_PKG_NAME".to_owned()];
    run.script(script).expect("an outcome");
    assert_eq!(run.messages(), ["1", "CARGO_PKG_NAME=parselog"]);
}

#[test]
fn the_page_about_parsers_says_what_is_so() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/PARSERS.md");
    let page = fs::read_to_string(page).expect("the page");
    let block =
        |kind: &str| page.split_once(&format!("```{kind}\n")).and_then(|(_, rest)| rest.split_once("```"));
    let (lines, _) = block("text").expect("lines");
    let (result, _) = block("json").expect("a result");
    let mut run = Run::new();
    fs::write(run.path("lines"), lines).expect("a file");
    fs::write(run.path("result"), result).expect("a file");
    let outcome = run.script(r#"cat "$2/lines"; cp "$2/result" "$PARSELOG_RESULT""#).expect("an outcome");
    assert_eq!(outcome.summary, SummaryStatus::PartiallyAccepted);
    assert_eq!(run.said.len(), lines.lines().count());
    for said in &run.messages() {
        assert!(!said.contains("read whole"), "{said}");
        assert!(lines.lines().all(|line| line != *said), "not read: {said}");
    }
}
