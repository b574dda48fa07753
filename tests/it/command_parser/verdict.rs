//! The verdict of an external parser: what it stated, what its problems say, or none.

use std::collections::BTreeMap;

use parselog::parser::{Category, CommandOptions, CommandParser, SummaryStatus, VerdictSource};

use super::{Run, failure};
use crate::support::{Desk, sample};

#[test]
fn a_program_that_says_nothing_about_the_submission_has_no_verdict() {
    let mut run = Run::new();
    for script in ["true", "echo 'all is well'", r#"echo '{}' >"$PARSELOG_RESULT""#] {
        let outcome = run.script(script).expect("an outcome");
        assert_eq!(
            (outcome.summary, outcome.records_reported),
            (SummaryStatus::NoVerdict, false),
            "{script}"
        );
    }
    let outcome = run.script(r#"echo '{"records_in_file":2,"records_created":2}' >"$PARSELOG_RESULT""#);
    let outcome = outcome.expect("an outcome");
    assert_eq!((outcome.summary, outcome.records_reported), (SummaryStatus::Accepted, true));
}

#[test]
fn an_error_that_names_no_record_is_a_problem_of_the_file() {
    let mut run = Run::new();
    for line in [r#"{"level":"error","message":"cannot read any row"}"#, "ERROR:fra:cannot read any row"] {
        let outcome = run.script(&format!("echo '{line}'")).expect("an outcome");
        assert_eq!(outcome.summary, SummaryStatus::Rejected, "{line}");
        assert_eq!(outcome.errors, BTreeMap::from([(Category::File, 1)]), "{line}");
        let first = outcome.first_error.expect("a first error");
        assert_eq!((first.record, first.message.as_str()), (None, "cannot read any row"));
    }
}

#[test]
fn an_exit_code_is_a_verdict_where_the_operator_says_so() {
    let mut run = Run::new();
    run.options.verdict_from = VerdictSource::Exit;
    for (script, verdict) in [
        ("true", SummaryStatus::Accepted),
        ("exit 3", SummaryStatus::Rejected),
        (r#"echo '{"level":"error","record":1,"message":"x"}'"#, SummaryStatus::AcceptedWithErrors),
    ] {
        assert_eq!(run.script(script).expect("an outcome").summary, verdict, "{script}");
    }
    assert_eq!(failure(run.script("exit 4")), "the parser exited with code 4");
}

#[test]
fn what_means_nothing_is_refused_by_its_name() {
    let mut run = Run::new();
    let error = failure(run.script(r#"echo '{"sumary":"Rejected"}' >"$PARSELOG_RESULT""#));
    assert!(error.contains("unknown key 'sumary': expected summary, records_in_file"), "{error}");
    for program in ["no-such-program-anywhere {file}", "/no/such/program", "/etc/passwd"] {
        let error = CommandParser::new(program, CommandOptions::default()).expect_err(program).to_string();
        assert!(error.contains(program.split(' ').next().expect("a word")), "{error}");
    }
}

#[tokio::test]
async fn no_verdict_is_said_on_the_row_in_the_report_and_by_the_exit_code() {
    let desk = Desk::new().await;
    let file = sample("tanf-active-2021-q1.txt");
    let said = desk.run(&["run", "--parser", "true", &file]);
    assert_eq!(said.code, 6, "{}{}", said.out, said.err);
    assert!(said.out.contains("No Verdict  records not reported"), "{}", said.out);
    let row = &desk.ok(&["runs", "--json"]).json()[0];
    assert_eq!((row["summary_status"].as_str(), row["records_in_file"].as_i64()), (Some("No Verdict"), None));
    let report = desk.ok(&["report", "@latest", "--format", "json"]).out;
    assert!(report.contains("No Verdict"), "{report}");

    let said = desk.run(&["run", "--parser", "true", "--verdict-from", "exit", &file]);
    assert!(
        said.code == 0 && said.out.contains("Accepted  records not reported"),
        "{}{}",
        said.out,
        said.err
    );
    let diff = desk.ok(&["diff", "tanf-active-2021-q1.txt"]).out;
    assert!(diff.contains("No Verdict"), "{diff}");
    let said = desk.run(&["run", "--parser", "no-such-program {file}", &file]);
    assert!(said.code == 2 && said.err.contains("no-such-program"), "{}{}", said.code, said.err);
}

#[tokio::test]
async fn what_a_row_can_not_hold_ends_no_run_of_a_parser() {
    let desk = Desk::new().await;
    let file = sample("tanf-active-2021-q1.txt");
    let said = desk.run(&[
        "run",
        "--parser",
        r#"sh -c 'printf "%s\n" "{\"level\":\"error\",\"record\":9223372036854775813,\"category\":2,\"message\":\"a\\u0000b\"}"; echo "{\"records_in_file\":18446744073709551615}" >"$PARSELOG_RESULT"'"#,
        &file,
    ]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let row = &desk.ok(&["runs", "--json"]).json()[0];
    assert_eq!((row["first_error"].as_str(), row["status"].as_str()), (Some("a\\u{0}b"), Some("success")));
    assert_eq!(row["records_in_file"].as_u64(), Some(1_000_000_000_000_000));
}

#[tokio::test]
async fn a_program_is_told_the_level_that_the_log_of_its_run_keeps() {
    let desk = Desk::new().await;
    let file = sample("tanf-active-2021-q1.txt");
    for (levels, told) in [("info", "INFO"), ("debug", "DEBUG"), ("warn,parselog::external=trace", "TRACE")] {
        desk.run(&[
            "run",
            "--run-level",
            levels,
            "--parser",
            "sh -c 'echo level=$PARSELOG_LEVEL >&2'",
            &file,
        ]);
        let log = desk.ok(&["logs", "@latest"]).out;
        assert!(log.contains(&format!("level={told}")), "{levels}: {log}");
    }
}
