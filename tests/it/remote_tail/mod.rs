//! The remote tail: what has left a machine is archived by another one, and replaced when the machine comes back.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod confirmed;
mod elsewhere;
mod given;
mod parts;

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use parselog::archive::{Archiver, KeptTail};
use parselog::carry;
use parselog::ids::LogId;
use parselog::objects::{FolderStore, Objects, Put, S3, S3Options};
use parselog::queue::{self, ClaimedRun};
use parselog::record::{Encoder, Level, Origin, Record};
use parselog::recovery::{Recovery, Swept};
use parselog::spool::{Journal, Spool};
use parselog::store::{self, LogState};
use parselog::system::System;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio_util::task::AbortOnDropHandle;

use crate::support::{TestDb, head_of, unheld};

const EVERY: Duration = Duration::from_millis(100);

/// A machine with a spool of its own, and a database and an object store that it shares.
struct Machine {
    _home: TempDir,
    system: System,
    archiver: Archiver,
}

impl Machine {
    async fn new(db: &TestDb, objects: &Objects, cap: u64) -> Self {
        let home = tempfile::tempdir().unwrap();
        let spool = Spool::open(&home.path().join("spool"), cap).unwrap();
        let named = spool.clone();
        let spool_id = carry::spawn_blocking(move || named.id()).await.unwrap().unwrap();
        let system = System::new(db.pool.clone(), objects.clone(), spool, home.path().join("scratch"));
        let kept = KeptTail { every: EVERY, spool: spool_id };
        let archiver = Archiver::new(system.clone()).keeping(Some(kept));
        Self { _home: home, system, archiver }
    }

    fn recovery(&self) -> Recovery {
        Recovery::new(self.system.clone(), self.archiver.clone())
    }

    /// What its recovery does once, with logs that nobody holds any more.
    async fn sweep(&self) -> Swept {
        unheld(&self.system.spool).await;
        self.recovery().sweep().await.unwrap()
    }

    /// Opens the log of a run.
    async fn open(&self, run: &ClaimedRun) -> Journal {
        let (spool, head) = (self.system.spool.clone(), head_of(run));
        let spool_id = self.archiver.tail().kept().map(|kept| kept.spool);
        store::log::opened_in(&self.system.pool, run.run.id.into(), spool_id).await.unwrap();
        carry::spawn_blocking(move || spool.create(&head)).await.unwrap().unwrap()
    }

    /// Ships and answers as a worker does, from now on.
    fn ships(&self) -> AbortOnDropHandle<()> {
        let tail = self.archiver.tail().clone();
        AbortOnDropHandle::new(carry::spawn(async move {
            loop {
                tail.ship().await;
                tokio::time::sleep(tail.tick()).await;
            }
        }))
    }

    /// Ships what is due, once all is.
    async fn ship(&self) {
        tokio::time::sleep(EVERY).await;
        self.archiver.tail().ship().await;
    }
}

/// Logs events with these numbers.
fn log(journal: &mut Journal, numbers: std::ops::Range<u64>) {
    let mut encoder = Encoder::default();
    for number in numbers {
        let level = if number.is_multiple_of(50) { Level::Error } else { Level::Info };
        let origin = Origin::new(level, "parser", None);
        encoder.start(&origin);
        encoder.message(format_args!("event {number} of a log that is not as long as it could be"));
        journal.append(level, encoder.finish(&origin, b""));
    }
}

