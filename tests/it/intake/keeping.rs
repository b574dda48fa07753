//! Who closes the segments of dead processes, and how long segments are kept.

use std::time::Duration;

use chrono::Utc;
use parselog::archive::Archiver;
use parselog::config::IntakeConfig;
use parselog::desk::retention;
use parselog::doctor::Doctor;
use parselog::ids::ServiceName;
use parselog::recovery::Recovery;
use parselog::spool::CollectorLock;

use super::{Place, at, blocking, incoming, until};
use crate::support::unheld;

async fn abandon(place: &Place) {
    let dying = place.streams();
    blocking(move || dying.store(&incoming("info", "INFO", "one"), at(1, 10)).unwrap()).await;
    unheld(&place.system.spool).await;
}

/// The lock of a collector. Whom another test starts may have the last one for a moment longer.
async fn lock_collector(place: &Place) -> CollectorLock {
    let (mut lock, spool) = (None, &place.system.spool);
    until(async || {
        let spool = spool.clone();
        lock = blocking(move || spool.lock_collector().unwrap()).await;
        lock.is_some()
    })
    .await;
    lock.expect("the wait has ended")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_of_a_dead_process_is_left_to_a_collector_as_long_as_there_is_one() {
    let place = Place::new().await;
    let recovery = Recovery::new(place.system.clone(), Archiver::new(place.system.clone()));
    abandon(&place).await;
    let lock = lock_collector(&place).await;
    let spool = place.system.spool.clone();
    assert!(blocking(move || spool.lock_collector().unwrap().is_none()).await, "two collectors");
    assert_eq!(recovery.recover().await.unwrap(), 0, "a collector lives");

    let connection = place.system.spool.connections().join("1");
    std::fs::write(&connection, b"").unwrap();
    drop(lock);
    assert_eq!(recovery.recover().await.unwrap(), 0, "a connection is not decoded");
    std::fs::remove_file(connection).unwrap();
    until(async || recovery.recover().await.unwrap() == 1).await;

    abandon(&place).await;
    let lock = lock_collector(&place).await;
    assert_eq!(recovery.recover_as_collector().await.unwrap(), 1, "it is the collector's own");
    drop(lock);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_knows_a_segment_from_the_log_of_a_run() {
    let place = Place::new().await;
    abandon(&place).await;
    let doctor = Doctor::new(&place.system, Duration::ZERO);
    let found = doctor.examine().await.unwrap();
    let what: Vec<_> = found.iter().map(|finding| finding.what.as_str()).collect();
    assert_eq!(
        what,
        ["an unfinished segment of stream info on which no process works: the sweep archives it"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn old_segments_of_one_stream_are_deleted_and_their_rows_stay() {
    let place = Place::new().await;
    abandon(&place).await;
    let recovery = Recovery::new(place.system.clone(), Archiver::new(place.system.clone()));
    assert_eq!(recovery.sweep().await.unwrap().archived, 1);
    let (info, other) = (ServiceName::of("info"), ServiceName::of("celery"));
    let system = &place.system;
    for (stream, deleted) in [(&other, 0), (&info, 1), (&info, 0)] {
        let pruned = retention::prune(system, Some(stream), Utc::now(), "ann", "old").await.unwrap();
        assert_eq!(pruned.logs, deleted);
    }
    assert_eq!(place.rows("info").await, [("pruned".to_owned(), 1, 0)]);
    let entries: Vec<(String, String)> = sqlx::query_as(
        "select actor, entry from log_entry where entry in ('deleting', 'pruned') order by id",
    )
    .fetch_all(&place.db.pool)
    .await
    .unwrap();
    assert_eq!(entries, [("ann", "deleting"), ("ann", "pruned")].map(|(a, b)| (a.to_owned(), b.to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_in_streams_are_counted_by_who_wrote_them_each_once_even_at_the_end() {
    let place = Place::new().await;
    let kept = place.kept(IntakeConfig::default());
    let streams = kept.streams.clone();
    blocking(move || {
        for (logger, level) in [
            ("celery.worker", "ERROR"),
            ("celery.worker", "CRITICAL"),
            ("celery.beat", "ERROR"),
            ("web", "WARNING"),
        ] {
            streams.store(&incoming(logger, level, "what happened"), None).unwrap();
        }
    })
    .await;
    kept.end().await;
    let counted: Vec<(String, String, i64)> =
        sqlx::query_as("select service, logger, errors from stream_error order by logger")
            .fetch_all(&place.db.pool)
            .await
            .unwrap();
    let of = |logger: &str, errors| ("celery".to_owned(), logger.to_owned(), errors);
    assert_eq!(counted, [of("celery.beat", 1), of("celery.worker", 2)]);
}
