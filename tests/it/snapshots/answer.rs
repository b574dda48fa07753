//! `parselog show`: the answer for staff, in each of the ways that a run goes.

use super::{all_printed, holds};
use crate::support::{Desk, sample_text};

const FIRST: &str = "tanf-active-2021-q1.txt";
const CORRECTED: &str = "tanf-active-2021-q1-corrected.txt";

#[tokio::test]
async fn what_came_of_a_file_why_and_what_to_do_next() {
    let desk = Desk::new().await;
    let file = desk.file("a.txt", &sample_text(FIRST));
    desk.ok(&["run", &file]);
    let other = ["--program", "other", "--section", "all", "--year", "2024", "--quarter", "1"];
    let failing = desk.file("failing.txt", "x\n");
    desk.run(&[&["run", &failing, "--parser", "sh -c 'exit 7'"][..], &other].concat());
    let silent = desk.file("silent.txt", "x\n");
    desk.run(&[&["run", &silent, "--parser", "true"][..], &other].concat());
    let header = sample_text(FIRST).lines().next().expect("a header").to_owned();
    desk.run(&["run", &desk.file("rejected.txt", &(header + "\nT1\n"))]);
    desk.file("a.txt", &sample_text(CORRECTED));
    desk.ok(&["run", &file]);
    desk.ok(&["submit", &desk.file("queued.txt", &sample_text(CORRECTED))]);
    let commands: &[&[&str]] = &[
        &["show", "a.txt@previous", "-n", "2"],
        &["show", "a.txt"],
        &["show", "rejected.txt"],
        &["show", "failing.txt"],
        &["show", "silent.txt"],
        &["show", "queued.txt"],
        &["show", "nothing.txt"],
    ];
    holds("show", &all_printed(&desk, commands));
    let said = desk.ok(&["show", "a.txt@previous", "--json", "-n", "1"]).json().remove(0);
    let keys: Vec<&str> = said.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(keys, ["why", "run", "attempts", "groups", "report_uri", "unread", "next"]);
    assert_eq!(said["groups"].as_array().map(Vec::len), Some(1));
}
