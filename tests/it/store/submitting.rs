//! Submitting: what is registered, and what is refused.

use super::*;
use crate::support::request_by;

#[tokio::test]
async fn submitting_registers_the_file_the_batch_the_run_and_the_audit_entry() {
    let db = TestDb::new().await;
    let file = NewFile {
        state: Some("55".to_owned()),
        size_bytes: Some(4096),
        submitter_emails: vec!["ann@example.org".to_owned()],
        ..new_file("wi/2024Q1/active.txt")
    };
    let request = Request { reason: Some("quarterly".to_owned()), priority: 7, ..request_by("ann") };
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
    let third = store::submit(&db.pool, &[newer], &request_by("ann")).await.unwrap().remove(0);
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
        let error = format!("{:#}", store::submit(&db.pool, &files, &request_by("ann")).await.unwrap_err());
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
    let queued = store::submit(&db.pool, &files, &request_by("ann")).await.unwrap();
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
    let request = request_by("ann");
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
