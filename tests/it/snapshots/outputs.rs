//! What the main commands print, for people and for programs.

use super::{all_printed, holds, printed, printed_at};
use crate::support::{Desk, sample_text};

const FIRST: &str = "tanf-active-2021-q1.txt";
const CORRECTED: &str = "tanf-active-2021-q1-corrected.txt";

/// A file in two versions and another, each parsed once.
async fn desk_with_runs() -> Desk {
    let desk = Desk::new().await;
    let file = desk.file("a.txt", &sample_text(FIRST));
    desk.ok(&["run", &file]);
    desk.file("a.txt", &sample_text(CORRECTED));
    desk.ok(&["run", &file]);
    desk.ok(&["run", &desk.file("b.txt", &sample_text(FIRST))]);
    desk
}

#[tokio::test]
async fn what_a_run_comes_to() {
    let desk = Desk::new().await;
    let file = desk.file("a.txt", &sample_text(FIRST));
    holds("run", &printed(&desk, &["run", &file]));
    let rows = desk.ok(&["runs", "--json"]).json();
    let columns: Vec<&str> = rows[0].as_object().expect("an object").keys().map(String::as_str).collect();
    holds("run-columns", &columns.join("\n"));
    holds("report", &printed(&desk, &["report", "a.txt"]));
}

#[tokio::test]
async fn lists_of_runs() {
    let desk = desk_with_runs().await;
    let commands: &[&[&str]] = &[
        &["runs"],
        &["runs", "--status", "crash"],
        &["history", "a.txt"],
        &["history", "a.txt", "-n", "1"],
        &["actions", "--counts"],
        &["notices"],
        &["verify", "--all"],
    ];
    holds("lists", &all_printed(&desk, commands));
    for columns in ["80", "200"] {
        let lists: &[&[&str]] = &[
            &["runs"],
            &["runs", "-n", "1"],
            &["history", "a.txt"],
            &["show", "a.txt"],
            &["show", "b.txt"],
            &["status"],
            &["actions", "--counts"],
            &["diff", "a.txt"],
            &["reparse", "--all", "--dry-run"],
            &["prune", "--older-than", "0s", "--force", "--dry-run"],
        ];
        holds(&format!("lists-{columns}"), &printed_at(&desk, columns, lists));
    }
}

#[tokio::test]
async fn what_operators_look_at() {
    let desk = desk_with_runs().await;
    desk.ok(&["reparse", "a.txt", "--yes", "--reason", "new rules", "--by", "ann"]);
    desk.ok(&["worker", "--drain"]);
    desk.ok(&["token", "create", "ci", "--role", "ingest", "--stream", "celery", "--by", "ann"]);
    let sql = "insert into notice (kind, run_id, address, state, sent_at)
               select kind, r.id, address, 'sent', now()
               from (values ('result', 'a.rather.long.name@some.state.example'), ('run-stuck', 'webhook'))
                    as n (kind, address), (select id from parse_file_meta order by id limit 1) r";
    sqlx::query(sql).execute(&desk.db.pool).await.expect("notices");
    let file = desk.path("a.txt");
    for columns in ["80", "200"] {
        let made = desk.path(&format!("made-{columns}.txt"));
        let commands: &[&[&str]] = &[
            &["reparses"],
            &["reparse", "status", "@latest"],
            &["diff", "--reparse", "@latest"],
            &["problems", "--top", "3"],
            &["problems", "--by", "program,section,period,state,reparse"],
            &["problems", "--by", "kind,reparse", "--reparse", "none", "--since", "2026-01-01", "--top", "2"],
            &["problems", "--year", "2020"],
            &["problems", "--backfill"],
            &["notices"],
            &["token", "list"],
            &["streams"],
            &["doctor"],
            &["verify", "--all"],
            &["logs", "b.txt", "--level", "error"],
            &["wait", "b.txt"],
            &["hold", "b.txt", "--reason", "inquiry"],
            &["erase", "b.txt"],
            &["hold", "b.txt", "--release"],
            &["retry", "--failed", "--dry-run"],
            &["cancel", "b.txt"],
            &[
                "parser",
                "check",
                "true",
                &file,
                "--program",
                "other",
                "--section",
                "all",
                "--year",
                "2024",
                "--quarter",
                "1",
            ],
            &["db", "status"],
            &["run", &file],
            &["submit", &file],
            &["url", "b.txt"],
            &["sample", "--cases", "1", &made],
            &["migrate"],
        ];
        holds(&format!("operators-{columns}"), &printed_at(&desk, columns, commands));
    }
}

#[tokio::test]
async fn what_changed_between_two_runs() {
    let desk = desk_with_runs().await;
    holds("diff", &printed(&desk, &["diff", "a.txt@previous", "a.txt"]));
    holds("diff-json", &printed(&desk, &["diff", "a.txt@previous", "a.txt", "--json"]));
    holds("diff-same", &printed(&desk, &["diff", "a.txt@previous", "b.txt", "--exit-code"]));
}

