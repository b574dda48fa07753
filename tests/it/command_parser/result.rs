//! The outcome of an external parser: stated, counted, or a failure; and the examples.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use parselog::parser::{Category, SummaryStatus};
use serde_json::json;

use super::{Run, failure, quoted};

#[test]
fn a_result_file_states_the_outcome_and_the_rest_is_counted() {
    let mut run = Run::new();
    let outcome = run
        .script(
            r#"echo '{"level":"error","category":7,"record":3,"message":"write to a@example.org"}'
               echo '{"summary":"Partially Accepted with Errors","created_by_type":{"T1":4},"records_in_file":5}' >"$PARSELOG_RESULT""#,
        )
        .expect("an outcome");
    assert_eq!(outcome.summary, SummaryStatus::PartiallyAccepted);
    assert_eq!((outcome.records_in_file, outcome.records_created), (5, 4));
    assert_eq!(outcome.errors, BTreeMap::from([(Category::Record, 1)]));
    let first = outcome.first_error.expect("a first error");
    assert_eq!(
        (first.record, first.message.as_str()),
        (Some(3), "write to a@example.org"),
        "the worker redacts it"
    );
}

#[test]
fn a_result_that_is_none_fails_without_quoting_it() {
    let mut run = Run::new();
    let error = failure(run.script(r#"echo '{"summary":"123-45-6789"}' >"$PARSELOG_RESULT""#));
    assert!(error.contains("line 1") && !error.contains("6789"), "{error}");
    let error = failure(run.script(r#"mkfifo "$PARSELOG_RESULT""#));
    assert!(error.contains("not a regular file"), "{error}");
}

#[test]
fn the_python_example_counts_and_states_its_result() {
    let mut run = Run::new();
    fs::write(run.path("a file.txt"), "HEADER\nT1202010x\nT12020\nT2202011y\nTRAILER\n").expect("a file");
    let outcome =
        run.command(&format!("python3 {} {{file}}", example("count_lines.py"))).expect("an outcome");
    assert_eq!(outcome.summary, SummaryStatus::PartiallyAccepted);
    assert_eq!(outcome.created_by_type, BTreeMap::from([("T1".to_owned(), 1), ("T2".to_owned(), 1)]));
    assert_eq!((outcome.records_in_file, outcome.error_count()), (3, 1));
    let problem = run.said.iter().find(|said| said.target == "parselog::problem").expect("a problem");
    assert_eq!((problem.record, &problem.fields["field"]), (Some(3), &json!("RPT_MONTH_YEAR")));
}

#[test]
fn the_shell_example_compares_widths() {
    let mut run = Run::new();
    let outcome = run.command(&format!("sh {} {{file}}", example("check_width.sh"))).expect("an outcome");
    assert_eq!(outcome.summary, SummaryStatus::AcceptedWithErrors);
    assert_eq!(outcome.first_error.expect("a first error").record, Some(3));
}

fn example(name: &str) -> String {
    quoted(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/parsers").join(name))
}
