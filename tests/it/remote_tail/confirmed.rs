//! Nothing is given back of which it is not certain that others can have it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parselog::archive::Archived;
use parselog::record::LogEnding;

use super::parts::Growing;
use super::*;
use crate::fault_server::{Fault, FaultServer, Request};
use crate::localstack;
use crate::support::PATIENCE;

/// Waits until more than so many bytes are given back.
async fn until_given_back(growing: Growing, bytes: u64) -> Growing {
    let began = Instant::now();
    while given_and_hole(&growing).await.1 <= bytes {
        assert!(began.elapsed() < PATIENCE, "no more than {bytes} bytes are given back");
        growing.one.ship().await;
    }
    growing
}

/// Bytes of which the disk says that they are given back, and of the hole.
async fn given_and_hole(growing: &Growing) -> (u64, u64) {
    let (spool, run) = (growing.one.system.spool.clone(), growing.run);
    let look = move || {
        let given = spool.given_back(run).unwrap().map_or(0, |given| given.raw_bytes);
        let bytes = std::fs::read(spool.find(run).unwrap().path).unwrap();
        (given, bytes.iter().take_while(|byte| **byte == 0).count() as u64)
    };
    carry::spawn_blocking(look).await.unwrap()
}

/// The events behind so many bytes of the log in the spool.
async fn rest_of(growing: &Growing, begin: u64) -> Vec<Record> {
    let (spool, run) = (growing.one.system.spool.clone(), growing.run);
    let read = move || {
        let bytes = std::fs::read(spool.find(run).unwrap().path).unwrap();
        let lines = bytes[begin as usize..].split(|byte| *byte == 0).next().unwrap().to_vec();
        lines.split_inclusive(|byte| *byte == b'\n').map(|line| Record::decode(line).unwrap()).collect()
    };
    carry::spawn_blocking(read).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_given_back_that_the_store_has_not_confirmed() {
    let away = Arc::new(AtomicBool::new(false));
    let is_away = Arc::clone(&away);
    let decide = move |request: &Request| match is_away.load(Ordering::SeqCst) && request.is_part() {
        true => Fault::Answer(503, ""),
        false => Fault::Pass,
    };
    let server = FaultServer::start(&localstack::endpoint(), decide).await;
    let growing = Box::pin(Growing::begin_at(1 << 30, true, Some(server.endpoint.clone()))).await;
    let growing = until_given_back(growing, 0).await;
    away.store(true, Ordering::SeqCst);
    // What is on its way may still arrive.
    let (mut parts, mut before) = (growing.parts().await, server.requests().len());
    let mut growing = growing;
    for thousand in 3..8 {
        growing = growing.log(thousand * 1000..(thousand + 1) * 1000).await;
        growing.one.ship().await;
    }
    let began = Instant::now();
    while server.requests()[before..].iter().filter(|request| request.is_part()).count() < 3 {
        assert!(began.elapsed() < PATIENCE, "no part is tried");
        growing.one.ship().await;
        if growing.parts().await > parts {
            (parts, before) = (growing.parts().await, server.requests().len());
        }
    }
    let confirmed: i64 =
        sqlx::query_scalar("select raw_bytes from log_upload").fetch_one(&growing.db.pool).await.unwrap();
    let (given, hole) = given_and_hole(&growing).await;
    assert!(given <= confirmed.cast_unsigned() && hole <= given, "{hole} {given} {confirmed}");
    assert!(growing.one.archiver.tail().tick() < EVERY && growing.journal.bytes() > given + (20 << 20));
    let lines = rest_of(&growing, given).await;
    assert!(lines.last().is_some_and(|last| last.seq == 7_999), "{:?}", lines.last());
    assert!(lines.iter().map(|line| line.seq).eq(lines[0].seq..8_000), "all that is not up is here");

    away.store(false, Ordering::SeqCst);
    let growing = until_given_back(growing, given).await;
    let Growing { db, objects, one, run, journal, working: (_shipping, archive), bucket, .. } = growing;
    away.store(true, Ordering::SeqCst);
    let seal = carry::spawn_blocking(move || journal.seal(LogEnding::Success, None));
    let stored = one.archiver.archive_grown(seal.await.unwrap().unwrap(), archive).await;
    assert!(matches!(stored, Archived::Kept { store_is_down: true, .. }), "{stored:?}");
    assert_eq!(one.sweep().await.archived, 0);
    away.store(false, Ordering::SeqCst);
    assert_eq!((one.sweep().await.archived, bucket.open_uploads().await), (1, 0));
    let records = archived(&db, &objects, run).await;
    assert!(records.iter().map(|record| record.seq).filter(|seq| *seq > 0).eq(1..8_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_given_back_that_the_database_has_not_noted() {
    let growing = Box::pin(Growing::begin_with(1 << 30, true)).await;
    let growing = until_given_back(growing, 0).await;
    let (given, _) = given_and_hole(&growing).await;
    let rename = |from: &'static str, to: &'static str| {
        let pool = growing.db.pool.clone();
        async move {
            let sql = sqlx::AssertSqlSafe(format!("alter table {from} rename to {to}"));
            sqlx::query(sql).execute(&pool).await.unwrap();
        }
    };
    rename("log_upload", "log_upload_gone").await;
    let mut growing = growing;
    for thousand in 3..7 {
        growing = growing.log(thousand * 1000..(thousand + 1) * 1000).await;
    }
    let (objects, name) = (growing.objects.clone(), growing.bucket.name.clone());
    let began = Instant::now();
    loop {
        growing.one.ship().await;
        let uploads = objects.stale_uploads(&name, "", Duration::ZERO).await.unwrap();
        if objects.parts(&uploads[0].named(&name)).await.unwrap().len() > 3 {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "no more parts go up");
    }
    growing.one.ship().await;
    assert_eq!(given_and_hole(&growing).await.0, given);
    let sql = "alter table log_upload_gone rename to log_upload";
    sqlx::query(sql).execute(&growing.db.pool).await.unwrap();
    let growing = growing.log(7_000..9_000).await;
    until_given_back(growing, given).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_given_back_of_which_the_upload_has_ended_meanwhile() {
    let growing = Box::pin(Growing::begin_with(1 << 30, true)).await;
    let growing = until_given_back(growing, 0).await.log(3_000..7_000).await;
    let began = Instant::now();
    // Not shipped yet, so not given back yet.
    while growing.parts().await < 4 {
        assert!(began.elapsed() < PATIENCE, "{} parts were noted", growing.parts().await);
        tokio::time::sleep(EVERY).await;
    }
    let (objects, name) = (growing.objects.clone(), growing.bucket.name.clone());
    for upload in objects.stale_uploads(&name, "", Duration::ZERO).await.unwrap() {
        objects.abort_upload(&name, &upload).await.unwrap();
    }
    let (before, _) = given_and_hole(&growing).await;
    let len = i64::try_from(growing.journal.bytes()).unwrap();
    let shipped = "select coalesce(max(at + raw_bytes), 0)::bigint from log_piece";
    while sqlx::query_scalar::<_, i64>(shipped).fetch_one(&growing.db.pool).await.unwrap() < len {
        assert!(began.elapsed() < PATIENCE, "not all is shipped");
        growing.one.ship().await;
    }
    let noted: i64 =
        sqlx::query_scalar("select raw_bytes from log_upload").fetch_one(&growing.db.pool).await.unwrap();
    for _ in 0..5 {
        growing.one.ship().await;
    }
    assert!(before < noted.cast_unsigned(), "{before} of {noted} bytes were given back before");
    assert_eq!(given_and_hole(&growing).await.0, before);
    let first = rest_of(&growing, before).await[0].seq;

    let Growing { db, objects, one, run, journal, working: (_shipping, archive), .. } = growing;
    let seal = carry::spawn_blocking(move || journal.seal(LogEnding::Success, None));
    let stored = one.archiver.archive_grown(seal.await.unwrap().unwrap(), archive).await;
    assert!(matches!(stored, Archived::Kept { .. }), "{stored:?}");
    assert_eq!(one.sweep().await.archived, 1);
    let records = archived(&db, &objects, run).await;
    let seqs: Vec<u64> = records.iter().map(|record| record.seq).filter(|seq| *seq > 0).collect();
    assert!(seqs.iter().copied().filter(|seq| *seq >= first).eq(first..7_000), "all that was here is there");
    let tail = records.last().unwrap().tail.as_ref().unwrap();
    assert_eq!(tail.dropped, 6_999 - seqs.len() as u64, "what the remote tail lacks is counted");
}