#[tokio::test]
async fn a_reparse_from_its_preview_to_its_comparison() {
    let desk = desk_with_runs().await;
    let commands: &[&[&str]] = &[
        &["reparse", "a.txt", "b.txt", "--dry-run"],
        &["reparse", "a.txt", "b.txt", "--yes", "--reason", "new rules"],
        &["reparses"],
        &["reparse", "a.txt", "--yes"],
        &["reparse", "status", "@latest"],
    ];
    holds("reparse", &all_printed(&desk, commands));
    desk.ok(&["worker", "--drain"]);
    let commands: &[&[&str]] = &[
        &["reparse", "status", "@latest"],
        &["reparse", "status", "@latest", "--json"],
        &["reparses"],
        &["diff", "--reparse", "@latest"],
        &["diff", "--reparse", "@latest", "--json"],
        &["history", "a.txt"],
    ];
    holds("reparse-done", &all_printed(&desk, commands));
    let sql = "update parse_file_meta set error_counts = '{\"2\": 7}', records_created = 1,
                      summary_status = 'Rejected'
               where id = (select id from parse_file_meta order by id desc limit 1)";
    sqlx::query(sql).execute(&desk.db.pool).await.expect("a changed row");
    let commands: &[&[&str]] = &[
        &["diff", "--reparse", "@latest", "--exit-code"],
        &["diff", "--reparse", "@latest", "--json"],
        &["reparse", "status", "@latest"],
        &["diff", "b.txt"],
    ];
    holds("reparse-changed", &all_printed(&desk, commands));
}

#[tokio::test]
async fn letting_logs_go_and_keeping_them() {
    let desk = desk_with_runs().await;
    let commands: &[&[&str]] = &[
        &["hold", "b.txt", "--reason", "inquiry"],
        &["prune", "--older-than", "1h"],
        &["prune", "--older-than", "400d"],
        &["prune", "--older-than", "0s", "--force", "--dry-run"],
        &["prune", "--older-than", "0s", "--force"],
        &["erase", "b.txt"],
        &["erase", "a.txt"],
        &["erase", "a.txt", "--yes", "--reason", "private"],
        &["erase", "a.txt", "--yes"],
        &["logs", "a.txt"],
        &["prune", "--older-than", "0s", "--force", "--yes"],
        &["hold", "b.txt", "--release"],
    ];
    holds("retention", &all_printed(&desk, commands));
}

#[tokio::test]
async fn what_the_doctor_finds() {
    let desk = desk_with_runs().await;
    holds("doctor-healthy", &printed(&desk, &["doctor"]));
    let last = desk.ok(&["runs", "--json", "-n", "1"]).json()[0]["id"].as_str().expect("an id").to_owned();
    for stored in desk.files("objects").iter().filter(|path| path.contains(&last)) {
        std::fs::remove_file(stored).expect("a stored log");
    }
    let commands: &[&[&str]] = &[&["doctor", "--grace", "0s"], &["doctor", "--grace", "0s", "--json"]];
    holds("doctor", &all_printed(&desk, commands));
}

#[tokio::test]
async fn errors_in_one_line_each() {
    let desk = desk_with_runs().await;
    let empty = desk.file("empty.txt", "");
    let silent = desk.file("silent.txt", "nothing that says what it is\n");
    let (a, b) = (desk.path("a.txt"), desk.path("b.txt"));
    let missing = desk.path("missing.txt");
    let commands: &[&[&str]] = &[
        &["logs", "nothing"],
        &["logs", "01a20000-0000-7000-8000-000000000000"],
        &["logs", "a.txt@failed"],
        &["logs", "a.txt", "--attempt", "9"],
        &["diff", "b.txt"],
        &["diff", "--reparse", "99"],
        &["diff", "--reparse", "@latest"],
        &["diff", "--reparse", "some"],
        &["history", "nothing"],
        &["hold", "nothing"],
        &["url", "a.txt"],
        &["report", "a.txt", "--out", "x.pdf"],
        &["reparse"],
        &["reparse", "--all", "--program", "fra"],
        &["reparse", "--program", "fra"],
        &["reparse", "a.txt"],
        &["reparse", "a.txt", "--status", "good"],
        &["reparse", "status", "1"],
        &["cancel", "a.txt"],
        &["submit", &missing],
        &["submit", &empty],
        &["submit", &silent],
        &["submit", desk.home.path().to_str().expect("text")],
        &["submit", &a, &a],
        &["submit", "s3://bucket"],
        &["submit", "s3://bucket/key"],
        &["run", "--records", "out", &a, &b],
        &["worker", "--drain", "--spool-keep", "tail"],
    ];
    holds("errors", &all_printed(&desk, commands));
}
