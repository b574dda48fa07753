//! The migrations, up and down, and what `connect` says when something is wrong.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod functions;
mod large;
mod rows;

use parselog::store::{self, MIGRATOR};

use crate::support::{KeptPort, TestDb};

#[tokio::test]
async fn a_database_that_is_not_up_to_date_is_refused_with_what_to_do() {
    let db = TestDb::empty().await;
    let all: Vec<i64> = MIGRATOR.iter().map(|migration| migration.version).collect();
    for step in [0, 1, 5] {
        db.up_to(step).await;
        let pending = store::pending(&db.pool).await.unwrap();
        assert_eq!(pending.len(), all.iter().filter(|version| **version > step).count() / 2, "{pending:?}");
        let refusal = store::require_migrated(&db.pool).await.unwrap_err().to_string();
        assert!(refusal.contains("run `parselog migrate`"), "{refusal}");
    }
    assert!(store::pending(&db.pool).await.unwrap()[0] == "6 functions");
    store::migrate(&db.pool).await.unwrap();
    store::require_migrated(&db.pool).await.unwrap();
}

#[tokio::test]
async fn migrating_twice_at_once_is_harmless() {
    let db = TestDb::empty().await;
    let (one, two) = tokio::join!(store::migrate(&db.pool), store::migrate(&db.pool));
    one.unwrap();
    two.unwrap();
    store::require_migrated(&db.pool).await.unwrap();
}

#[tokio::test]
async fn a_database_whose_encoding_cannot_hold_every_text_is_refused() {
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let db = TestDb::encoded(encoding).await;
        let refusal = store::migrate(&db.pool).await.unwrap_err().to_string();
        assert!(refusal.contains(encoding) && refusal.contains("create database"), "{refusal}");
        assert!(!store::pending(&db.pool).await.unwrap().is_empty(), "a migration was applied all the same");
    }
}

#[tokio::test]
async fn a_migration_says_nothing_beside_its_result() {
    let db = TestDb::empty().await;
    for expected in ["applied  1 runs", "the database is up to date"] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_parselog"));
        let output =
            command.args(["migrate", "--global-level", "info"]).env("DATABASE_URL", db.url()).output();
        let output = output.unwrap();
        assert!(String::from_utf8_lossy(&output.stdout).starts_with(expected), "{output:?}");
        assert!(output.stderr.is_empty(), "{output:?}");
    }
}

#[tokio::test]
async fn a_database_of_a_newer_parselog_is_refused() {
    let db = TestDb::new().await;
    sqlx::query(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         values (9999, 'later', true, '', 0)",
    )
    .execute(&db.pool)
    .await
    .unwrap();
    let refusal = store::require_migrated(&db.pool).await.unwrap_err().to_string();
    assert!(refusal.contains("newer parselog"), "{refusal}");
}

#[tokio::test]
async fn a_connection_that_fails_is_explained_in_one_line_without_the_password() {
    let port = KeptPort::new();
    let closed = port.number();
    let db = TestDb::empty().await;
    let missing = db.url().replace("parselog_test_", "parselog_missing_");
    let cases = [
        ("mysql://root:hunter2@host/db".to_owned(), "URL is wrong"),
        ("not a url".to_owned(), "URL is wrong"),
        ("postgres://u:hunter2@host:notaport/db".to_owned(), "URL is wrong"),
        (format!("postgres://u:hunter2@127.0.0.1:{closed}/db"), "failed to reach Postgres at 127.0.0.1"),
        ("postgres:///db?host=/nonexistent/folder&user=u&password=hunter2".to_owned(), "failed to reach"),
        (missing, "does not exist"),
    ];
    for (url, expected) in cases {
        let error = format!("{:#}", store::connect(&url, "parselog-test").await.unwrap_err());
        assert!(error.contains(expected), "{url} gave: {error}");
        assert!(!error.contains("hunter2") && error.lines().count() == 1, "{url} gave: {error}");
    }
}
