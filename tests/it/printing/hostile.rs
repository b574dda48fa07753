//! Hostile values in every text column of every table, and in a log: what every command prints of them.

use std::fmt::Write as _;
use std::fs;

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use super::assert_every_command;
use crate::support::{Desk, Said, sample_text};

/// Escapes, a C1 control, an override of direction, and a line that is not ours.
const HOSTILE: &str = "\u{1b}[2J\u{7}\u{9b}31m\u{202e}\u{2066}\u{200f}\u{85}\u{2028}\r\nFORGED\t";

/// Columns of which some command prints the text.
const PRINTED: [&str; 14] = [
    "data_file.name",
    "data_file.key",
    "log.error",
    "log.service",
    "parse_file_meta.failure",
    "parse_file_meta.first_error",
    "parse_file_meta.logs_uri",
    "parse_file_meta.worker",
    "parse_file_meta.cancel_requested_by",
    "parse_meta.reason",
    "parse_meta.requested_by",
    "run_action.detail",
    "run_action.worker",
    "notice.last_error",
];

#[tokio::test]
async fn no_command_prints_a_control_character_or_a_line_that_comes_from_outside() {
    let desk = desk_with_something_of_everything().await;
    let columns = spoil(&desk).await;
    let run = one(&desk, "select id::text from run where log_state = 'archived' order by id limit 1");
    let fallback = one(&desk, "select id::text from run where log_state = 'fallback'");
    let (run, fallback) = (run.await, fallback.await);
    let said = desk.path("said.ndjson");
    let new = desk.file("new.txt", &sample_text("tanf-active-2021-q1.txt"));
    let lines: Vec<Vec<&str>> = vec![
        vec!["runs"],
        vec!["runs", "--json"],
        vec!["streams"],
        vec!["streams", "--json"],
        vec!["logs", "service:celery"],
        vec!["status"],
        vec!["status", "--json"],
        vec!["show", &run],
        vec!["show", &fallback],
        vec!["show", &run, "--json"],
        vec!["history", "1"],
        vec!["history", "1", "--json"],
        vec!["actions", "-n", "500"],
        vec!["actions", "-n", "500", "--json"],
        vec!["actions", "-n", "500", "--csv"],
        vec!["actions", "--counts"],
        vec!["token", "create", HOSTILE],
        vec!["token", "create", "web", "--by", HOSTILE, "--stream", HOSTILE],
        vec!["token", "list"],
        vec!["token", "list", "--json"],
        vec!["token", "revoke", HOSTILE],
        vec!["ui", "--site", HOSTILE],
        vec!["ui", "--site", "http://localhost:8005", "--by", HOSTILE],
        vec!["session", "list"],
        vec!["session", "list", "--json"],
        vec!["session", "revoke", "1", "--by", HOSTILE],
        // Not an address of this machine.
        vec!["collect", "--collect-listen", "192.0.2.1:0"],
        vec!["serve", "--listen", "192.0.2.1:0"],
        vec!["notices"],
        vec!["notices", "--json"],
        vec!["reparses"],
        vec!["problems", "--by", "kind,state"],
        vec!["problems", "--json"],
        vec!["reparses", "--json"],
        vec!["reparse", "status", "@latest"],
        vec!["reparse", "status", "@latest", "--json"],
        vec!["reparse", "--all", "--dry-run"],
        vec!["reparse", "--all", "--yes", "--force", "--reason", HOSTILE, "--json"],
        vec!["diff", "1"],
        vec!["diff", "1", "--json"],
        vec!["diff", "--reparse", "@latest"],
        vec!["diff", "--reparse", "@latest", "--json"],
        vec!["logs", &run],
        vec!["logs", &run, "--json"],
        vec!["logs", &run, "-o", "raw"],
        vec!["logs", HOSTILE],
        vec!["report", &run],
        vec!["report", &run, "--format", "json"],
        vec!["doctor", "--grace", "0s"],
        vec!["doctor", "--grace", "0s", "--json"],
        vec!["verify", "--all"],
        vec!["verify", "--all", "--json"],
        vec!["verify", &fallback],
        vec!["url", &run],
        vec!["hold", "1", "--reason", HOSTILE],
        vec!["hold", "1", "--release"],
        vec!["cancel", &run],
        vec!["cancel", "--batch", "1", "--dry-run"],
        vec!["retry", &run],
        vec!["retry", "--failed", "--dry-run"],
        vec!["wait", &run],
        vec!["prune", "--older-than", "0s", "--force", "--dry-run"],
        vec!["erase", &fallback, "--yes"],
        vec!["erase", &run, "--yes", "--reason", HOSTILE],
        vec!["prune", "--older-than", "0s", "--force", "--yes"],
        vec!["submit", &new, "--by", HOSTILE, "--reason", HOSTILE],
        vec!["submit", HOSTILE],
        vec!["run", &new, "--by", HOSTILE],
        vec!["run", &new, "--json", "--by", HOSTILE],
        vec!["worker", "--drain", "--name", HOSTILE],
        vec!["config", "show"],
        vec!["parser", "check", "cat {file}", &said],
        vec!["config", "show", "--json"],
        vec!["completion", "zsh"],
        vec!["migrate"],
        vec!["db", "status"],
        vec!["sample", "--size", "1k"],
        vec!["--bad\u{1b}[2J"],
    ];
    assert_every_command(&lines.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let mut printed = String::new();
    for line in &lines {
        let said = desk.run(line);
        assert_harmless(line, &said);
        let _ = writeln!(printed, "{}{}", said.out, said.err);
    }
    for column in PRINTED {
        assert!(columns.contains(&column.to_owned()), "{column} took no hostile value");
        assert!(printed.contains(&marker(column)), "{column} was never printed: {printed}");
    }
}

fn assert_harmless(line: &[&str], said: &Said) {
    for text in [&said.out, &said.err] {
        let unsafe_one = text.chars().find(|c| {
            (c.is_control() && *c != '\n')
                || matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        });
        assert_eq!(unsafe_one, None, "{line:?} printed it: {text}");
        let forged = text.lines().find(|line| line.trim_start().starts_with("FORGED"));
        assert_eq!(forged, None, "{line:?} lets a value begin a line: {text}");
    }
    if line.contains(&"--json") && said.code != 2 {
        for line in said.out.lines() {
            let read = serde_json::from_str::<Value>(line);
            assert!(read.is_ok(), "{line} is no JSON");
        }
    }
}

/// Archived, failed, cancelled and waiting runs, with a hostile log; a reparse, mails, a fallback.
async fn desk_with_something_of_everything() -> Desk {
    let desk = Desk::new().await;
    let text = sample_text("tanf-active-2021-q1.txt");
    let file = desk.file("a.txt", &text);
    let message = serde_json::to_string(HOSTILE).unwrap();
    let problem = format!(
        "{{\"level\":\"error\",\"record\":1,\"message\":{message},\"category\":2,\"item\":{message},\
         \"field\":{message},\"month\":{message},\"record_type\":{message},\"more\":{message}}}\n"
    );
    let said = desk.path("said.ndjson");
    fs::write(&said, problem + HOSTILE + "\n").unwrap();
    desk.run(&["run", &file, "--email", "ann@state.test"]);
    desk.run(&["run", &file, "--parser", &format!("sh -c 'cat {said}' {{file}}")]);
    desk.run(&["run", &file, "--parser", "sh -c 'exit 3' {file}"]);
    desk.ok(&["reparse", "a.txt", "--yes", "--reason", "why"]);
    desk.ok(&["worker", "--drain"]);
    desk.ok(&["submit", &desk.file("b.txt", &text)]);
    desk.ok(&["cancel", "@latest"]);
    desk.ok(&["submit", &desk.file("c.txt", &text)]);
    for statement in [
        "insert into notice (kind, address, run_id, state, last_error)
         select 'run-failed', 'ann@state.test', id, 'failed', 'no' from parse_file_meta limit 1",
        "update log set state = 'fallback', uri = null, gzip_bytes = null, raw_sha256 = null, gzip_sha256 = null,
                        archived_at = null, error = 'down'
         where id = (select id from log where state = 'archived' order by id desc limit 1)",
        "insert into log (service, state, first_at) values ('celery', 'open', now())",
    ] {
        sqlx::query(statement).execute(&desk.db.pool).await.unwrap();
    }
    desk
}

/// Puts a hostile value into every text column that takes one; returns which did.
async fn spoil(desk: &Desk) -> Vec<String> {
    let columns: Vec<(String, String)> = sqlx::query_as(
        "select table_name::text, column_name::text from information_schema.columns
         where table_schema = 'public' and data_type = 'text' and table_name <> '_sqlx_migrations'
           and column_name <> 'kind'
         order by 1, 2",
    )
    .fetch_all(&desk.db.pool)
    .await
    .unwrap();
    let mut connection = PgConnection::connect(&desk.db.url()).await.unwrap();
    // History is not rewritten otherwise.
    connection.execute("set session_replication_role = replica").await.unwrap();
    let mut taken = Vec::new();
    for (table, column) in columns {
        let name = format!("{table}.{column}");
        let value = format!("{column} || $1");
        let sql = format!("update {table} set {column} = {value} where {column} is not null");
        let bad = format!("{HOSTILE}{}", marker(&name));
        let done = sqlx::query(AssertSqlSafe(sql)).bind(bad).execute(&mut connection).await;
        if done.is_ok_and(|done| done.rows_affected() > 0) {
            taken.push(name);
        }
    }
    connection.close().await.unwrap();
    taken
}

/// What only a value of this column holds.
fn marker(column: &str) -> String {
    format!("<{column}>")
}

async fn one(desk: &Desk, query: &'static str) -> String {
    sqlx::query_scalar(query).fetch_one(&desk.db.pool).await.unwrap()
}
