//! Asking for a reparse, what it selects and refuses, and the diff of a whole one.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use chrono::{Duration, Utc};
use parselog::ids::{BatchId, DataFileId};
use parselog::queue::Ending;
use parselog::store::reparse::{self, FileSelection, ReparseRequest};
use parselog::store::{self, NewFile, PgPool};

use crate::support::{Desk, TestDb, new_file, outcome, request_by, sample_text};

fn all() -> FileSelection {
    FileSelection { all: true, ..FileSelection::default() }
}

fn request() -> ReparseRequest {
    ReparseRequest {
        requested_by: "bea".to_owned(),
        reason: Some("new rules".to_owned()),
        priority: 200,
        max_attempts: 3,
        deadline: Utc::now() + Duration::hours(1),
        force: false,
    }
}

async fn files_of(pool: &PgPool, batch: BatchId) -> Vec<i64> {
    sqlx::query_scalar("select data_file_id from parse_file_meta where batch_id = $1 order by id")
        .bind(batch)
        .fetch_all(pool)
        .await
        .unwrap()
}

async fn refusal(pool: &PgPool, selection: &FileSelection, request: &ReparseRequest) -> String {
    format!("{:#}", reparse::enqueue(pool, selection, request).await.unwrap_err())
}

#[tokio::test]
async fn a_reparse_is_one_batch_behind_the_submissions_with_one_audit_entry() {
    let db = TestDb::new().await;
    db.submit(&["a/1.txt", "a/2.txt"]).await;
    for _ in 0..2 {
        let claimed = db.claim("w").await.unwrap();
        db.finish(&claimed, Ending::Success(outcome())).await;
    }
    let (id, files) = reparse::enqueue(&db.pool, &all(), &request()).await.unwrap();
    assert_eq!((files, files_of(&db.pool, id).await), (2, vec![1, 2]));
    let batch = store::batch::get(&db.pool, id).await.unwrap().unwrap();
    assert_eq!((batch.requested_by.as_str(), batch.reason.as_deref()), ("bea", Some("new rules")));
    let entries: Vec<(String, String, String)> =
        sqlx::query_as("select actor, entry, detail from log_entry where batch_id = $1")
            .bind(id)
            .fetch_all(&db.pool)
            .await
            .unwrap();
    assert_eq!(
        entries,
        [("bea".into(), "reparse-queued".into(), "2 files: {\"all\": true}; new rules".into())]
    );

    let late = db.submit(&["a/3.txt"]).await;
    assert_eq!(db.claim("w").await.unwrap().run.id, late[0].run_id, "a submission goes first");
    let claimed = db.claim("w").await.unwrap();
    assert_eq!((claimed.run.reparse_id, claimed.run.data_file_id), (Some(id), DataFileId(1)));
}

#[tokio::test]
async fn a_reparse_takes_the_newest_version_of_each_object_unless_it_is_told_otherwise() {
    let db = TestDb::new().await;
    db.submit(&["a/1.txt"]).await;
    let corrected = NewFile { version_id: "v2".to_owned(), ..new_file("a/1.txt") };
    store::submit(&db.pool, &[corrected], &request_by("ann")).await.unwrap();
    let other = NewFile { fiscal_year: 2023, state: Some("WI".to_owned()), ..new_file("a/2.txt") };
    store::submit(&db.pool, &[other], &request_by("ann")).await.unwrap();

    let none = FileSelection::default();
    let cases = [
        (all(), vec![2, 3]),
        (FileSelection { every_version: true, ..all() }, vec![1, 2, 3]),
        (FileSelection { files: vec![DataFileId(1)], ..none.clone() }, vec![1]),
        (FileSelection { fiscal_year: Some(2023), ..none.clone() }, vec![3]),
        (FileSelection { state: Some("WI".to_owned()), ..none.clone() }, vec![3]),
        (FileSelection { since: Some(Utc::now() - Duration::hours(1)), ..none.clone() }, vec![2, 3]),
        (FileSelection { program: Some("tanf".to_owned()), ..none.clone() }, vec![2, 3]),
    ];
    for (selection, files) in cases {
        let forced = ReparseRequest { force: true, ..request() };
        let (id, _) = reparse::enqueue(&db.pool, &selection, &forced).await.unwrap();
        assert_eq!(files_of(&db.pool, id).await, files, "{selection:?}");
    }
    let nobody = FileSelection { program: Some("fra".to_owned()), ..none.clone() };
    assert!(refusal(&db.pool, &nobody, &request()).await.contains("no file fits"));
    assert!(refusal(&db.pool, &none, &request()).await.contains("selection is empty"));
    let every = FileSelection { every_version: true, ..none };
    assert!(refusal(&db.pool, &every, &request()).await.contains("selection is empty"));
}

