//! The tables: what they take, what they refuse, and how runs are found.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod finding;
mod fitting;
mod states;
mod submitting;

use std::process::Command;

use chrono::Utc;
use parselog::ids::{DataFileId, RunId};
use parselog::queue::Ending;
use parselog::store::action::{self, ActionFilter};
use parselog::store::{
    self, Action, ArchivedLog, LogContent, LogState, NewFile, Request, RunFilter, RunStatus,
};
use sqlx::AssertSqlSafe;

use crate::support::{TestDb, new_file, outcome};

fn archived(uri: &str) -> ArchivedLog {
    ArchivedLog {
        uri: uri.to_owned(),
        content: LogContent {
            raw_bytes: 1000,
            lines: 12,
            events: [("INFO".to_owned(), 9), ("WARN".to_owned(), 1)].into(),
            dropped: 2,
            first_at: Utc::now(),
            last_at: Utc::now(),
        },
        gzip_bytes: 100,
        raw_sha256: [0xab; 32],
        gzip_sha256: [0x01; 32],
    }
}

async fn count(db: &TestDb, table: &str) -> i64 {
    let sql = AssertSqlSafe(format!("select count(*) from {table}"));
    sqlx::query_scalar(sql).fetch_one(&db.pool).await.unwrap()
}

/// Runs SQL that must be refused; returns what Postgres says.
async fn refused(db: &TestDb, sql: &str) -> String {
    match sqlx::query(AssertSqlSafe(sql)).execute(&db.pool).await {
        Err(error) => error.to_string(),
        Ok(_) => panic!("this was let through: {sql}"),
    }
}

#[tokio::test]
async fn the_row_follows_the_log_from_open_to_archived() {
    let db = TestDb::new().await;
    let run = db.submit(&["a.txt"]).await.remove(0).run_id;
    let sealed =
        LogContent { events: [("INFO".to_owned(), 9)].into(), ..archived("s3://b/k.log.gz").content };

    store::log::opened(&db.pool, run.into()).await.unwrap();
    assert_eq!(db.run(run).await.log_state, LogState::Open);
    store::log::sealed(&db.pool, run.into(), &sealed).await.unwrap();
    store::log::sealed(&db.pool, run.into(), &sealed).await.unwrap();
    assert_eq!(db.run(run).await.log_state, LogState::Sealed);

    assert!(
        store::log::archive_failed(&db.pool, run.into(), "refused").await.unwrap(),
        "the first failure falls back"
    );
    assert!(!store::log::archive_failed(&db.pool, run.into(), "refused").await.unwrap());
    assert!(!store::log::archive_failed(&db.pool, run.into(), "timed out").await.unwrap());
    let row = db.run(run).await;
    assert_eq!((row.log_state, row.archive_attempts), (LogState::Fallback, 3));
    assert_eq!(row.archive_error.as_deref(), Some("timed out"));
    let waiting = RunFilter { log_state: vec![LogState::Fallback], ..Default::default() };
    assert_eq!(store::find(&db.pool, &waiting).await.unwrap().len(), 1);

    store::log::archived(&db.pool, run.into(), &archived("s3://b/k.log.gz")).await.unwrap();
    store::log::archived(&db.pool, run.into(), &archived("s3://b/k.log.gz")).await.unwrap();
    // Late news of an earlier state change nothing.
    store::log::opened(&db.pool, run.into()).await.unwrap();
    store::log::sealed(&db.pool, run.into(), &sealed).await.unwrap();
    assert!(!store::log::archive_failed(&db.pool, run.into(), "late").await.unwrap());
    let row = db.run(run).await;
    assert_eq!((row.log_state, row.logs_uri.as_deref()), (LogState::Archived, Some("s3://b/k.log.gz")));
    assert_eq!((row.log_raw_bytes, row.log_gzip_bytes, row.log_lines), (Some(1000), Some(100), Some(12)));
    assert_eq!((row.archive_error.as_deref(), row.archive_attempts), (None, 3));
    assert_eq!(db.entries(run).await, ["submitted", "log-sealed", "fell-back", "archive-failed", "archived"]);

    let json = serde_json::to_value(&row).unwrap();
    assert_eq!(json["log_raw_sha256"], "ab".repeat(32));
    assert_eq!(json["log_events"]["WARN"], 1);
    assert_eq!(json["log_state"], "archived");
    assert!(json.get("lease_token").is_none());
}

#[tokio::test]
async fn a_log_that_was_lost_says_why_and_how_much() {
    let db = TestDb::new().await;
    let run = db.submit(&["a.txt"]).await.remove(0).run_id;
    store::log::lost(&db.pool, run.into(), "the spool is full", None).await.unwrap();
    assert_eq!(db.run(run).await.log_dropped, None, "nobody knows yet");
    for dropped in [Some(17), None] {
        store::log::lost(&db.pool, run.into(), "the spool is full", dropped).await.unwrap();
    }
    let row = db.run(run).await;
    assert_eq!((row.log_state, row.log_dropped), (LogState::Lost, Some(17)));
    assert_eq!(row.archive_error.as_deref(), Some("the spool is full"));
    assert_eq!(db.entries(run).await, ["submitted", "log-lost"]);

    // It was in the spool of another machine.
    store::log::archived(&db.pool, run.into(), &archived("s3://b/k.log.gz")).await.unwrap();
    let row = db.run(run).await;
    assert_eq!((row.log_state, row.logs_uri.as_deref()), (LogState::Archived, Some("s3://b/k.log.gz")));
    assert_eq!(row.archive_error, None);
}

#[tokio::test]
async fn a_run_that_is_erased_says_of_no_ending_why() {
    for ending in [
        Ending::Fail { reason: "Jane Doe".to_owned(), retry: false },
        Ending::Terminate { reason: "Jane Doe".to_owned() },
        Ending::Crash { reason: "Jane Doe".to_owned() },
    ] {
        let db = TestDb::new().await;
        db.submit(&["a.txt"]).await;
        let claimed = db.claim("w").await.unwrap();
        db.finish(&claimed, ending).await;
        let run = claimed.run.id;
        store::log::archived(&db.pool, run.into(), &archived("s3://b/k.log.gz")).await.unwrap();
        let uri = store::retention::let_go(&db.pool, run, "ann", "erased", None, true).await.unwrap();
        assert_eq!(uri.as_deref(), Some("s3://b/k.log.gz"));
        let filter = store::action::ActionFilter { run: Some(run), ..Default::default() };
        let actions = store::action::list(&db.pool, &filter).await.unwrap();
        let said = format!("{actions:?} {:?}", db.run(run).await);
        assert!(!said.contains("Jane") && said.contains("[erased]"), "{said}");
    }
}

#[tokio::test]
async fn noting_the_state_of_an_unknown_log_is_an_error() {
    let db = TestDb::new().await;
    let run = RunId::new();
    let error = store::log::archived(&db.pool, run.into(), &archived("s3://b/k")).await.unwrap_err();
    assert_eq!(error.to_string(), format!("log {run} is not in the database"));
    assert!(store::run::get(&db.pool, run).await.unwrap().is_none());
}
