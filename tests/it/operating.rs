//! What an operator does with many runs: looks how the system stands, waits, cancels, tries again; and a worker that
//! takes only what it has a parser for.

use std::process::Stdio;
use std::time::{Duration, Instant};

use parselog::queue::{self, Claimant, Ending, Takes};
use parselog::store::worker::{Presence, beat};
use serde_json::Value;

use crate::support::{Desk, PATIENCE, Said, claimant, outcome, sample, sample_text};

/// Asks until there is an answer.
async fn until<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "it never came");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The status as JSON.
fn status(desk: &Desk) -> Value {
    desk.ok(&["status", "--json"]).json().remove(0)
}

/// A worker that says it is alive, for a minute.
async fn present(desk: &Desk, slots: usize, busy: usize, takes: &str) {
    let presence = Presence {
        id: uuid::Uuid::now_v7(),
        name: "present".to_owned(),
        beat: Duration::from_secs(20),
        slots,
        busy,
        takes: vec![takes.to_owned()],
        spool: None,
    };
    beat(&desk.db.pool, &presence).await.unwrap();
}

async fn failed(desk: &Desk) -> String {
    let claimed = desk.db.claim("w").await.unwrap();
    let ending = Ending::Fail { reason: "the parser exited with code 7".to_owned(), retry: false };
    desk.db.finish(&claimed, ending).await;
    claimed.run.id.to_string()
}

#[tokio::test]
async fn a_worker_claims_only_runs_that_it_has_a_parser_for() {
    let desk = Desk::new().await;
    desk.db.submit(&["one.txt", "two.txt"]).await;
    let terms = |program: &str, section: &str| {
        let takes = Takes::of([("fra".to_owned(), "*".to_owned()), (program.to_owned(), section.to_owned())]);
        Claimant { takes, ..claimant("w") }
    };
    for other in [("ssp", "active"), ("tanf", "closed"), ("*", "closed")] {
        assert!(queue::claim(&desk.db.pool, &terms(other.0, other.1)).await.unwrap().is_none(), "{other:?}");
    }
    for own in [("tanf", "active"), ("*", "active")] {
        assert!(queue::claim(&desk.db.pool, &terms(own.0, own.1)).await.unwrap().is_some(), "{own:?}");
    }
}

#[tokio::test]
async fn a_file_that_no_worker_has_a_parser_for_waits_and_the_wait_is_explained() {
    let desk = Desk::new().await;
    let file = desk.file("odd.txt", "x\n");
    let what = ["--program", "other", "--section", "all", "--year", "2024", "--quarter", "1"];
    desk.ok(&[&["submit", &file][..], &what].concat());
    let said = desk.ok(&["show", "odd.txt"]).out;
    assert!(said.contains("no worker has looked yet: start one with `parselog worker`"), "{said}");
    let drained = desk.ok(&["worker", "--drain"]).err;
    assert!(drained.contains("there is no parser for other/all here"), "{drained}");
    present(&desk, 2, 0, "tanf/*").await;
    let said = desk.ok(&["show", "odd.txt"]).out;
    assert!(said.contains("no live worker has a parser for other/all"), "{said}");
    let said = desk.ok(&["status"]).out;
    assert!(said.contains("no live worker has a parser for other/all: 1 run"), "{said}");
    present(&desk, 2, 2, "other/*").await;
    let said = desk.ok(&["show", "odd.txt"]).out;
    assert!(said.contains("all 2 slots of the live workers are busy"), "{said}");
    desk.ok(&["worker", "--drain", "--parser-for", "other/*=sh -c 'echo hello' {file}"]);
    assert_eq!(desk.ok(&["runs", "--json", "--status", "no-verdict"]).json().len(), 1);
}