#[tokio::test]
async fn files_are_selected_by_how_their_latest_ended_run_came_out() {
    let db = TestDb::new().await;
    db.submit(&["a/1.txt", "a/2.txt", "a/3.txt"]).await;
    let claimed = db.claim("w").await.unwrap();
    db.finish(&claimed, Ending::Success(outcome())).await;
    let claimed = db.claim("w").await.unwrap();
    db.finish(&claimed, Ending::Fail { reason: "broken".to_owned(), retry: false }).await;
    for (status, files) in [("fail", vec![2]), ("Accepted with Errors", vec![1])] {
        let selection = FileSelection { status: vec![status.to_owned()], ..FileSelection::default() };
        let (id, _) = reparse::enqueue(&db.pool, &selection, &request()).await.unwrap();
        assert_eq!(files_of(&db.pool, id).await, files, "{status}");
    }
}

#[tokio::test]
async fn a_second_reparse_of_the_same_files_is_refused_until_the_first_is_over_or_late() {
    let db = TestDb::new().await;
    db.submit(&["a/1.txt", "a/2.txt"]).await;
    for _ in 0..2 {
        let claimed = db.claim("w").await.unwrap();
        db.finish(&claimed, Ending::Success(outcome())).await;
    }
    let one = FileSelection { files: vec![DataFileId(1)], ..FileSelection::default() };
    let two = FileSelection { files: vec![DataFileId(2)], ..FileSelection::default() };
    let (first, _) = reparse::enqueue(&db.pool, &one, &request()).await.unwrap();
    reparse::enqueue(&db.pool, &two, &request()).await.expect("other files do not matter");
    let said = refusal(&db.pool, &one, &request()).await;
    assert!(said.contains(&format!("reparse {first} by bea has 1 of these files")), "{said}");

    let forced = ReparseRequest { force: true, ..request() };
    let (second, _) = reparse::enqueue(&db.pool, &one, &forced).await.unwrap();
    let detail: String = sqlx::query_scalar("select detail from log_entry where batch_id = $1")
        .bind(second)
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert!(detail.contains(&format!("forced: reparse {first}")), "{detail}");

    sqlx::query("update parse_meta set deadline = now() - interval '1 s'").execute(&db.pool).await.unwrap();
    let (third, _) = reparse::enqueue(&db.pool, &one, &request()).await.unwrap();
    for _ in 0..4 {
        let claimed = db.claim("w").await.unwrap();
        db.finish(&claimed, Ending::Success(outcome())).await;
    }
    let state = reparse::get(&db.pool, third).await.unwrap().unwrap();
    assert_eq!((state.files, state.succeeded, state.finished_at.is_some()), (1, 1, true));
    reparse::enqueue(&db.pool, &all(), &request()).await.expect("nothing is unfinished");
}

#[tokio::test]
async fn of_two_reparses_that_are_asked_for_at_once_only_one_is_queued() {
    let db = TestDb::new().await;
    db.submit(&["a/1.txt"]).await;
    let (selection, request) = (all(), request());
    let (one, other) = tokio::join!(
        reparse::enqueue(&db.pool, &selection, &request),
        reparse::enqueue(&db.pool, &selection, &request)
    );
    assert_eq!(u8::from(one.is_ok()) + u8::from(other.is_ok()), 1);
}

#[tokio::test]
async fn a_reparse_asks_first_and_without_a_terminal_it_wants_a_yes() {
    let desk = Desk::new().await;
    let file = desk.file("a.txt", &sample_text("tanf-active-2021-q1.txt"));
    desk.ok(&["run", &file]);
    let said = desk.run(&["reparse", "--all"]);
    assert_eq!(said.code, 2, "{}", said.err);
    assert!(said.err.contains("--yes"), "{}", said.err);
    assert!(desk.ok(&["reparse", "--all", "--dry-run"]).out.contains("1 file,"));
    assert_eq!(desk.run(&["reparse"]).code, 2, "no selection");
    assert_eq!(desk.run(&["reparse", "--all", "--year", "2021"]).code, 2, "all, and not all");
    assert_eq!(desk.run(&["reparse", "--program", "fra", "--yes"]).code, 4, "none fits");
    assert_eq!(desk.ok(&["reparses", "--json"]).out, "", "something was queued");
}

