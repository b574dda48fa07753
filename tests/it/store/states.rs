//! States that must not be: the database itself refuses them.

use super::*;

#[tokio::test]
async fn wrong_states_are_refused_by_the_database() {
    let db = TestDb::new().await;
    let run = db.submit(&["a.txt", "b.txt"]).await.remove(0).run_id;
    let claimed = db.claim("w").await.unwrap();
    assert_eq!(claimed.run.id, run);
    let update = |set: &str| format!("update parse_file_meta set {set} where id = '{run}'");
    let log = |set: &str| format!("update log set {set} where run_id = '{run}'");
    let sha = "decode(repeat('ab', 32), 'hex')";
    let cases = [
        (update("lease_until = null"), "leased_while_running"),
        (update("status = 'success', lease_until = null"), "finished_when_ended"),
        (update("status = 'success', lease_until = null, finished_at = now()"), "outcome_of_a_success"),
        (update("status = 'fail', lease_until = null, finished_at = now()"), "failure_has_a_reason"),
        (update("status = 'fail', finished_at = now(), failure = 'x'"), "leased_while_running"),
        (update("status = 'odd', lease_until = null, finished_at = now()"), "status_known"),
        (update("status = 'queued'"), "can not become queued"),
        (update("attempt = 2"), "can not change what it is about"),
        (update("data_file_id = 2"), "can not change what it is about"),
        (update("max_attempts = 0"), "attempt_within_limit"),
        (update("worker = null"), "claimed_as_a_whole"),
        (update("summary_status = 'Accepted'"), "outcome_of_a_success"),
        (update("cancel_requested_at = now()"), "cancel_has_a_name"),
        (update("logs_uri = 's3://b/k'"), "change it there"),
        (log("uri = 's3://b/k'"), "uri_when_archived"),
        (log("state = 'archived'"), "archive"),
        (log("state = 'archived', uri = 's3://b/k'"), "archive"),
        (log("state = 'fallback'"), "fallback_has_a_reason"),
        (log("state = 'odd'"), "log_state_known"),
        (log("raw_bytes = -1"), "log_counts_not_negative"),
        (log("events = '[]'"), "events_are_an_object"),
        (log("service = 'celery'"), "one_subject"),
        (log(&format!("raw_sha256 = {sha}")), "archive_is_described"),
        (
            log(&format!(
                "state = 'archived', uri = 's3://b/k', raw_bytes = 1, gzip_bytes = 1, lines = 1, events = '{{}}',
                 dropped = 0, raw_sha256 = {sha}, gzip_sha256 = 'short', archived_at = now()"
            )),
            "sha256_is_32_bytes",
        ),
        (format!("insert into log (run_id) values ('{run}')"), "run_gives_its_id"),
        ("insert into log (state) values ('none')".to_owned(), "one_subject"),
        (
            "update parse_file_meta set status = 'running', worker = 'x', lease_token = gen_random_uuid(),
             lease_until = now(), heartbeat_at = now() where status = 'queued'"
                .to_owned(),
            "claimed_as_a_whole",
        ),
        (
            "update parse_file_meta set status = 'crash', failure = 'x', finished_at = now()
             where status = 'queued'"
                .to_owned(),
            "can not become crash",
        ),
        (
            "insert into parse_file_meta (data_file_id, batch_id, kind, status) values (1, 1, 'submission', 'success')"
                .to_owned(),
            "begins as queued",
        ),
        (
            "insert into parse_file_meta (data_file_id, batch_id, kind, attempt) values (1, 1, 'reparse', 2)".to_owned(),
            "parse_file_meta_batch_id_kind_fkey",
        ),
        (
            "insert into parse_file_meta (data_file_id, batch_id, kind) values (1, 1, 'submission')".to_owned(),
            "one_row_per_attempt",
        ),
        ("insert into parse_meta (kind, requested_by) values ('reparse', 'x')".to_owned(), "parse_meta_check"),
        ("delete from data_file".to_owned(), "foreign key"),
        ("insert into run_action (task, action) values ('parse', 'odd')".to_owned(), "run_action_action_check"),
    ];
    for (sql, expected) in cases {
        let error = refused(&db, &sql).await;
        assert!(error.contains(expected), "expected '{expected}' of {sql}, got: {error}");
    }
    db.finish(&claimed, Ending::Terminate { reason: "past its deadline".to_owned() }).await;
    let error = refused(&db, &update("status = 'crash'")).await;
    assert!(error.contains("is terminate: it can not become crash"), "{error}");
}

#[tokio::test]
async fn a_second_run_of_a_file_that_is_running_is_refused_by_the_database() {
    let db = TestDb::new().await;
    db.submit(&["a.txt"]).await;
    db.submit(&["a.txt"]).await;
    db.claim("w").await.unwrap();
    let error = refused(
        &db,
        "update parse_file_meta set status = 'running', worker = 'x', lease_token = gen_random_uuid(),
         lease_until = now(), heartbeat_at = now(), started_at = now() where status = 'queued'",
    )
    .await;
    assert!(error.contains("one_running_per_file"), "{error}");
}

#[tokio::test]
async fn history_is_append_only_but_for_the_documented_setting() {
    let db = TestDb::new().await;
    db.submit(&["a.txt"]).await;
    db.claim("w").await.unwrap();
    for table in ["run_action", "log_entry"] {
        for sql in ["update X set detail = 'x'", "delete from X", "truncate X"] {
            let error = refused(&db, &sql.replace('X', table)).await;
            assert!(error.contains("append-only"), "{error}");
        }
        let mut transaction = db.pool.begin().await.unwrap();
        sqlx::query("set local parselog.rewrite_history = 'on'").execute(&mut *transaction).await.unwrap();
        let sql = AssertSqlSafe(format!("update {table} set detail = 'corrected'"));
        assert_eq!(sqlx::query(sql).execute(&mut *transaction).await.unwrap().rows_affected(), 1);
        let sql = AssertSqlSafe(format!("delete from {table}"));
        assert_eq!(sqlx::query(sql).execute(&mut *transaction).await.unwrap().rows_affected(), 1);
        transaction.commit().await.unwrap();
        assert_eq!(count(&db, table).await, 0);
    }
}