/// The records of the archive that the run's row names, as `zcat` gives them.
async fn archived(db: &TestDb, objects: &Objects, run: parselog::ids::RunId) -> Vec<Record> {
    let uri = db.run(run).await.logs_uri.unwrap().parse().unwrap();
    let (_, mut stream) = objects.open(&uri).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let unzipped = carry::spawn_blocking(move || {
        let mut zcat = Command::new("zcat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = zcat.stdin.take().unwrap();
        let writer = carry::thread(move || stdin.write_all(&bytes));
        let mut raw = Vec::new();
        zcat.stdout.take().unwrap().read_to_end(&mut raw).unwrap();
        writer.join().unwrap().unwrap();
        assert!(zcat.wait().unwrap().success());
        raw
    });
    let raw = unzipped.await.unwrap();
    raw.split_inclusive(|byte| *byte == b'\n').map(|line| Record::decode(line).unwrap()).collect()
}

async fn pieces(db: &TestDb) -> i64 {
    sqlx::query_scalar("select count(*) from log_piece").fetch_one(&db.pool).await.unwrap()
}

fn folder(home: &TempDir) -> Objects {
    Objects::Folder(FolderStore::open(home.path()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_composed_of_what_had_left_its_machine_and_replaced_when_the_machine_comes_back() {
    let (db, shared) = (TestDb::new().await, tempfile::tempdir().unwrap());
    let objects = folder(&shared);
    let (one, two) = (Machine::new(&db, &objects, 1 << 30).await, Machine::new(&db, &objects, 1 << 30).await);
    db.submit(&["a/1.txt"]).await;
    let run = db.claim_and_die("one").await;
    let (id, log_id) = (run.run.id, LogId::from(run.run.id));
    let mut journal = one.open(&run).await;
    let began = Instant::now();
    let shipping = one.archiver.tail().begin(log_id);
    log(&mut journal, 1..101);
    one.archiver.tail().ship().await;
    let is_young = began.elapsed() < EVERY;
    assert!(!is_young || pieces(&db).await == 0, "a run that may be over in a moment costs nothing");
    one.ship().await;
    log(&mut journal, 101..111);

    assert_eq!(
        two.recovery().take_over(Duration::ZERO).await.unwrap(),
        0,
        "its lease is not known to be over"
    );
    assert_eq!(queue::reap(&db.pool, Duration::ZERO).await.unwrap(), [id]);
    assert_eq!(two.recovery().take_over(Duration::ZERO).await.unwrap(), 1);
    let row = db.run(id).await;
    assert!(
        row.logs_uri
            .as_ref()
            .is_some_and(|uri| uri.ends_with(".remote.log.gz") || uri.contains(".remote.log.gz?"))
    );
    let what = "after event 100 the rest of the log was lost with the machine of the run";
    assert!(row.failure.as_ref().is_some_and(|failure| failure.ends_with(what)), "{row:?}");
    let records = archived(&db, &objects, id).await;
    let numbers: Vec<u64> = records.iter().map(|record| record.seq).filter(|seq| *seq > 0).collect();
    assert_eq!(numbers, (1..101).collect::<Vec<_>>());
    let tail = records.last().unwrap().tail.as_ref().unwrap();
    assert_eq!((tail.reason.as_deref(), tail.dropped), (Some(what), 0));
    assert_eq!(pieces(&db).await, 0, "they go with the confirmation of the archive");
    assert_eq!(two.recovery().take_over(Duration::ZERO).await.unwrap(), 0);

    // Nothing more is taken of the machine that comes back but its whole log.
    one.ship().await;
    assert_eq!(pieces(&db).await, 0);
    drop((journal, shipping));
    let swept = one.sweep().await;
    assert_eq!((swept.recovered, swept.archived, swept.kept), (1, 1, 0));
    let fuller = db.run(id).await;
    assert_eq!((fuller.log_state, fuller.log_events.unwrap().0["INFO"]), (LogState::Archived, 108));
    assert_eq!(archived(&db, &objects, id).await.len(), 112);
    let entries = store::entry::of_run(&db.pool, id).await.unwrap();
    let named =
        entries.iter().find(|entry| entry.entry == "fuller-log").and_then(|entry| entry.detail.clone());
    let both = format!("{}, instead of {}", fuller.logs_uri.unwrap(), row.logs_uri.unwrap());
    assert_eq!(named, Some(both));
    let lost: Option<i64> = sqlx::query_scalar("select lost_after from log where run_id = $1")
        .bind(id)
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert_eq!(lost, None);

    // Both are the run's, and are erased with it.
    let folder = "a/parsing_logs";
    assert_eq!(objects.list_folder("submissions", folder).await.unwrap().len(), 2);
    let run = db.run(id).await;
    parselog::archive::remove(&objects, &run, run.logs_uri.as_deref()).await.unwrap();
    assert!(objects.list_folder("submissions", folder).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_log_past_its_cap_holds_leaves_the_machine_too() {
    let (db, shared) = (TestDb::new().await, tempfile::tempdir().unwrap());
    let objects = folder(&shared);
    let (one, two) =
        (Machine::new(&db, &objects, 64 << 10).await, Machine::new(&db, &objects, 1 << 30).await);
    db.submit(&["a/1.txt"]).await;
    let run = db.claim_and_die("one").await;
    let mut journal = one.open(&run).await;
    let _shipping = one.archiver.tail().begin(run.run.id.into());
    for hundred in 0..20 {
        log(&mut journal, 1 + hundred * 100..101 + hundred * 100);
        one.ship().await;
    }
    queue::reap(&db.pool, Duration::ZERO).await.unwrap();
    assert_eq!(two.recovery().take_over(Duration::ZERO).await.unwrap(), 1);
    let records = archived(&db, &objects, run.run.id).await;
    let numbers: Vec<u64> = records.iter().map(|record| record.seq).filter(|seq| *seq > 0).collect();
    assert!(numbers.is_sorted_by(|one, next| one < next) && numbers.last() == Some(&2000), "{numbers:?}");
    let dropped = 2000 - numbers.len() as u64;
    let tail = records.last().unwrap().tail.as_ref().unwrap();
    assert_eq!((tail.events.total(), tail.dropped), (numbers.len() as u64, dropped));
    assert!(dropped == 0 || records.iter().any(|record| record.cut.is_some()));
    assert_eq!(db.run(run.run.id).await.log_dropped, Some(dropped.cast_signed()));
}

/// Two machines compose it, one after the other died; the bytes are the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_takeover_may_be_repeated_by_anybody_and_a_log_of_which_nothing_left_is_one_too() {
    let (db, shared) = (TestDb::new().await, tempfile::tempdir().unwrap());
    let objects = folder(&shared);
    let one = Machine::new(&db, &objects, 1 << 30).await;
    let (two, three) =
        (Machine::new(&db, &objects, 1 << 30).await, Machine::new(&db, &objects, 1 << 30).await);
    db.submit(&["a/1.txt", "a/2.txt"]).await;
    let (long, short) = (db.claim_and_die("one").await, db.claim_and_die("one").await);
    let (mut journal, _short) = (one.open(&long).await, one.open(&short).await);
    let _shipping = one.archiver.tail().begin(long.run.id.into());
    log(&mut journal, 1..5);
    one.ship().await;
    queue::reap(&db.pool, Duration::ZERO).await.unwrap();
    // The second machine stores it, and the row does not hear of it.
    sqlx::raw_sql(
        "create function refuse() returns trigger language plpgsql as $$ begin
             raise exception 'not now' using errcode = 'check_violation'; end $$;
         create trigger refuses before update of uri on log for each row execute function refuse()",
    )
    .execute(&db.pool)
    .await
    .unwrap();
    assert_eq!(two.recovery().take_over(Duration::ZERO).await.unwrap(), 0);
    sqlx::raw_sql("drop function refuse cascade").execute(&db.pool).await.unwrap();
    assert_eq!(three.recovery().take_over(Duration::ZERO).await.unwrap(), 2);
    assert_eq!(archived(&db, &objects, long.run.id).await.len(), 6);
    let nothing = archived(&db, &objects, short.run.id).await;
    let tail = nothing.last().unwrap().tail.as_ref().unwrap();
    assert_eq!(nothing.len(), 2);
    assert!(tail.reason.as_ref().is_some_and(|reason| reason.contains("none of it had left")), "{tail:?}");
}

/// What a second of a running log costs, in Postgres and as small objects. It needs LocalStack.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn what_the_remote_tail_costs() {
    const SECONDS: u64 = 20;
    let (db, shared) = (TestDb::new().await, tempfile::tempdir().unwrap());
    let objects = folder(&shared);
    let one = Machine::new(&db, &objects, 1 << 30).await;
    let endpoint = std::env::var("PARSELOG_TEST_S3").unwrap();
    let s3 = S3::connect(S3Options { endpoint: Some(endpoint), ..Default::default() }).await;
    let s3 = Objects::S3(s3);
    let bucket = std::env::var("PARSELOG_BUCKET").unwrap_or_else(|_| "parselog".to_owned());
    for (logs, rate) in [(1, 100), (1, 10_000), (8, 1_000)] {
        let mut running = Vec::new();
        for number in 0..logs {
            db.submit(&[&format!("{logs}-{rate}/{number}.txt")]).await;
            let run = db.claim("one").await.unwrap();
            let journal = one.open(&run).await;
            running.push((run.run.id, journal, one.archiver.tail().begin(run.run.id.into())));
        }
        let (mut shipped, mut stored) = (Duration::ZERO, Duration::ZERO);
        for second in 0..SECONDS {
            for (_, journal, _) in &mut running {
                log(journal, second * rate..(second + 1) * rate);
            }
            tokio::time::sleep(EVERY).await;
            let began = Instant::now();
            one.archiver.tail().ship().await;
            shipped += began.elapsed();
        }
        let ids: Vec<uuid::Uuid> = running.iter().map(|(run, ..)| run.0).collect();
        let packed: Vec<(Vec<u8>, i32)> =
            sqlx::query_as("select bytes, raw_bytes from log_piece where log_id = any($1)")
                .bind(ids)
                .fetch_all(&db.pool)
                .await
                .unwrap();
        let (bytes, raw): (usize, i64) = (
            packed.iter().map(|(bytes, _)| bytes.len()).sum(),
            packed.iter().map(|(_, raw)| i64::from(*raw)).sum(),
        );
        let rows = packed.len();
        for (number, (bytes, _)) in packed.into_iter().enumerate().take(50) {
            let file = shared.path().join("piece");
            std::fs::write(&file, &bytes).unwrap();
            let sha256 = Sha256::digest(&bytes).into();
            let put =
                Put { content_type: "application/gzip", metadata: Vec::new(), sha256, if_none_match: false };
            let began = Instant::now();
            s3.put_file(&bucket, &format!("measured/{logs}-{rate}/{number}"), &file, &put).await.unwrap();
            stored += began.elapsed();
        }
        eprintln!(
            "{logs} logs of {rate} events a second: {} rows, {} bytes packed and {} raw a second; a round {:?}, a put {:?}",
            rows as f64 / SECONDS as f64,
            bytes as u64 / SECONDS,
            raw.unsigned_abs() / SECONDS,
            shipped / SECONDS as u32,
            stored / rows.min(50) as u32
        );
    }
}