#[tokio::test]
async fn the_status_names_queue_workers_runs_failures_and_kept_logs() {
    let desk = Desk::new().await;
    assert!(desk.ok(&["status"]).out.contains("no worker has looked within a day"));
    desk.db.submit(&["a.txt", "b.txt", "c.txt", "d.txt"]).await;
    failed(&desk).await;
    failed(&desk).await;
    desk.db.claim("present").await.unwrap();
    sqlx::query(
        "update parse_file_meta set lease_until = now() - interval '1 hour' where status = 'running'",
    )
    .execute(&desk.db.pool)
    .await
    .unwrap();
    present(&desk, 3, 1, "tanf/active").await;
    let said = status(&desk);
    assert_eq!(
        (&said["queue"][0]["due"], &said["queue"][0]["is_taken"]),
        (&Value::from(1), &Value::from(true))
    );
    assert_eq!(
        (&said["workers"][0]["slots"], &said["workers"][0]["busy"]),
        (&Value::from(3), &Value::from(1))
    );
    assert_eq!(said["running"][0]["worker"].as_str(), Some("present"));
    assert_eq!(said["stuck"][0]["lease_is_over"], Value::from(true));
    assert_eq!(said["ended"][0]["runs"], Value::from(2));
    assert_eq!(said["failing"][0]["failure"].as_str(), Some("the parser exited with code 7"));
    assert_eq!(said["spool"]["logs"], Value::from(0));
    let text = desk.ok(&["status"]).out;
    for part in [
        "queue      1 run due, the oldest for ",
        "workers    1 live, 1 of 3 slots busy",
        "running    1 run",
        "stuck      1 run: see `parselog doctor`",
        "last hour  2 fail",
        "fallback   0 logs wait",
        "spool      0 logs",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    sqlx::query("update worker set seen_at = now() - interval '100 s'").execute(&desk.db.pool).await.unwrap();
    assert!(desk.ok(&["status"]).out.contains("the last one looked 1 min 4"));
}

#[tokio::test]
async fn a_run_that_was_claimed_since_the_last_heartbeat_of_its_worker_takes_a_slot() {
    let desk = Desk::new().await;
    present(&desk, 2, 0, "tanf/active").await;
    desk.db.submit(&["a.txt"]).await;
    desk.db.claim("present").await.unwrap();
    assert!(desk.ok(&["status"]).out.contains("workers    1 live, 1 of 2 slots busy"));
}

#[tokio::test]
async fn a_worker_says_that_it_is_alive_until_it_stops() {
    let desk = Desk::new().await;
    let mut worker = desk.command(&["worker", "--name", "alive", "--slots", "3"]).spawn().unwrap();
    let workers = || status(&desk)["workers"].as_array().unwrap().clone();
    let said = until(|| workers().pop()).await;
    assert_eq!((said["name"].as_str(), said["slots"].as_i64()), (Some("alive"), Some(3)));
    assert!(said["takes"].as_array().unwrap().contains(&Value::from("tanf/active")), "{said}");
    std::process::Command::new("kill").arg(worker.id().to_string()).status().unwrap();
    assert!(worker.wait().unwrap().success());
    assert_eq!(workers(), [Value::Null; 0]);
}

#[tokio::test]
async fn a_second_interrupt_stops_a_worker_at_once_and_its_run_is_handed_back() {
    let desk = Desk::new().await;
    let file = desk.file("slow.txt", "x\n");
    let what = ["--program", "other", "--section", "all", "--year", "2024", "--quarter", "1"];
    desk.ok(&[&["submit", &file][..], &what].concat());
    let mut worker = desk
        .command(&["worker", "--shutdown-grace", "1h", "--parser-for", "other/*=sleep 3600"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let running = || desk.ok(&["runs", "--json", "--status", "running"]).json().pop();
    until(running).await;
    let interrupt = || {
        std::process::Command::new("kill").args(["-INT", &worker.id().to_string()]).status().unwrap();
    };
    interrupt();
    until(|| status(&desk)["workers"].as_array().unwrap().is_empty().then_some(())).await;
    assert!(running().is_some(), "the first one leaves the run its grace");
    interrupt();
    assert!(worker.wait().unwrap().success());
    assert_eq!(desk.ok(&["runs", "--json", "--status", "queued"]).json().len(), 1);
}

#[tokio::test]
async fn several_runs_are_cancelled_and_a_batch_is_listed_first() {
    let desk = Desk::new().await;
    let queued = desk.db.submit(&["a.txt", "b.txt", "c.txt", "d.txt"]).await;
    let (a, b) = (queued[0].run_id.to_string(), queued[1].run_id.to_string());
    assert_eq!(desk.ok(&["cancel", &a, &b]).out.matches("removed from the queue").count(), 2);
    let batch = desk.ok(&["show", &a, "--json"]).json()[0]["run"]["batch_id"].to_string();
    let asked = desk.run(&["cancel", "--batch", &batch]);
    assert_eq!((asked.code, asked.out.lines().count()), (2, 3), "{}{}", asked.out, asked.err);
    assert!(asked.err.contains("nothing was cancelled"), "{}", asked.err);
    assert_eq!(desk.ok(&["cancel", "--batch", &batch, "--dry-run"]).out.lines().count(), 3);
    assert_eq!(desk.ok(&["cancel", "--batch", &batch, "--yes"]).out.matches("removed from").count(), 2);
    let said = desk.run(&["cancel", "--batch", &batch, "--yes"]);
    assert_eq!(
        (said.code, said.err.contains("nothing of it is queued or running")),
        (4, true),
        "{}",
        said.err
    );
}

#[tokio::test]
async fn what_failed_is_tried_again_in_its_batch_and_only_once() {
    let desk = Desk::new().await;
    desk.db.submit(&["a.txt", "b.txt", "c.txt"]).await;
    let (one, two) = (failed(&desk).await, failed(&desk).await);
    let claimed = desk.db.claim("w").await.unwrap();
    desk.db.finish(&claimed, Ending::Success(outcome())).await;
    let batch = desk.ok(&["show", &one, "--json"]).json()[0]["run"]["batch_id"].clone();

    let listed = desk.ok(&["retry", "--failed", "--since", "1h", "--dry-run"]).out;
    assert!(listed.contains(&one) && listed.contains(&two), "{listed}");
    assert_eq!(desk.run(&["retry", "--failed"]).code, 2, "it asks first");
    let retried = desk.ok(&["retry", &one, "--json"]).json().remove(0);
    assert_eq!(retried["before"].as_str(), Some(one.as_str()));
    let next = desk.ok(&["show", retried["run"].as_str().unwrap(), "--json"]).json()[0]["run"].clone();
    assert_eq!(
        (&next["batch_id"], &next["attempt"], &next["max_attempts"], &next["status"]),
        (&batch, &Value::from(2), &Value::from(3), &Value::from("queued"))
    );
    let again = desk.run(&["retry", &one]);
    assert_eq!((again.code, again.err.contains("was tried again already")), (1, true), "{}", again.err);
    let succeeded = desk.run(&["retry", &claimed.run.id.to_string()]);
    assert!(succeeded.err.contains("nothing to retry: `parselog reparse"), "{}", succeeded.err);
    let rest = desk.ok(&["retry", "--batch", &batch.to_string(), "--yes"]).out;
    assert_eq!((rest.matches("queued again").count(), rest.contains(&two)), (1, true), "{rest}");
    let is_open: bool = sqlx::query_scalar("select finished_at is null from parse_meta")
        .fetch_one(&desk.db.pool)
        .await
        .unwrap();
    assert!(is_open);
}

#[tokio::test]
async fn a_wait_ends_with_the_exit_code_of_the_run_through_all_its_attempts() {
    let desk = Desk::new().await;
    let header = sample_text("tanf-active-2021-q1.txt").lines().next().unwrap().to_owned();
    let rejected = desk.file("rejected.txt", &(header + "\nT1\n"));
    let good = sample("tanf-active-2021-q1.txt");
    let why = desk.path("why");
    let waiting = desk
        .command(&["submit", "--wait", &rejected, &good])
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(&why).unwrap())
        .spawn()
        .unwrap();
    // It says why nothing happens before a worker makes that untrue.
    let says = || std::fs::read_to_string(&why).unwrap().contains("no worker has looked yet").then_some(());
    until(says).await;
    desk.ok(&["worker", "--drain"]);
    let said = Said::of(waiting.wait_with_output().unwrap());
    assert_eq!(said.code, 3, "{}{}", said.out, said.err);
    assert!(
        said.out.contains("rejected.txt  Rejected") && said.out.contains("Partially Accepted"),
        "{}",
        said.out
    );
    assert_eq!(desk.run(&["wait", "@latest", "@rejected"]).code, 3);
    assert_eq!(desk.ok(&["wait", "tanf-active-2021-q1.txt", "--json"]).json()[0]["status"], "success");

    desk.db.submit(&["later.txt"]).await;
    let first = failed(&desk).await;
    assert_eq!(desk.run(&["wait", &first]).code, 1);
    desk.ok(&["retry", &first]);
    let waits = desk.run(&["wait", &first, "--timeout", "1s"]);
    assert_eq!((waits.code, waits.err.contains("not over after 1s")), (1, true), "{}", waits.err);
    let second = desk.db.claim("w").await.unwrap();
    desk.db.finish(&second, Ending::Success(outcome())).await;
    assert_eq!(desk.run(&["wait", &first]).code, 0);
}

#[tokio::test]
async fn the_lines_of_a_run_come_to_stderr_while_it_goes_on() {
    let desk = Desk::new().await;
    let said = desk.ok(&["run", "--logs", "--json", &sample("tanf-active-2021-q1.txt")]);
    let lines = said.json()[0]["log_lines"].as_i64().unwrap();
    assert!(said.err.contains("item 12 FAMILY_TYPE is 7"), "{}", said.err);
    assert_eq!(said.err.lines().count() as i64, lines, "{}", said.err);
}
