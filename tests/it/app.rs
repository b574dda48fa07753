//! A program of a team's own: parselog with the parser of `examples/letters.rs` linked in.

use std::path::PathBuf;
use std::process::{Command, Output};

use parselog::{App, Context, Outcome, ParseError, Parser, Submission};

use crate::support::{Desk, Said};

const LETTERS: [&str; 8] = ["--program", "letters", "--section", "all", "--year", "2024", "--quarter", "1"];

/// The example, built as any user's program is.
fn letters() -> PathBuf {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--locked", "--offline", "--example", "letters"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    PathBuf::from(env!("CARGO_BIN_EXE_parselog")).with_file_name("examples").join("letters")
}

fn run(desk: &Desk, arguments: &[&str]) -> Output {
    let as_parselog = desk.command(arguments);
    let mut command = Command::new(letters());
    command.args(arguments).envs(as_parselog.get_envs().filter_map(|(name, value)| Some((name, value?))));
    for (name, value) in as_parselog.get_envs() {
        if value.is_none() {
            command.env_remove(name);
        }
    }
    command.output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_with_a_parser_of_its_own_has_every_command_and_a_log_for_each_run() {
    let desk = Desk::new().await;
    let file = desk.file("letters.txt", "A\nB\nCC\nD\n");
    let said = Said::of(run(&desk, &[&["run", &file, "--json"][..], &LETTERS].concat()));
    assert_eq!(said.code, 0, "{}", said.err);
    let row = &said.json()[0];
    assert_eq!(row["summary_status"], "Partially Accepted with Errors");
    assert_eq!((&row["records_in_file"], &row["records_created"]), (&4.into(), &3.into()));
    assert_eq!((&row["created_by_type"]["letter"], &row["error_counts"]["7"]), (&3.into(), &1.into()));
    assert_eq!(row["first_error"], "expected one letter, found 2 bytes");

    let log = Said::of(run(&desk, &["logs", "letters.txt"]));
    assert_eq!((log.code, log.out.matches("a letter").count()), (0, 3), "{}", log.err);
    let queued = Said::of(run(&desk, &[&["submit", &desk.file("more.txt", "E\n")][..], &LETTERS].concat()));
    assert_eq!(queued.code, 0, "{}", queued.err);
    assert_eq!(Said::of(run(&desk, &["worker", "--drain"])).code, 0);
    assert!(Said::of(run(&desk, &["runs"])).out.contains("Accepted"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_the_command_line_names_goes_before_a_parser_that_is_linked_in() {
    let desk = Desk::new().await;
    let file = desk.file("letters.txt", "A\n");
    let cat = ["run", &file, "--json", "--parser", "cat {file}"];
    let said = Said::of(run(&desk, &[&cat[..], &LETTERS].concat()));
    assert_eq!(said.json()[0]["summary_status"], "No Verdict", "{}", said.err);
}

#[test]
fn a_parser_for_no_program_and_section_is_refused_before_anything_is_read() {
    struct Nothing;
    impl Parser for Nothing {
        fn parse(&self, _: &Submission<'_>, _: &mut Context<'_>) -> Result<Outcome, ParseError> {
            Ok(Outcome::default())
        }
    }
    for wrong in ["fra", "FRA/exits", "fra/", "/exits", "fra exits/*"] {
        let app = format!("{:?}", App::new().parser(wrong, Nothing));
        assert!(app.contains("expected PROGRAM/SECTION"), "{app}");
    }
    let app = format!("{:?}", App::new().parser("fra/*", Nothing).parser("*/*", Nothing));
    assert!(app.contains("wrong: None"), "{app}");
}
