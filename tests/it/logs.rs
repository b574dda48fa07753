//! A log is not a run: its head, its row and its way to the archive are the same whatever it is about.

use chrono::{DateTime, Utc};
use parselog::archive::Archiver;
use parselog::carry;
use parselog::ids::{LogId, ServiceName};
use parselog::objects::{FolderStore, Objects};
use parselog::reader::{LogSource, Selection};
use parselog::record::{Encoder, Head, Level, Origin, Record, SegmentSubject, Subject, Text, TextStyle};
use parselog::recovery::Recovery;
use parselog::spool::{Spool, Stored};
use parselog::store::entry;
use parselog::system::System;
use uuid::Uuid;

use crate::support::{TestDb, head, unheld};

fn segment(log: LogId) -> Head {
    let subject = Subject::Segment(SegmentSubject { service: ServiceName::of("celery") });
    let log_key = format!("service_logs/celery/2026/11/28/celery-20261128T000000Z-{log}.log.gz");
    Head { log, bucket: "files".to_owned(), log_key, subject, ..head() }
}

fn decoded(line: &[u8]) -> Record {
    Record::decode(line).expect("a record")
}

#[test]
fn a_head_comes_back_whatever_its_subject_and_one_without_an_id_has_that_of_its_run() {
    for head in [head(), segment(LogId(Uuid::now_v7()))] {
        assert_eq!(decoded(&head.to_line()).head.as_deref(), Some(&head));
    }
    let head = head();
    let with_id = String::from_utf8(head.to_line()).unwrap();
    let without = with_id.replacen(&format!("\"log\":\"{}\",", head.log), "", 1);
    assert_ne!(with_id, without);
    assert_eq!(decoded(without.as_bytes()).head.as_deref(), Some(&head));
    let of_nothing = String::from_utf8(segment(head.log).to_line()).unwrap();
    let of_nothing = of_nothing.replacen(&format!("\"log\":\"{}\",", head.log), "", 1);
    assert!(Record::decode(of_nothing.as_bytes()).is_none(), "a segment without an id is no log");
}

#[test]
fn a_record_of_another_process_keeps_its_own_time_beside_that_of_its_arrival() {
    let (origin, mut encoder) = (Origin::new(Level::Info, "celery.worker", None), Encoder::default());
    encoder.start(&origin);
    encoder.message(format_args!("task done"));
    encoder.own_time(1_764_288_000_123_456);
    let mut line = Vec::new();
    parselog::record::push_prefix(&mut line, 1_764_288_001_000_000, 7);
    line.extend_from_slice(encoder.finish(&origin, b""));
    let record = decoded(&line);
    assert_eq!(record.time, DateTime::<Utc>::from_timestamp_micros(1_764_288_000_123_456));
    assert_eq!(record.timestamp, DateTime::<Utc>::from_timestamp_micros(1_764_288_001_000_000));
    let text = Text { record: &record, style: TextStyle::default() }.to_string();
    assert!(text.contains("task done  time=2025-11-28T00:00:00.123456Z"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_whose_process_died_is_closed_archived_and_read_as_the_log_of_a_run_is() {
    let (db, dir) = (TestDb::new().await, tempfile::tempdir().unwrap());
    let spool = Spool::open(&dir.path().join("spool"), 1 << 30).unwrap();
    let objects = Objects::Folder(FolderStore::open(&dir.path().join("objects")).unwrap());
    let system = System::new(db.pool.clone(), objects, spool, dir.path());
    let log: LogId = sqlx::query_scalar("insert into log (service) values ('celery') returning id")
        .fetch_one(&db.pool)
        .await
        .unwrap();

    let left = system.spool.clone();
    let abandon = move || {
        let (origin, mut encoder) = (Origin::new(Level::Warn, "celery.worker", None), Encoder::default());
        let mut journal = left.create(&segment(log)).unwrap();
        for number in 0..3 {
            encoder.start(&origin);
            encoder.message(format_args!("task {number} failed"));
            assert_eq!(journal.append(Level::Warn, encoder.finish(&origin, b"")), Stored::Yes);
        }
    };
    carry::spawn_blocking(abandon).await.unwrap();
    unheld(&system.spool).await;
    let swept = Recovery::new(system.clone(), Archiver::new(system.clone())).sweep().await.unwrap();
    assert_eq!((swept.recovered, swept.archived, swept.kept), (1, 1, 0));

    let (state, uri, raw_bytes, warnings, whole): (String, String, i64, i64, bool) = sqlx::query_as(
        "select state, uri, raw_bytes, (events ->> 'WARN')::bigint,
                lines = 5 and dropped = 0 and first_at < last_at and last_at <= archived_at
         from log where id = $1",
    )
    .bind(log)
    .fetch_one(&db.pool)
    .await
    .unwrap();
    assert_eq!((state.as_str(), warnings, whole), ("archived", 3, true));
    assert!(uri.contains("/service_logs/celery/"), "{uri}");
    let entries: Vec<String> =
        sqlx::query_scalar("select entry from log_entry where run_id is null order by id")
            .fetch_all(&db.pool)
            .await
            .unwrap();
    assert_eq!(entries, ["log-sealed", "archived"]);
    assert!(entry::of_run(&db.pool, log.as_run()).await.unwrap().is_empty());

    let source = LogSource::Archive { uri: uri.parse().unwrap(), raw_bytes: raw_bytes.cast_unsigned() };
    let (lines, read) = std::sync::mpsc::channel();
    let each = move |line: &[u8]| {
        lines.send(decoded(line).message).unwrap();
        Ok(())
    };
    source.read(&system.objects, Selection::default(), each).await.unwrap();
    let read: Vec<String> = read.iter().collect();
    assert_eq!(read[1..4], ["task 0 failed", "task 1 failed", "task 2 failed"]);
}
