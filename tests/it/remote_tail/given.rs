//! With `--spool-keep tail` the spool gives back what is up, and no line is lost for it.

use std::os::unix::fs::MetadataExt;

use parselog::archive::Archived;
use parselog::gzip::{self, LineFacts};
use parselog::reader::{Follower, News, Selection};
use parselog::record::{LogEnding, level_of, timestamp_of};

use super::parts::Growing;
use super::*;
use crate::support::PATIENCE;

/// Of what a spool may hold of a log of any length here: two parts and what is behind them.
const BOUND: u64 = 36 << 20;

/// A running log of which most was given back.
async fn given() -> Growing {
    let mut growing = Box::pin(Growing::begin_with(1 << 30, true)).await;
    for thousand in 3..12 {
        growing = growing.log(thousand * 1000..(thousand + 1) * 1000).await;
        growing.one.ship().await;
    }
    let began = Instant::now();
    while on_disk(&growing).await > BOUND {
        assert!(began.elapsed() < PATIENCE, "{} bytes are on the disk", on_disk(&growing).await);
        growing.one.ship().await;
    }
    growing
}

/// Bytes that the spool takes of its disk.
async fn on_disk(growing: &Growing) -> u64 {
    let dir = growing.one.system.spool.dir().to_owned();
    let sum = move || {
        let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
        files.filter_map(|file| Some(file.metadata().ok()?.blocks() * 512)).sum()
    };
    carry::spawn_blocking(sum).await.unwrap()
}

