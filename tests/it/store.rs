//! The tables: what they take, what they refuse, and how runs are found.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::process::Command;

use parselog::ids::{DataFileId, RunId};
use parselog::queue::Ending;
use parselog::store::action::{self, ActionFilter};
use parselog::store::{
    self, Action, ArchivedLog, LogState, NewFile, Request, RunFilter, RunStatus, SealedLog,
};
use sqlx::AssertSqlSafe;

use crate::support::{TestDb, new_file, outcome};

fn archived(uri: &str) -> ArchivedLog {
    ArchivedLog {
        uri: uri.to_owned(),
        raw_bytes: 1000,
        gzip_bytes: 100,
        lines: 12,
        events: [("INFO".to_owned(), 9), ("WARN".to_owned(), 1)].into(),
        dropped: 2,
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
async fn submitting_registers_the_file_the_batch_the_run_and_the_audit_entry() {
    let db = TestDb::new().await;
    let file = NewFile {
        state: Some("55".to_owned()),
        size_bytes: Some(4096),
        submitter_emails: vec!["ann@example.org".to_owned()],
        ..new_file("wi/2024Q1/active.txt")
    };
    let request = Request { reason: Some("quarterly".to_owned()), priority: 7, ..Request::by("ann") };
    let queued = store::submit(&db.pool, &[file], &request).await.unwrap();

    let run = db.run(queued[0].run_id).await;
    assert_eq!(run.status, RunStatus::Queued);
    assert_eq!((run.attempt, run.max_attempts, run.priority), (1, 3, 7));
    assert_eq!(
        (run.key.as_str(), run.version_id.as_str(), run.name.as_str()),
        ("wi/2024Q1/active.txt", "v1", "active.txt")
    );
    assert_eq!((run.requested_by.as_str(), run.reason.as_deref()), ("ann", Some("quarterly")));
    assert_eq!((run.reparse_id, run.log_state), (None, LogState::None));
    assert_eq!(run.id.0.get_version_num(), 7);
    assert_eq!(db.entries(run.id).await, ["submitted"]);
    let file = store::data_file::get(&db.pool, run.data_file_id).await.unwrap().unwrap();
    assert_eq!(file.submitter_emails, ["ann@example.org"]);
    let batch = store::batch::get(&db.pool, run.batch_id).await.unwrap().unwrap();
    assert_eq!((batch.requested_by.as_str(), batch.finished_at), ("ann", None));
}

#[tokio::test]
async fn the_same_version_again_is_the_same_file_and_a_new_run() {
    let db = TestDb::new().await;
    let first = db.submit(&["a.txt"]).await.remove(0);
    let second = db.submit(&["a.txt"]).await.remove(0);
    assert_eq!(first.data_file_id, second.data_file_id);
    assert_ne!(first.run_id, second.run_id);
    let newer = NewFile { version_id: "v2".to_owned(), ..new_file("a.txt") };
    let third = store::submit(&db.pool, &[newer], &Request::by("ann")).await.unwrap().remove(0);
    assert_ne!(third.data_file_id, first.data_file_id);
}

#[tokio::test]
async fn a_bad_submission_is_explained_and_registers_nothing() {
    let db = TestDb::new().await;
    db.submit(&["known.txt"]).await;
    let before =
        [count(&db, "data_file").await, count(&db, "parse_meta").await, count(&db, "log_entry").await];
    let good = new_file("good.txt");
    let cases = [
        (vec![], "no files"),
        (vec![good.clone(), good.clone()], "submissions/good.txt is named twice"),
        (
            vec![good.clone(), NewFile { section: "closed".to_owned(), ..new_file("known.txt") }],
            "submissions/known.txt is known as tanf active 2024 Q1 already",
        ),
        (vec![good.clone(), NewFile { program: "TANF".to_owned(), ..new_file("x.txt") }], "program"),
        (vec![good.clone(), NewFile { fiscal_quarter: 5, ..new_file("x.txt") }], "fiscal_quarter"),
        (vec![good.clone(), NewFile { fiscal_year: 24, ..new_file("x.txt") }], "fiscal_year"),
        (vec![good.clone(), NewFile { key: String::new(), ..new_file("x.txt") }], "key"),
    ];
    for (files, expected) in cases {
        let error = format!("{:#}", store::submit(&db.pool, &files, &Request::by("ann")).await.unwrap_err());
        assert!(
            error.contains(expected) && error.lines().count() == 1,
            "expected '{expected}', got: {error}"
        );
    }
    let after =
        [count(&db, "data_file").await, count(&db, "parse_meta").await, count(&db, "log_entry").await];
    assert_eq!(before, after);
}

#[tokio::test]
async fn many_files_are_queued_as_one_batch_in_their_order() {
    let db = TestDb::new().await;
    let files: Vec<_> =
        (0..2000).map(|number| new_file(&format!("{}.txt", (number * 7919) % 2000))).collect();
    let queued = store::submit(&db.pool, &files, &Request::by("ann")).await.unwrap();
    let keys: Vec<_> = queued.iter().map(|queued| queued.key.as_str()).collect();
    let given: Vec<_> = files.iter().map(|file| file.key.as_str()).collect();
    assert_eq!(keys, given);
    assert_eq!(count(&db, "parse_meta").await, 1);
    assert_eq!(db.claim("w").await.unwrap().run.key, given[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_same_files_submitted_at_once_in_other_orders_do_not_deadlock() {
    let db = TestDb::new().await;
    let files: Vec<_> = (0..300).map(|number| new_file(&format!("{number}.txt"))).collect();
    let mut reversed = files.clone();
    reversed.reverse();
    let request = Request::by("ann");
    for _ in 0..3 {
        let (one, two) = tokio::join!(
            store::submit(&db.pool, &files, &request),
            store::submit(&db.pool, &reversed, &request)
        );
        assert_eq!([one.unwrap().len(), two.unwrap().len()], [300, 300]);
    }
    assert_eq!([count(&db, "data_file").await, count(&db, "parse_file_meta").await], [300, 1800]);
}

fn psql(db: &TestDb, sql: &str) -> String {
    let output = Command::new("psql")
        .args(["--no-psqlrc", "-v", "ON_ERROR_STOP=1", "-qAt", &db.url(), "-c", sql])
        .output()
        .expect("psql must be installed (package postgresql-client)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn any_client_can_queue_inside_its_own_transaction() {
    let db = TestDb::new().await;
    let one = "enqueue_parse('submissions', 'a.txt', 'v1', 'a.txt', 'tanf', 'active', 2024, 1)";
    psql(&db, &format!("begin; create table theirs (run uuid); insert into theirs select {one}; rollback"));
    assert_eq!([count(&db, "data_file").await, count(&db, "parse_file_meta").await], [0, 0]);
    assert_eq!(count(&db, "log_entry").await, 0);

    psql(&db, &format!("begin; create table theirs (run uuid); insert into theirs select {one}; commit"));
    let run: RunId = psql(&db, "select run from theirs").parse().unwrap();
    assert_eq!(db.run(run).await.status, RunStatus::Queued);

    let named = psql(
        &db,
        "select enqueue_parse(bucket => 'submissions', key => 'b.txt', version_id => '', name => 'b.txt',
             program => 'ssp', section => 'closed', fiscal_year => 2024, fiscal_quarter => 2,
             submitted_by => 'backend', submitter_emails => array['b@example.org'], priority => 5)",
    );
    let run = db.run(named.parse().unwrap()).await;
    assert_eq!((run.priority, run.requested_by.as_str()), (5, "backend"));

    let many = psql(
        &db,
        r#"select run_id, key from enqueue_parse_many('[
             {"bucket": "s", "key": "c.txt", "name": "c", "program": "fra", "section": "work-outcomes",
              "fiscal_year": 2024, "fiscal_quarter": 2, "submitter_emails": ["c@example.org"]},
             {"bucket": "s", "key": "d.txt", "name": "d", "program": "fra", "section": "work-outcomes",
              "fiscal_year": 2024, "fiscal_quarter": 2}]', submitted_by => 'backend')"#,
    );
    let keys: Vec<_> = many.lines().map(|line| line.split('|').nth(1).unwrap()).collect();
    assert_eq!(keys, ["c.txt", "d.txt"]);
}

#[tokio::test]
async fn wrong_states_are_refused_by_the_database() {
    let db = TestDb::new().await;
    let run = db.submit(&["a.txt", "b.txt"]).await.remove(0).run_id;
    let claimed = db.claim("w").await.unwrap();
    assert_eq!(claimed.run.id, run);
    let update = |set: &str| format!("update parse_file_meta set {set} where id = '{run}'");
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
        (update("logs_uri = 's3://b/k'"), "uri_when_archived"),
        (update("log_state = 'archived'"), "archive"),
        (update("log_state = 'archived', logs_uri = 's3://b/k'"), "archive"),
        (update("log_state = 'fallback'"), "fallback_has_a_reason"),
        (update("log_state = 'odd'"), "log_state_known"),
        (update("log_raw_bytes = -1"), "counts_not_negative"),
        (update("log_events = '[]'"), "counts_are_objects"),
        (update(&format!("log_raw_sha256 = {sha}")), "archive_is_described"),
        (
            update(&format!(
                "log_state = 'archived', logs_uri = 's3://b/k', log_raw_bytes = 1, log_gzip_bytes = 1, log_lines = 1,
                 log_events = '{{}}', log_dropped = 0, log_raw_sha256 = {sha}, log_gzip_sha256 = 'short',
                 log_archived_at = now()"
            )),
            "sha256_is_32_bytes",
        ),
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
    db.finish(&claimed, Ending::Inaction { reason: "nothing to do".to_owned() }).await;
    let error = refused(&db, &update("status = 'crash'")).await;
    assert!(error.contains("is inaction: it can not become crash"), "{error}");
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

#[tokio::test]
async fn the_row_follows_the_log_from_open_to_archived() {
    let db = TestDb::new().await;
    let run = db.submit(&["a.txt"]).await.remove(0).run_id;
    let sealed =
        SealedLog { raw_bytes: 1000, lines: 12, events: [("INFO".to_owned(), 9)].into(), dropped: 2 };

    store::log::log_opened(&db.pool, run).await.unwrap();
    assert_eq!(db.run(run).await.log_state, LogState::Open);
    store::log::log_sealed(&db.pool, run, &sealed).await.unwrap();
    store::log::log_sealed(&db.pool, run, &sealed).await.unwrap();
    assert_eq!(db.run(run).await.log_state, LogState::Sealed);

    assert!(
        store::log::archive_failed(&db.pool, run, "refused").await.unwrap(),
        "the first failure falls back"
    );
    assert!(!store::log::archive_failed(&db.pool, run, "refused").await.unwrap());
    assert!(!store::log::archive_failed(&db.pool, run, "timed out").await.unwrap());
    let row = db.run(run).await;
    assert_eq!((row.log_state, row.archive_attempts), (LogState::Fallback, 3));
    assert_eq!(row.archive_error.as_deref(), Some("timed out"));
    let waiting = RunFilter { log_state: vec![LogState::Fallback], ..Default::default() };
    assert_eq!(store::find(&db.pool, &waiting).await.unwrap().len(), 1);

    store::log::log_archived(&db.pool, run, &archived("s3://b/k.log.gz")).await.unwrap();
    store::log::log_archived(&db.pool, run, &archived("s3://b/k.log.gz")).await.unwrap();
    // Late news of an earlier state change nothing.
    store::log::log_opened(&db.pool, run).await.unwrap();
    store::log::log_sealed(&db.pool, run, &sealed).await.unwrap();
    assert!(!store::log::archive_failed(&db.pool, run, "late").await.unwrap());
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
    store::log::log_lost(&db.pool, run, "the spool is full", None).await.unwrap();
    assert_eq!(db.run(run).await.log_dropped, None, "nobody knows yet");
    for dropped in [Some(17), None] {
        store::log::log_lost(&db.pool, run, "the spool is full", dropped).await.unwrap();
    }
    let row = db.run(run).await;
    assert_eq!((row.log_state, row.log_dropped), (LogState::Lost, Some(17)));
    assert_eq!(row.archive_error.as_deref(), Some("the spool is full"));
    assert_eq!(db.entries(run).await, ["submitted", "log-lost"]);
}

#[tokio::test]
async fn noting_the_log_of_an_unknown_run_is_an_error() {
    let db = TestDb::new().await;
    let run = RunId::new();
    let error = store::log::log_archived(&db.pool, run, &archived("s3://b/k")).await.unwrap_err();
    assert_eq!(error.to_string(), format!("run {run} is not in the database"));
    assert!(store::run::get(&db.pool, run).await.unwrap().is_none());
}

#[tokio::test]
async fn runs_are_found_by_what_they_are_about() {
    let db = TestDb::new().await;
    let closed = NewFile { section: "closed".to_owned(), fiscal_quarter: 2, ..new_file("b.txt") };
    let first = db.submit(&["a.txt"]).await.remove(0);
    let second = store::submit(&db.pool, &[closed], &Request::by("bob")).await.unwrap().remove(0);
    let third = db.submit(&["a.txt"]).await.remove(0);
    let claimed = db.claim("w").await.unwrap();
    db.finish(&claimed, Ending::Success(outcome())).await;

    let find = async |filter: RunFilter| -> Vec<RunId> {
        store::find(&db.pool, &filter).await.unwrap().into_iter().map(|run| run.id).collect()
    };
    assert_eq!(find(RunFilter::default()).await, [third.run_id, second.run_id, first.run_id]);
    assert_eq!(find(RunFilter { limit: Some(2), ..Default::default() }).await, [third.run_id, second.run_id]);
    let of_file = RunFilter { data_file: Some(first.data_file_id), ..Default::default() };
    assert_eq!(find(of_file.clone()).await, [third.run_id, first.run_id]);
    let previous = RunFilter { before: Some(third.run_id), ..of_file.clone() };
    assert_eq!(store::latest(&db.pool, &previous).await.unwrap().unwrap().id, first.run_id);
    assert_eq!(
        find(RunFilter { section: Some("closed".to_owned()), ..Default::default() }).await,
        [second.run_id]
    );
    let period = RunFilter {
        program: Some("tanf".to_owned()),
        fiscal_year: Some(2024),
        fiscal_quarter: Some(2),
        since: Some(db.run(first.run_id).await.queued_at),
        ..Default::default()
    };
    assert_eq!(find(period).await, [second.run_id]);
    let ended = RunFilter { status: vec![RunStatus::Success, RunStatus::Fail], ..Default::default() };
    assert_eq!(find(ended).await, [first.run_id]);
    let batch = RunFilter { batch: Some(db.run(second.run_id).await.batch_id), ..Default::default() };
    assert_eq!(find(batch).await, [second.run_id]);

    let ids = async |text: &str| -> Vec<DataFileId> {
        store::data_file::matching(&db.pool, text).await.unwrap().into_iter().map(|file| file.id).collect()
    };
    for text in ["b.txt", "submissions/b.txt", "s3://submissions/b.txt", &second.data_file_id.to_string()] {
        assert_eq!(ids(text).await, [second.data_file_id], "{text}");
    }
    assert!(ids("other/b.txt").await.is_empty());
}

#[tokio::test]
async fn a_run_is_found_by_the_beginning_or_the_end_of_its_id() {
    let db = TestDb::new().await;
    let run = db.submit(&["a.txt"]).await.remove(0).run_id;
    db.submit(&["b.txt"]).await;
    let id = run.to_string();
    let bare = id.replace('-', "");
    let matching = async |piece: &str| store::matching(&db.pool, piece).await.unwrap();
    for length in 8..=32 {
        assert_eq!(matching(&bare[32 - length..]).await, [run], "the last {length} digits");
    }
    for length in 20..=36 {
        assert_eq!(matching(&id[..length]).await, [run], "the first {length} characters");
    }
    assert_eq!(matching(&id[18..].to_uppercase()).await, [run]);
    assert_eq!(matching(&bare[..6]).await.len(), 2, "both runs are of this moment");
    for piece in ["", "abc", "xyzz", "%", "a.txt", &bare.repeat(2)] {
        assert!(matching(piece).await.is_empty(), "{piece}");
    }
}

#[tokio::test]
async fn actions_are_listed_counted_and_filtered() {
    let db = TestDb::new().await;
    db.submit(&["a.txt", "b.txt"]).await;
    let first = db.claim("w1").await.unwrap();
    db.finish(&first, Ending::Success(outcome())).await;
    let second = db.claim("w2").await.unwrap();
    db.finish(&second, Ending::Fail { reason: "no such object".to_owned(), retry: false }).await;
    action::record(&db.pool, Some(first.run.id), "archive", Action::Success, Some("w1"), None).await.unwrap();

    assert_eq!(db.actions(second.run.id).await, ["run", "fail"]);
    let failed = ActionFilter { action: Some(Action::Fail), ..Default::default() };
    let rows = action::list(&db.pool, &failed).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].task.as_str(), rows[0].worker.as_deref()), ("parse", Some("w2")));
    assert_eq!(rows[0].detail.as_deref(), Some("no such object"));

    let counts = action::counts(&db.pool, &ActionFilter::default()).await.unwrap();
    let counts: Vec<_> = counts.iter().map(|row| (row.task.as_str(), row.action, row.count)).collect();
    assert_eq!(
        counts,
        [
            ("archive", Action::Success, 1),
            ("parse", Action::Fail, 1),
            ("parse", Action::Run, 2),
            ("parse", Action::Success, 1),
        ]
    );
    let none = ActionFilter { until: Some(rows[0].at), since: Some(rows[0].at), ..Default::default() };
    assert!(action::list(&db.pool, &none).await.unwrap().is_empty());
    let archives = ActionFilter { task: Some("archive".to_owned()), limit: Some(5), ..Default::default() };
    assert_eq!(action::list(&db.pool, &archives).await.unwrap().len(), 1);
}

#[test]
fn codes_read_back_what_they_write_and_name_the_choices() {
    for status in RunStatus::ALL {
        assert_eq!(status.as_str().parse::<RunStatus>().unwrap(), *status);
    }
    let error = "done".parse::<RunStatus>().unwrap_err();
    assert!(error.starts_with("'done' is no run status; expected one of queued, running"), "{error}");
}