#[tokio::test]
async fn interrupting_the_wait_leaves_the_reparse_queued() {
    let desk = Desk::new().await;
    desk.db.submit(&["a/1.txt"]).await;
    let mut waiting =
        desk.command(&["reparse", "--all", "--yes", "--wait"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(waiting.stdout.take().unwrap()).lines();
    let queued = out.find(|line| line.as_ref().is_ok_and(|line| line.contains("queued")));
    assert!(queued.is_some(), "it queued nothing");
    assert!(Command::new("kill").args(["-INT", &waiting.id().to_string()]).status().unwrap().success());
    assert!(waiting.wait().unwrap().success(), "^C was no ordinary end");
    let state = reparse::get(&desk.db.pool, BatchId(2)).await.unwrap().unwrap();
    assert_eq!((state.queued, state.finished_at), (1, None));
}

#[tokio::test]
async fn a_reparse_shows_before_and_after_and_its_diff_names_the_files_that_changed_most_first() {
    let desk = Desk::new().await;
    let text = sample_text("tanf-active-2021-q1-corrected.txt");
    for name in ["a.txt", "b.txt"] {
        desk.ok(&["run", &desk.file(name, &text)]);
    }
    let broken = sample_text("tanf-active-2021-q1.txt");
    desk.ok(&["run", &desk.file("c.txt", &broken)]);

    desk.ok(&["reparse", "--all", "--yes", "--reason", "new rules"]);
    let said = desk.ok(&["reparse", "status", "4", "--json"]).json().remove(0);
    assert_eq!((said["files"].as_i64(), said["queued"].as_i64()), (Some(3), Some(3)));
    desk.ok(&["worker", "--drain"]);

    let said = desk.ok(&["reparse", "status", "4", "--json"]).json().remove(0);
    assert_eq!((said["succeeded"].as_i64(), said["requested_by"].as_str()), (Some(3), Some("ann")));
    assert_eq!(said["verdicts_before"], said["verdicts_after"]);
    assert_eq!(said["records_before"], said["records_after"]);
    assert_eq!(said["errors_after"]["2"], 2);
    assert!(said["finished_at"].is_string());
    let text = desk.ok(&["reparse", "status", "@latest", "--wait"]).out;
    assert!(text.contains("3 succeeded, 0 failed"), "{text}");
    assert!(desk.ok(&["reparses"]).out.contains("new rules"));

    let told = desk.ok(&["diff", "--reparse", "4", "--json", "--exit-code"]).json();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(
        (told[0]["unchanged"].as_i64(), told[0]["problems"]["unchanged"].as_i64()),
        (Some(3), Some(9))
    );
}

#[tokio::test]
async fn the_diff_of_a_reparse_counts_what_new_rules_found() {
    let desk = Desk::new().await;
    let parser = desk.file(
        "parser.py",
        "import json, os, sys\n\
         new = os.path.exists(os.path.join(os.path.dirname(os.path.abspath(sys.argv[0])), 'new-rules'))\n\
         name = open(sys.argv[1]).read().strip()\n\
         errors = {'one': 1, 'two': 0}[name] + (2 if new and name == 'two' else 0)\n\
         for number in range(errors):\n\
         \x20   print(json.dumps({'level': 'warning', 'message': f'problem {number}', 'record': number + 1,\n\
         \x20                     'category': 2}))\n\
         json.dump({'records_in_file': 2, 'records_created': 2}, open(os.environ['PARSELOG_RESULT'], 'w'))\n",
    );
    let rule = format!("tanf/*=python3 {parser} {{file}}");
    let what = ["--program", "tanf", "--section", "active", "--year", "2021", "--quarter", "1"];
    for name in ["one", "two"] {
        let file = desk.file(name, name);
        let arguments: Vec<&str> = ["run", &file, "--parser-for", &rule].into_iter().chain(what).collect();
        desk.ok(&arguments);
    }
    desk.file("new-rules", "");
    desk.ok(&["reparse", "--all", "--yes"]);
    desk.ok(&["worker", "--drain", "--parser-for", &rule]);
    let said = desk.run(&["diff", "--reparse", "3", "--json", "--exit-code"]);
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    let told = said.json();
    assert_eq!((told[0]["changed"].as_i64(), told[0]["unchanged"].as_i64()), (Some(1), Some(1)), "{told:?}");
    assert_eq!(told[1]["name"], "two");
    assert_eq!(told[1]["problems"]["appeared"], 2);
    assert_eq!(told[0]["verdicts"]["Accepted -> Accepted with Errors"], 1, "{told:?}");
    let text = desk.ok(&["diff", "--reparse", "@latest"]).out;
    assert!(text.contains("two   Accepted -> Accepted with Errors"), "{text}");
}