async fn is_given_back(growing: &Growing) -> bool {
    let (spool, run) = (growing.one.system.spool.clone(), growing.run);
    carry::spawn_blocking(move || spool.given_back(run).unwrap().is_some()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_which_most_was_given_back_is_archived_as_one_that_was_kept() {
    let growing = Box::pin(given()).await;
    let len = growing.journal.bytes();
    assert!(len > BOUND, "{len} bytes are no test");
    let Growing { db, objects, one, run, journal, working: (_shipping, archive), bucket, .. } = growing;
    let seal = carry::spawn_blocking(move || journal.seal(LogEnding::Success, None));
    let sealed = seal.await.unwrap().unwrap();
    let stored = one.archiver.archive_grown(sealed, archive).await;
    let Archived::Yes { uri } = stored else { panic!("{stored:?}") };
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("archive.log.gz");
    objects.download(&uri.parse().unwrap(), &path).await.unwrap();
    let row = db.run(run).await;
    let check = move || {
        let raw = Command::new("zcat").arg(&path).stderr(Stdio::inherit()).output().unwrap().stdout;
        assert_eq!(row.log_raw_sha256, Some(Sha256::digest(&raw).into()));
        let facts = |line: &[u8]| LineFacts {
            time: timestamp_of(line),
            level: level_of(line).map(|level| level as u8),
        };
        let mut at_once = Vec::new();
        gzip::compress(&raw[..], &mut at_once, facts).unwrap();
        assert!(std::fs::read(&path).unwrap() == at_once, "it differs from an archive that is made at once");
    };
    carry::spawn_blocking(check).await.unwrap();
    let records = archived(&db, &objects, run).await;
    assert_eq!((records.len(), bucket.open_uploads().await), (12_001, 0));
    let left = std::fs::read_dir(one.system.spool.dir()).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().contains(&run.to_string())).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rest_of_a_dead_process_is_archived_behind_what_it_gave_back() {
    let growing = Box::pin(given()).await;
    let Growing { db, objects, one, two, run, journal, working, bucket } = growing;
    drop((journal, working));
    assert!(one.system.spool.has_given_back(run));
    let swept = one.sweep().await;
    assert_eq!((swept.recovered, swept.archived, swept.kept), (1, 1, 0), "{:?}", db.run(run).await);
    let records = archived(&db, &objects, run).await;
    let seqs: Vec<u64> = records.iter().map(|record| record.seq).filter(|seq| *seq > 0).collect();
    assert_eq!(seqs, (1..12_000).collect::<Vec<_>>());
    let tail = records.last().unwrap().tail.as_ref().unwrap();
    assert_eq!((tail.ending, tail.events.total(), tail.dropped), (LogEnding::Crash, 11_999, 0));
    assert_eq!((bucket.open_uploads().await, db.run(run).await.log_dropped), (0, Some(0)));
    drop(two);
}

/// The machine logs on, ends and comes back: its log is the fuller one, and whole.
async fn comes_back(mut growing: Growing) {
    log(&mut growing.journal, 12_000..12_011);
    let Growing { db, objects, one, two, run, journal, working, bucket } = growing;
    drop((journal, working));
    let swept = one.sweep().await;
    assert_eq!((swept.recovered, swept.archived, swept.kept), (1, 1, 0), "{:?}", db.run(run).await);
    assert!(db.run(run).await.logs_uri.unwrap().contains(".fuller."));
    let records = archived(&db, &objects, run).await;
    let seqs: Vec<u64> = records.iter().map(|record| record.seq).filter(|seq| *seq > 0).collect();
    assert_eq!(seqs, (1..12_011).collect::<Vec<_>>());
    assert_eq!(bucket.open_uploads().await, 0);
    drop(two);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_comes_back_has_the_fuller_log_though_it_gave_most_of_it_back() {
    let growing = Box::pin(given()).await;
    growing.taken_over().await;
    Box::pin(comes_back(growing)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_whose_upload_is_ended_by_somebody_says_how_much_of_it_is_lost() {
    let growing = Box::pin(given()).await;
    // Of the pieces only the first and the last are here: so it is with a log of many gigabytes.
    sqlx::query("delete from log_piece where at between 2000000 and 30000000")
        .execute(&growing.db.pool)
        .await
        .unwrap();
    let (objects, name) = (&growing.objects, &growing.bucket.name);
    for upload in objects.stale_uploads(name, "", Duration::ZERO).await.unwrap() {
        objects.abort_upload(name, &upload).await.unwrap();
    }
    let Growing { db, objects, one, two, run, journal, working, .. } = growing;
    drop((journal, working));
    let swept = one.sweep().await;
    assert_eq!((swept.recovered, swept.archived, swept.kept), (1, 1, 0), "{:?}", db.run(run).await);
    let records = archived(&db, &objects, run).await;
    let seqs: Vec<u64> = records.iter().map(|record| record.seq).filter(|seq| *seq > 0).collect();
    let lost = 11_999 - seqs.len() as u64;
    assert!(lost > 1000 && seqs.is_sorted_by(|one, next| one < next), "{lost}");
    assert_eq!((seqs.first(), seqs.last()), (Some(&1), Some(&11_999)));
    let cuts: Vec<u64> = records.iter().filter_map(|record| Some(record.cut.as_ref()?.dropped)).collect();
    let tail = records.last().unwrap().tail.as_ref().unwrap();
    assert_eq!((cuts, tail.dropped), (vec![lost], lost));
    assert_eq!(db.run(run).await.log_dropped, Some(lost.cast_signed()));
    let entries = store::entry::of_run(&db.pool, run).await.unwrap();
    let said =
        entries.iter().find(|entry| entry.entry == "lost-upload").and_then(|entry| entry.detail.clone());
    let what =
        format!("{lost} events are lost: they were given back, and somebody ended the upload that had them");
    assert_eq!(said, Some(what));
    drop(two);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_which_nobody_knows_what_it_gave_back_stays_as_it_is() {
    let growing = Box::pin(given()).await;
    let Growing { db, one, two, run, journal, working, bucket, .. } = growing;
    drop((journal, working));
    let spool = one.system.spool.clone();
    let lose = move || {
        let entry = spool.find(run).unwrap();
        std::fs::remove_file(spool.stem(run).with_extension("given")).unwrap();
        let found = std::fs::metadata(&entry.path).unwrap();
        (entry.path, found.len(), found.blocks())
    };
    let (path, len, blocks) = carry::spawn_blocking(lose).await.unwrap();
    let swept = one.sweep().await;
    assert_eq!((swept.recovered, swept.archived), (0, 0), "as before this option was known");
    let now = std::fs::metadata(&path).unwrap();
    assert_eq!((now.len(), now.blocks()), (len, blocks));
    assert_eq!((bucket.open_uploads().await, db.run(run).await.logs_uri), (1, None));
    drop(two);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_reads_a_log_whose_beginning_was_given_back_is_told_what_is_not_here() {
    let growing = Box::pin(given()).await;
    assert!(is_given_back(&growing).await);
    let _shipping = growing.one.ships();
    let mut follower = Follower::new(growing.one.system.clone(), growing.run, Selection::default());
    let (mut lines, mut notes) = (Vec::new(), 0);
    let began = Instant::now();
    while lines.last() != Some(&11_999) {
        assert!(began.elapsed() < PATIENCE, "{} lines, the last is {:?}", lines.len(), lines.last());
        match follower.next().await.unwrap().unwrap() {
            News::Lines(more) => lines.extend(more.iter().map(|line| Record::decode(line).unwrap().seq)),
            News::Note(note) => notes += usize::from(note.contains("they will be in the archive")),
        }
    }
    assert!(lines.starts_with(&[0, 1, 2]) && lines.is_sorted(), "{:?}", &lines[..3]);
    assert_eq!(notes > 0, lines.len() < 12_000, "{notes} notes for {} lines", lines.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_another_machine_completed_and_told_nobody_of_gives_the_beginning_back() {
    let growing = Box::pin(given()).await;
    growing.taken_over().await;
    // The other machine is lost before its row knows of it.
    let forget = "update log set state = 'open', uri = null, archived_at = null, raw_sha256 = null,
                                 gzip_bytes = null, gzip_sha256 = null, lost_after = null";
    sqlx::query(forget).execute(&growing.db.pool).await.unwrap();
    Box::pin(comes_back(growing)).await;
}
