//! The migrations, up and down, and what `connect` says when something is wrong.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod functions;

use parselog::queue::Ending;
use parselog::store::{self, MIGRATOR};

use crate::support::{TestDb, outcome};

async fn tables(db: &TestDb) -> Vec<String> {
    sqlx::query_scalar(
        "select table_name::text from information_schema.tables where table_schema = 'public' order by 1",
    )
    .fetch_all(&db.pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn migrations_go_up_down_and_up_again_with_rows_in_the_tables() {
    let db = TestDb::empty().await;
    assert_eq!(
        store::pending(&db.pool).await.unwrap(),
        ["1 runs", "2 queue", "3 reparse", "4 follow", "5 notice", "6 functions"]
    );
    let refusal = store::require_migrated(&db.pool).await.unwrap_err().to_string();
    assert!(refusal.contains("run `parselog migrate`"), "{refusal}");

    for _ in 0..2 {
        store::migrate(&db.pool).await.unwrap();
        store::require_migrated(&db.pool).await.unwrap();
        assert_eq!(
            tables(&db).await,
            [
                "_sqlx_migrations",
                "data_file",
                "log_entry",
                "log_follow",
                "log_piece",
                "notice",
                "notice_watch",
                "parse_file_meta",
                "parse_meta",
                "run_action"
            ]
        );

        db.submit(&["a/one.txt", "a/two.txt"]).await;
        let claimed = db.claim("w").await.unwrap();
        db.finish(&claimed, Ending::Success(outcome())).await;
        store::log::archive_failed(&db.pool, claimed.run.id, "refused").await.unwrap();

        MIGRATOR.undo(&db.pool, 0).await.unwrap();
        assert_eq!(tables(&db).await, ["_sqlx_migrations"]);
        let functions: i64 =
            sqlx::query_scalar("select count(*) from pg_proc where pronamespace = 'public'::regnamespace")
                .fetch_one(&db.pool)
                .await
                .unwrap();
        assert_eq!(functions, 0, "a down migration left functions behind");
    }
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
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
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
