//! The command line as a script sees it: stdout, exit codes, and one line for each error.

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::{Desk, TestDb, sample};

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Asserts an exit code and one line on stderr that contains `text`.
fn assert_refused(output: &Output, code: i32, text: &str) {
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert_eq!(stderr.trim_end().lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("parselog: ") && stderr.contains(text), "{stderr}");
}

async fn count(db: &TestDb, table: &'static str) -> i64 {
    let query = format!("select count(*) from {table}");
    sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_one(&db.pool).await.unwrap()
}

#[tokio::test]
async fn run_parses_archives_and_says_where_the_log_is() {
    let desk = Desk::new().await;
    let output = desk.output(&["run", "--json", &sample("tanf-active-2021-q1.txt")]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let row: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((row["program"].as_str(), row["section"].as_str()), (Some("tanf"), Some("active")));
    assert_eq!((row["status"].as_str(), row["log_state"].as_str()), (Some("success"), Some("archived")));
    assert!(row["logs_uri"].as_str().unwrap().starts_with("file:///"));

    let log = stdout(&desk.output(&["logs", "@latest", "--json"]));
    assert_eq!(log.lines().count() as i64, row["log_lines"].as_i64().unwrap());
    let id = row["id"].as_str().unwrap();
    for target in [id, &id[id.len() - 8..], "1", "tanf-active-2021-q1.txt", row["key"].as_str().unwrap()] {
        assert_eq!(stdout(&desk.output(&["logs", target, "--json"])), log, "{target}");
    }
    let tail = stdout(&desk.output(&["logs", "@latest", "--json", "--tail", "3"]));
    assert_eq!(
        tail.lines().collect::<Vec<_>>(),
        log.lines().rev().take(3).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>()
    );
    let warnings = stdout(&desk.output(&["logs", "@latest", "--json", "--level", "warn"]));
    let expected = log
        .lines()
        .filter(|line| line.contains("\"level\":\"WARN\"") || line.contains("\"level\":\"ERROR\""));
    assert_eq!(warnings.lines().collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    let listed: Value =
        serde_json::from_str(&stdout(&desk.output(&["runs", "--json", "--status", "success"]))).unwrap();
    assert_eq!(listed, row);
    assert!(stdout(&desk.output(&["runs", "--json", "--status", "crash"])).is_empty());
}

#[tokio::test]
async fn accepted_records_come_out_as_json_lines() {
    let desk = Desk::new().await;
    let out = desk.home.path().join("records.ndjson");
    let output = desk.output(&[
        "run",
        "--json",
        "--records",
        out.to_str().unwrap(),
        &sample("tanf-active-2021-q1-corrected.txt"),
    ]);
    let row: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let text = fs::read_to_string(out).unwrap();
    let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len() as i64, row["records_created"].as_i64().unwrap());
    assert!(records.iter().all(|record| record["record_type"].is_string()));
}

#[tokio::test]
async fn submit_queues_and_a_draining_worker_runs_it() {
    let desk = Desk::new().await;
    let output = desk.output(&["submit", "--json", &sample("tanf-active-2021-q1.txt")]);
    let queued: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_refused(&desk.output(&["logs", "@latest"]), 1, "it never started");
    let output = desk.output(&["worker", "--drain"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let row: Value = serde_json::from_str(&stdout(&desk.output(&["runs", "--json"]))).unwrap();
    assert_eq!((&row["id"], row["status"].as_str()), (&queued["run_id"], Some("success")));
}

#[tokio::test]
async fn cancel_takes_a_run_out_of_the_queue_and_says_when_there_is_nothing_to_do() {
    let desk = Desk::new().await;
    desk.output(&["submit", &sample("tanf-active-2021-q1.txt")]);
    assert!(stdout(&desk.output(&["cancel", "@latest"])).contains("removed from the queue"));
    assert!(stdout(&desk.output(&["cancel", "@latest"])).contains("already ended as inaction"));
    let listed: Value = serde_json::from_str(&stdout(&desk.output(&["runs", "--json"]))).unwrap();
    assert_eq!(
        (listed["status"].as_str(), listed["cancel_requested_by"].as_str()),
        (Some("inaction"), Some("ann"))
    );
}

#[tokio::test]
async fn bad_input_gets_one_clear_line_and_registers_nothing() {
    let desk = Desk::new().await;
    let empty = desk.file("empty.txt", "");
    let prose = desk.file("prose.txt", "Dear Sir or Madam,\n");
    let good = sample("tanf-active-2021-q1.txt");
    for command in ["run", "submit"] {
        assert_refused(&desk.output(&[command, "/no/such/file"]), 4, "file not found");
        assert_refused(&desk.output(&[command, &good, "/no/such/file"]), 4, "file not found");
        assert_refused(&desk.output(&[command, &empty]), 2, "it is empty");
        assert_refused(&desk.output(&[command, "/tmp"]), 2, "not a regular file");
        assert_refused(
            &desk.output(&[command, &prose]),
            2,
            "give --program, --section, --year and --quarter",
        );
    }
    assert_eq!((count(&desk.db, "data_file").await, count(&desk.db, "parse_meta").await), (0, 0));
    let unknown = "01890000-0000-7000-8000-000000000000";
    assert_refused(&desk.output(&["logs", unknown]), 4, "not found");
    assert_refused(&desk.output(&["logs", "nothing"]), 4, "names no run and no data file");
    assert_refused(&desk.output(&["logs", "@latest"]), 4, "no runs yet");
    assert_refused(&desk.output(&["cancel", unknown]), 4, "not found");
    assert_refused(&desk.output(&["run", "--parser", "cat 'open", &good]), 2, "");
}

#[tokio::test]
async fn what_can_not_be_is_refused_as_it_is_read() {
    let desk = Desk::new().await;
    let good = sample("tanf-active-2021-q1.txt");
    for (line, says) in [
        (&["run", &good, "--year", "26"][..], "all four digits"),
        (&["submit", &good, "--year", "26"], "all four digits"),
        (&["runs", "--year", "26"], "all four digits"),
        (&["reparse", "--year", "26", "--yes"], "all four digits"),
        (&["submit", &good, "--max-attempts", "0"], "1 or more"),
        (&["submit", &good, "--priority", "99999"], "-32768 to 32767"),
        (&["runs", "-n=-1"], "0 or more"),
        (&["worker", "--slots", "0"], "--slots"),
        (&["report", "@latest", "--out", "t9.pdf"], "expected .csv, .xlsx or .json"),
    ] {
        let output = desk.output(line);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{line:?}: {stderr}");
        assert!(stderr.contains(says), "{line:?}: {stderr}");
    }
    assert_eq!(count(&desk.db, "data_file").await, 0);
}

#[tokio::test]
async fn the_only_run_of_a_file_has_nothing_before_it_and_the_error_says_how_to_get_another() {
    let desk = Desk::new().await;
    desk.output(&["run", &sample("tanf-active-2021-q1.txt")]);
    assert_refused(&desk.output(&["diff", "1"]), 4, "parse it again with `parselog reparse 1`");
    assert_refused(&desk.output(&["logs", "1@previous"]), 4, "submit it again");
}

#[tokio::test]
async fn a_submission_that_is_rejected_has_an_exit_code_of_its_own() {
    let desk = Desk::new().await;
    let prose = desk.file("prose.txt", "Dear Sir or Madam,\n");
    let said = ["--program", "tanf", "--section", "active", "--year", "2021", "--quarter", "Q1"];
    let output = desk.output(&[&["run", "--json", &prose], &said[..]].concat());
    assert_eq!(output.status.code(), Some(3));
    let row: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((row["status"].as_str(), row["summary_status"].as_str()), (Some("success"), Some("Rejected")));
}

#[tokio::test]
async fn what_is_not_reachable_is_named_in_one_line() {
    let desk = Desk::new().await;
    let good = sample("tanf-active-2021-q1.txt");
    let with =
        |variable: &str, value: &str| desk.command(&["run", &good]).env(variable, value).output().unwrap();
    assert_refused(&with("DATABASE_URL", "postgres://127.0.0.1:1/none"), 1, "is it running?");
    assert_refused(&with("DATABASE_URL", "mysql://x"), 2, "the database URL is wrong");
    assert_refused(&with("PARSELOG_SPOOL", "/proc/nowhere"), 1, "spool folder");
    let empty = TestDb::empty().await;
    assert_refused(&with("DATABASE_URL", &empty.url()), 1, "run `parselog migrate`");
    assert_eq!(count(&desk.db, "data_file").await, 0);
}

#[tokio::test]
async fn a_bucket_a_key_or_a_version_that_is_not_there_is_named() {
    let desk = Desk::new().await;
    let bucket = crate::localstack::bucket().await;
    let submit = |object: &str| {
        let said = ["--program", "tanf", "--section", "active", "--year", "2021", "--quarter", "1"];
        let endpoint = crate::localstack::endpoint();
        let mut command = desk.command(&["submit", object]);
        command.env("PARSELOG_BUCKET", &bucket.name).env("AWS_ENDPOINT_URL_S3", endpoint);
        command.args(said).output().unwrap()
    };
    assert_refused(&submit("s3://no-such-bucket-here/key"), 4, "bucket not found");
    assert_refused(&submit(&format!("s3://{}/no/key", bucket.name)), 4, "object not found");
    assert_refused(&submit(&format!("s3://{}", bucket.name)), 2, "object key");
    let body = aws_sdk_s3::primitives::ByteStream::from_static(b"HEADER");
    bucket.sdk.put_object().bucket(&bucket.name).key("some/key").body(body).send().await.unwrap();
    let version = format!("s3://{}/some/key?versionId=00000000-0000-0000-0000-000000000000", bucket.name);
    assert_refused(&submit(&version), 4, "not found");
    assert_eq!(count(&desk.db, "data_file").await, 0);
    assert_eq!(submit(&format!("s3://{}/some/key", bucket.name)).status.code(), Some(0));
    assert_eq!(count(&desk.db, "data_file").await, 1);
}

#[tokio::test]
async fn a_reader_that_stops_early_is_no_error() {
    let desk = Desk::new().await;
    desk.output(&["run", &sample("tanf-active-2021-q1.txt")]);
    let script = format!("{} logs @latest --json | head -n 1", env!("CARGO_BIN_EXE_parselog"));
    let output = Command::new("bash")
        .args(["-o", "pipefail", "-c", &script])
        .env("PARSELOG_HOME", desk.home.path())
        .env("DATABASE_URL", desk.db.url())
        .output()
        .unwrap();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
