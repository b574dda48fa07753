//! `parselog parser`: a parser to begin with runs, and a trial says what was understood of it.

use crate::support::{Desk, sample};

#[tokio::test]
async fn the_parsers_to_begin_with_run_and_are_not_written_over() {
    let desk = Desk::new().await;
    let file = sample("tanf-active-2021-q1.txt");
    for (language, name, interpreter) in [("python", "parser.py", "python3"), ("shell", "parser.sh", "sh")] {
        let path = desk.path(name);
        desk.ok(&["parser", "init", language, &path]);
        let command = format!("{interpreter} {path} {{file}}");
        let said =
            desk.run(&["parser", "check", &command, &file, "--program", "tanf", "--section", "active"]);
        assert!([0, 3].contains(&said.code), "{language}: {}{}", said.out, said.err);
        assert!(said.out.contains("verdict    "), "{}", said.out);
        let again = desk.run(&["parser", "init", language, &path]);
        assert_eq!((again.code, again.err.contains("exists: name another file")), (2, true), "{}", again.err);
    }
    let rust = desk.path("parser.rs");
    assert!(desk.ok(&["parser", "init", "rust", &rust]).err.contains("linked in"));
    assert_eq!(std::fs::read_to_string(rust).unwrap(), include_str!("../../examples/letters.rs"));
    assert!(desk.ok(&["runs", "--json"]).out.is_empty(), "nothing was submitted");
}

#[tokio::test]
async fn a_trial_says_line_by_line_what_was_understood_and_what_is_missing() {
    let desk = Desk::new().await;
    let lines = [
        r#"{"level":"error","record":3,"category":2,"message":"no number","page":7}"#,
        r#"{"level":"error","message":"cannot read any row"}"#,
        r#"{"level":"warning","record":"x","message":"cut"}"#,
        "plain text",
    ];
    let said = desk.file("said.ndjson", &(lines.join("\n") + "\n"));
    let checked = desk.run(&["parser", "check", "cat {file}", &said]);
    assert_eq!(checked.code, 3, "an error without a record rejects the file: {}", checked.err);
    for part in [
        "problem field value      ERROR line 3: no number",
        "page=7",
        "problem file             ERROR cannot read any row",
        "a line of the parser can't be read whole: its record is not a number",
        "event                    INFO  plain text",
        "verdict    Rejected, records not reported, 3 problems",
    ] {
        assert!(checked.out.contains(part), "{part}: {}", checked.out);
    }
    assert!(checked.err.contains("hint: records are not reported"), "{}", checked.err);
    let silent = desk.run(&["parser", "check", "true", &said]);
    assert_eq!(silent.code, 6);
    for part in ["has no {file}", "printed nothing", "states no verdict"] {
        assert!(silent.err.contains(part), "{part}: {}", silent.err);
    }
    let failing = desk.run(&["parser", "check", "sh -c 'echo cannot open >&2; exit 2' {file}", &said]);
    assert_eq!(failing.code, 1);
    let reason = "the run would fail: the parser exited with code 2; its last words: cannot open";
    assert!(failing.out.contains(reason), "{}", failing.out);
    assert_eq!(desk.run(&["parser", "check", "no-such-program {file}", &said]).code, 1);
}

#[tokio::test]
async fn a_parser_gets_the_file_under_its_own_name_and_without_file_there_is_a_warning() {
    let desk = Desk::new().await;
    let file = desk.file("my sheet.xlsx", "x\n");
    let what = ["--program", "other", "--section", "all", "--year", "2024", "--quarter", "1"];
    let run = |command: &str| desk.run(&[&["run", &file, "--parser", command][..], &what].concat());
    let said = run("sh -c 'echo path: $0; echo variable: $PARSELOG_FILE' {file}");
    assert!(!said.err.contains("{file}"), "{}", said.err);
    let log = desk.ok(&["logs", "@latest"]).out;
    assert_eq!(log.matches(".submitted.copy/my sheet.xlsx").count(), 2, "{log}");
    assert!(run("true").err.contains("has no {file} on its command line"));
    let failed = run("sh -c 'echo cannot open it >&2; exit 2' {file}");
    assert!(
        failed.out.contains("its last words: cannot open it") && failed.out.contains("log   "),
        "{}",
        failed.out
    );
}
