//! The commands that begin, change or set up something, as they print at a narrow and at a wide terminal; and the
//! check that no command is left out.

use std::fs;
use std::path::Path;

use super::help::commands;
use super::{holds, printed_at};
use crate::support::{Desk, sample_text};

/// Commands without a snapshot of what they print.
const WITHOUT: [(&str, &str); 2] =
    [("collect", "it runs until it is stopped, and prints its log alone"), ("serve", "the same")];

const FILE: &str = "tanf-active-2021-q1-corrected.txt";

#[tokio::test]
async fn what_begins_fails_and_is_tried_again() {
    for columns in ["80", "200"] {
        let desk = Desk::new().await;
        let [file, other] = ["a.txt", "b.txt"].map(|name| desk.file(name, &sample_text(FILE)));
        let parser = "sh -c 'echo the disk is full >&2; exit 1' {file}";
        let commands: &[&[&str]] = &[
            &["submit", &file],
            &["show", "a.txt"],
            &["status"],
            &["runs"],
            &["cancel", "a.txt"],
            &["show", "a.txt"],
            &["run", "--global-level", "off", "--parser", parser, &other],
            &["show", "b.txt"],
            &["status"],
            &["retry", "--failed", "--dry-run"],
            &["retry", "b.txt"],
            &["worker", "--name", "w1", "--drain", "--drain-wait", "0s"],
            &["wait", "b.txt"],
            &["history", "b.txt"],
            &["runs", "-n", "2"],
            &["actions", "-n", "2"],
            &["report", "b.txt", "--out", &desk.path("report.json")],
            &["logs", "b.txt"],
            &["retry", "b.txt"],
            &["reparse", "b.txt", "--yes", "--by", "ann"],
            &["reparse", "status", "@latest"],
            &["worker", "--name", "w1", "--drain", "--drain-wait", "0s", "--global-level", "warn"],
            &["diff", "--reparse", "@latest"],
            &["erase", "b.txt", "--yes"],
            &["prune", "--older-than", "0s", "--force", "--yes"],
            &["show", "b.txt"],
        ];
        holds(&format!("commands-{columns}"), &printed_at(&desk, columns, commands));
    }
}

#[tokio::test]
async fn what_sets_something_up() {
    for columns in ["80", "200"] {
        let desk = Desk::new().await;
        let written = desk.path("parser.sh");
        let site = "https://logs.example.org";
        let commands: &[&[&str]] = &[
            &["token", "list"],
            &["token", "create", "ci", "--stream", "celery", "--expires", "30d"],
            &["token", "create", "ci"],
            &["token", "revoke", "ci"],
            &["token", "list"],
            &["session", "list"],
            &["ui", "--listen", "127.0.0.1:1"],
            &["ui", "--site", site, "--for", "bob", "--role", "staff", "--program", "tanf"],
            &["session", "list"],
            &["session", "revoke", "1"],
            &["session", "revoke", "7"],
            &["session", "list"],
            &["parser", "init", "shell", &written],
            &["parser", "init", "shell", &written],
            &["config", "show", "--home", "/srv/parselog"],
            &["completion", "fish"],
            &["db", "status"],
            &["db", "stop"],
            &["migrate"],
        ];
        holds(&format!("setup-{columns}"), &printed_at(&desk, columns, commands));
    }
}

#[test]
fn every_command_has_its_output_at_80_and_at_200_columns() {
    for columns in ["80", "200"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/snapshots");
        let mut shown = String::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.to_str().unwrap().ends_with(&format!("-{columns}.snap")) {
                shown += &fs::read_to_string(path).unwrap();
            }
        }
        let lines: Vec<String> = shown.lines().map(|line| format!("{line} ")).collect();
        let is_shown = |command: &str| lines.iter().any(|l| l.starts_with(&format!("$ parselog {command} ")));
        let mut missing: Vec<_> = commands().into_iter().filter(|command| !is_shown(command)).collect();
        missing.sort();
        assert_eq!(missing, WITHOUT.map(|(command, _)| command), "at {columns} columns");
    }
}
