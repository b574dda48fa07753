//! Whatever a parser, a person or a store says gets onto the rows: made to fit, or the run ends.

use std::collections::BTreeMap;

use parselog::parser::{Category, FirstError, Outcome, SummaryStatus};
use parselog::queue::{self, Ending, Finished};
use parselog::store::{self, ArchivedLog, LogContent, NewFile, Request, RunStatus};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::archived;
use crate::support::{TestDb, new_file, outcome, request_by};

/// Texts of all kinds, with what Postgres refuses in many of them, and some too long for an index.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[\\x00a\\\\u{}é\u{202e}\u{fffe}\"']{1,20}",
        any::<String>().prop_map(|text| format!("x{text}")),
        (prop::char::any(), 1..20_000_usize).prop_map(|(one, times)| String::from(one).repeat(times)),
        prop::collection::vec(any::<u64>(), 500).prop_map(|noise| format!("{noise:x?}")),
    ]
}

fn any_count() -> impl Strategy<Value = u64> {
    prop_oneof![any::<u64>(), 0..10_u64, Just(u64::MAX), Just(i64::MAX as u64), Just(i64::MAX as u64 + 1)]
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    let by_type = prop::collection::btree_map(any_text(), any_count(), 0..4);
    let by_category =
        || prop::collection::btree_map(prop::sample::select(&Category::ALL[..]), any_count(), 0..4);
    let by_month = prop::collection::btree_map(any_text(), by_category(), 0..3);
    let first = prop::option::of((prop::option::of(any_count()), any_text()));
    let counts = (any_count(), any_count());
    (counts, by_type, by_category(), by_month, first).prop_map(
        |(counts, by_type, errors, by_month, first)| Outcome {
            summary: SummaryStatus::AcceptedWithErrors,
            records_in_file: counts.0,
            records_created: counts.1,
            created_by_type: by_type,
            errors,
            errors_by_month: by_month,
            first_error: first.map(|(record, message)| FirstError { record, message }),
            ..*outcome()
        },
    )
}

#[test]
fn any_texts_and_numbers_get_from_a_submission_to_an_archived_row() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let db = runtime.block_on(TestDb::new());
    let texts = [(); 6].map(|()| any_text());
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 96, failure_persistence: None, ..Default::default() });
    let events = prop::collection::btree_map(any_text(), any_count(), 0..3);
    let numbers = [(); 4].map(|()| any_count());
    let ran = runner.run(&(texts, any_outcome(), events, numbers), |(texts, outcome, events, numbers)| {
        runtime.block_on(through_all_statements(&db, texts, outcome, events, numbers));
        Ok(())
    });
    runtime.block_on(async {
        ran.unwrap();
        // The rows can be read and added up again.
        let runs = store::find(&db.pool, &store::RunFilter::default()).await.unwrap();
        assert!(!runs.is_empty());
    });
}

async fn through_all_statements(
    db: &TestDb,
    texts: [String; 6],
    outcome: Outcome,
    events: BTreeMap<String, u64>,
    numbers: [u64; 4],
) {
    let [name, by, why, failure, actor, detail] = &texts;
    let file = NewFile { name: name.clone(), ..new_file("any.txt") };
    let request = Request { reason: Some(why.clone()), ..request_by(by) };
    store::submit(&db.pool, &[file], &request).await.unwrap();
    let claimed = db.claim(actor).await.expect("a run");
    let run = claimed.run.id;
    let [raw_bytes, lines, dropped, gzip_bytes] = numbers;

    store::log::lost(&db.pool, run.into(), failure, Some(dropped)).await.unwrap();
    store::log::archive_failed(&db.pool, run.into(), failure).await.unwrap();
    store::entry::about_run(&db.pool, run, Some(actor), "tried", Some(detail)).await.unwrap();
    let ending = match lines % 3 {
        0 => Ending::Fail { reason: failure.clone(), retry: false },
        1 => Ending::Terminate { reason: failure.clone() },
        _ => Ending::Success(Box::new(outcome)),
    };
    db.finish(&claimed, ending).await;
    let archived = archived("s3://b/any.log.gz");
    let content = LogContent { raw_bytes, lines, events, dropped, ..archived.content };
    store::log::sealed(&db.pool, run.into(), &content).await.unwrap();
    let log = ArchivedLog { content, gzip_bytes, ..archived };
    store::log::archived(&db.pool, run.into(), &log).await.unwrap();
    let row = db.run(run).await;
    assert!(row.status.is_final() && row.logs_uri.is_some(), "{row:?}");
}

#[tokio::test]
async fn what_a_row_can_not_hold_stands_on_it_as_an_escape() {
    let db = TestDb::new().await;
    db.submit(&["a.txt"]).await;
    let claimed = db.claim("w").await.unwrap();
    let mut ending = *outcome();
    ending.created_by_type = [("T1\0".to_owned(), 1)].into();
    ending.first_error = Some(FirstError { record: Some(u64::MAX), message: "a NUL: a\0b".to_owned() });
    db.finish(&claimed, Ending::Success(Box::new(ending))).await;
    let row = db.run(claimed.run.id).await;
    assert_eq!(row.first_error.as_deref(), Some("a NUL: a\\u{0}b"));
    assert_eq!(row.first_error_record, None, "no record has this number");
    assert_eq!(row.created_by_type.unwrap().0, [("T1\\u{0}".to_owned(), 1)].into());
}

#[tokio::test]
async fn an_ending_that_the_database_refuses_ends_the_run_at_once_as_failed() {
    let db = TestDb::new().await;
    sqlx::query("alter table parse_file_meta add constraint refuses_all check (records_created < 4)")
        .execute(&db.pool)
        .await
        .unwrap();
    db.submit(&["a.txt"]).await;
    let claimed = db.claim("w").await.unwrap();
    let ending = Ending::Success(outcome());
    let finished = queue::finish(&db.pool, claimed.run.id, claimed.lease_token, &ending).await.unwrap();
    assert_eq!(finished, Finished::Refused);
    let row = db.run(claimed.run.id).await;
    assert_eq!(row.status, RunStatus::Fail);
    assert_eq!(row.failure.as_deref(), Some("the database refused what the run came to (SQLSTATE 23514)"));
    assert!(db.claim("w").await.is_none(), "there is no other attempt: it would end alike");
}

#[tokio::test]
async fn a_name_that_no_row_can_hold_is_refused_before_the_database_is_asked() {
    let db = TestDb::new().await;
    let file = NewFile { key: "a\0b".to_owned(), ..new_file("a.txt") };
    let error = store::submit(&db.pool, &[file], &request_by("ann")).await.unwrap_err();
    assert!(format!("{error:#}").contains("holds a NUL"), "{error:#}");
    assert_eq!(store::refusal(&error), None);
}

#[tokio::test]
async fn a_server_that_is_gone_is_told_from_a_value_that_is_wrong() {
    let db = TestDb::new().await;
    let file = NewFile { program: "NO CODE".to_owned(), ..new_file("a.txt") };
    let error = store::submit(&db.pool, &[file], &request_by("ann")).await.unwrap_err();
    assert_eq!(store::refusal(&error).as_deref(), Some("23514"), "{error:#}");
    db.pool.close().await;
    let error = store::submit(&db.pool, &[new_file("a.txt")], &request_by("ann")).await.unwrap_err();
    assert_eq!(store::refusal(&error), None, "{error:#}");
}
