//! A stdout that takes nothing: a full device, and a reader that has gone.

use std::fs::{self, OpenOptions};
use std::io::pipe;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Output, Stdio};

use super::assert_every_command;
use crate::support::{Desk, Said, sample_text};

/// Every command that prints, so that it does.
fn lines(new: &str) -> Vec<Vec<&str>> {
    vec![
        vec!["runs"],
        vec!["runs", "--json"],
        vec!["streams"],
        vec!["streams", "--json"],
        vec!["status"],
        vec!["show", "a.txt"],
        vec!["show", "a.txt", "--json"],
        vec!["history", "a.txt"],
        vec!["actions"],
        vec!["actions", "--csv"],
        vec!["notices", "--unsent", "--dismiss"],
        vec!["reparse", "--all", "--dry-run"],
        vec!["diff", "a.txt"],
        vec!["diff", "a.txt", "--json"],
        vec!["logs", "a.txt"],
        vec!["logs", "a.txt", "--json"],
        vec!["logs", "a.txt", "-o", "raw"],
        vec!["report", "a.txt"],
        vec!["report", "a.txt", "--format", "json"],
        vec!["report", "a.txt", "--format", "xlsx"],
        vec!["doctor", "--grace", "0s"],
        vec!["verify", "--all"],
        vec!["hold", "a.txt"],
        vec!["hold", "a.txt", "--release"],
        vec!["cancel", "a.txt"],
        vec!["prune", "--older-than", "1d", "--yes"],
        vec!["submit", new],
        vec!["cancel", "@latest"],
        vec!["retry", "@latest"],
        vec!["cancel", "@latest"],
        vec!["wait", "@latest"],
        vec!["run", new],
        vec!["run", new, "--json"],
        vec!["run", new, "--records", "-"],
        vec!["problems"],
        vec!["problems", "--json"],
        vec!["problems", "--backfill"],
        vec!["erase", "@latest", "--yes"],
        vec!["config", "show"],
        vec!["parser", "check", "echo {file}", "README.md"],
        vec!["completion", "bash"],
        vec!["migrate"],
        vec!["token", "create", "web"],
        vec!["token", "list"],
        vec!["token", "list", "--json"],
        vec!["ui", "--site", "http://localhost:8005"],
        vec!["session", "list"],
        vec!["session", "list", "--json"],
        vec!["db", "status"],
        vec!["sample", "--size", "1M"],
        vec!["--help"],
        vec!["--version"],
    ]
}

async fn desk() -> (Desk, String) {
    let desk = Desk::new().await;
    let text = sample_text("tanf-active-2021-q1.txt");
    let file = desk.file("a.txt", &text);
    desk.ok(&["run", &file]);
    desk.file("a.txt", &sample_text("tanf-active-2021-q1-corrected.txt"));
    desk.ok(&["run", &file]);
    let new = desk.file("new.txt", &text);
    // A difference for the doctor.
    desk.ok(&["submit", &new]);
    for statement in [
        "update parse_meta set deadline = now() - interval '1 day' where id = (select max(id) from parse_meta)",
        "insert into log (service, state, first_at) values ('celery', 'open', now())",
    ] {
        sqlx::query(statement).execute(&desk.db.pool).await.unwrap();
    }
    (desk, new)
}

#[tokio::test]
async fn a_stdout_that_is_full_is_said_and_ends_every_command_with_1() {
    let (desk, new) = desk().await;
    let lines = lines(&new);
    // None of them prints here.
    let silent: [&[&str]; 5] =
        [&["worker", "--drain"], &["collect"], &["serve"], &["url", "a.txt"], &["reparses"]];
    let all: Vec<&[&str]> = lines.iter().map(Vec::as_slice).chain(silent).collect();
    assert_every_command(&all);
    for line in &lines {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let said = Said::of(desk.command(line).stdout(full).output().unwrap());
        assert_eq!(said.code, 1, "{line:?}: {}", said.err);
        assert!(said.err.contains("failed to write to stdout: No space left"), "{line:?}: {}", said.err);
    }
}

#[tokio::test]
async fn a_reader_that_has_gone_is_success_and_silence() {
    let (desk, new) = desk().await;
    for line in lines(&new) {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let Output { status, stderr, .. } = desk.command(&line).stdout(Stdio::from(writer)).output().unwrap();
        let stderr = String::from_utf8_lossy(&stderr);
        assert_eq!(status.code(), Some(0), "{line:?}: {stderr}");
        assert!(!stderr.contains("parselog:"), "{line:?}: {stderr}");
    }
}

#[tokio::test]
async fn a_full_device_that_is_named_as_a_file_is_said_too() {
    let (desk, new) = desk().await;
    for line in [
        &["report", "a.txt", "--out", "/dev/full"][..],
        &["run", &new, "--records", "/dev/full"],
        &["sample", "--force", "/dev/full"],
    ] {
        let said = desk.run(line);
        assert_eq!(said.code, 1, "{line:?}: {}{}", said.out, said.err);
        assert!(format!("{}{}", said.out, said.err).contains("No space left"), "{line:?}: {}", said.err);
    }
}

#[tokio::test]
async fn records_are_for_their_owner_alone_and_an_older_file_stays_until_they_are_there() {
    let (desk, new) = desk().await;
    let out = desk.path("records.ndjson");
    fs::write(&out, "older").unwrap();
    fs::set_permissions(&out, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = desk.run(&["run", &new, "--records", &out, "--parser", "cat {file}"]);
    assert_eq!(refused.code, 2, "{}", refused.err);
    assert!(refused.err.contains("--records needs the built-in parser"), "{}", refused.err);
    let rule = ["run", &new, "--records", &out, "--parser-for", "tanf/*=cat {file}"];
    assert_eq!(desk.run(&rule).code, 2);
    assert_eq!(fs::read_to_string(&out).unwrap(), "older");
    assert_eq!(desk.ok(&["runs", "--json"]).json().len(), 3, "a refused run was queued");

    desk.ok(&["run", &new, "--records", &out]);
    let mode = fs::metadata(&out).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "others can read the records");
    assert!(fs::read_to_string(&out).unwrap().starts_with("{\"record_type\":"));
    let left: Vec<String> = desk.files("").into_iter().filter(|path| path.contains("/.records-")).collect();
    assert!(left.is_empty(), "{left:?}");
}
