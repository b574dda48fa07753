//! Storing: what is stored where, once, and until when.

use bytesize::ByteSize;
use parselog::config::IntakeConfig;
use parselog::intake::Refused;
use parselog::record::Level;

use super::{Place, at, blocking, incoming, until};
use crate::support::unheld;

fn messages(records: &[parselog::record::Record]) -> Vec<&str> {
    records.iter().map(|record| record.message.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_record_is_in_its_stream_at_once_and_archived_in_the_end() {
    let place = Place::new().await;
    let kept = place.kept(IntakeConfig::default());
    let streams = kept.streams.clone();
    let mut told = streams.subscribe();
    blocking(move || {
        for number in 0..3 {
            streams.store(&incoming("celery.worker", "ERROR", &format!("task {number}")), None).unwrap();
        }
        streams.store(&incoming("django.request", "INFO", "a request"), None).unwrap();
        streams.reject(Some("web"), b"\x80\x02bytes", "no record", None).unwrap();
    })
    .await;
    kept.streams.synced().await.unwrap();
    let mut stored: Vec<Vec<String>> = place
        .spooled("open")
        .iter()
        .map(|log| messages(log).iter().map(ToString::to_string).collect())
        .collect();
    stored.sort();
    assert_eq!(stored, [vec!["a request"], vec!["rejected: no record"], vec!["task 0", "task 1", "task 2"]]);
    let heard = told.recv().await.unwrap();
    let record = parselog::record::Record::decode(&heard.line).unwrap();
    assert_eq!((heard.stream.as_str(), record.seq, record.level), ("celery", 1, Level::Error));
    until(async || place.rows("celery").await.len() == 1).await;

    kept.end().await;
    for (stream, events) in [("celery", 3), ("django", 1), ("_rejected", 1)] {
        assert_eq!(place.rows(stream).await, [("archived".to_owned(), events, 0)], "{stream}");
    }
    let uris: Vec<String> =
        sqlx::query_scalar("select uri from log order by uri").fetch_all(&place.db.pool).await.unwrap();
    assert!(uris[1].contains("/service_logs/celery/20"), "{uris:?}");
    assert!(place.spooled("open").is_empty() && place.spooled("log").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_ends_at_its_size_and_the_next_one_goes_on() {
    let place = Place::new().await;
    let kept = place.kept(IntakeConfig { segment_size: ByteSize::kib(16), ..IntakeConfig::default() });
    let streams = kept.streams.clone();
    blocking(move || {
        for number in 0..300 {
            streams.store(&incoming("info", "INFO", &format!("{number} {}", "x".repeat(100))), None).unwrap();
        }
    })
    .await;
    kept.end().await;
    let rows = place.rows("info").await;
    assert!(rows.len() > 2, "{rows:?}");
    assert!(rows.iter().all(|(state, _, dropped)| state == "archived" && *dropped == 0), "{rows:?}");
    assert_eq!(rows.iter().map(|(_, events, _)| events).sum::<i64>(), 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_a_dead_process_had_stored_is_not_stored_again() {
    let place = Place::new().await;
    let dying = place.streams();
    blocking(move || {
        for end in 1..=5 {
            dying.store(&incoming("info", "INFO", &format!("{end}")), at(7, end * 100)).unwrap();
        }
        dying.store(&incoming("error", "INFO", "of another"), at(8, 50)).unwrap();
    })
    .await;
    unheld(&place.system.spool).await;

    let kept = place.kept(IntakeConfig::default());
    let streams = kept.streams.clone();
    let closed = blocking(move || {
        let inheritance = streams.inherit().unwrap();
        for end in 3..=7 {
            streams.store(&incoming("info", "INFO", &format!("{end}")), at(7, end * 100)).unwrap();
        }
        streams.store(&incoming("info", "INFO", "a connection of its own"), at(8, 50)).unwrap();
        streams.settled(7, 700);
        streams.finished(8);
        inheritance.close().unwrap()
    })
    .await;
    assert_eq!(closed, 2);
    let open = place.spooled("open");
    assert_eq!(
        open.iter().map(|log| messages(log)).collect::<Vec<_>>(),
        [vec!["6", "7", "a connection of its own"]]
    );
    kept.end().await;
    let rows = place.rows("info").await;
    assert_eq!(rows.iter().filter(|(state, ..)| state == "archived").map(|row| row.1).sum::<i64>() + 5, 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_stays_open_until_no_connection_brings_its_records_again() {
    let place = Place::new().await;
    let kept = place.kept(IntakeConfig { segment_size: ByteSize::b(1), ..IntakeConfig::default() });
    let streams = kept.streams.clone();
    blocking(move || {
        streams.store(&incoming("info", "INFO", "one"), at(1, 10)).unwrap();
        streams.store(&incoming("info", "INFO", "two"), at(1, 20)).unwrap();
        streams.store(&incoming("info", "INFO", "three"), at(1, 30)).unwrap();
    })
    .await;
    kept.streams.settled(1, 10);
    until(async || place.spooled("open").len() == 2).await;
    assert_eq!(place.spooled("open").concat().len(), 2, "the first alone is complete");
    kept.streams.finished(1);
    kept.end().await;
    assert_eq!(place.rows("info").await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_disk_that_is_nearly_full_errors_are_kept_and_the_rest_is_counted_in_the_stream() {
    let place = Place::new().await;
    let kept = place.kept(IntakeConfig { leave_free: ByteSize::eb(1), ..IntakeConfig::default() });
    let streams = kept.streams.clone();
    until(async || {
        let streams = streams.clone();
        let stored = blocking(move || streams.store(&incoming("info", "INFO", "refused"), None)).await;
        matches!(stored, Err(Refused::NearlyFull))
    })
    .await;
    blocking(move || {
        for number in 0..5 {
            let record = incoming("celery", "INFO", "not kept");
            assert!(matches!(streams.store(&record, at(1, number)), Err(Refused::NearlyFull)));
        }
        streams.store(&incoming("celery", "ERROR", "kept"), at(1, 6)).unwrap();
    })
    .await;
    let said = "5 records were dropped: the spool did not take them";
    until(async || place.spooled("open").iter().any(|log| messages(log).contains(&said))).await;
    kept.streams.finished(1);
    kept.end().await;
    let rows = place.rows("celery").await;
    let (kept, dropped) = rows.iter().fold((0, 0), |sum, row| (sum.0 + row.1, sum.1 + row.2));
    assert!(kept >= 2 && dropped == 5, "{rows:?}");
}
