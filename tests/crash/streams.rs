//! A kill of a process that stores records of other processes, at every named point of streams and of what they
//! share with runs' logs: each record is in its stream in the end, once and in order.
//!
//! The process is this test itself, started again. It plays a collector: it decodes a connection whose bytes it
//! can read again, notes now and then how far it is, and begins behind that after a death.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Output};

use bytesize::ByteSize;
use parselog::archive::Archiver;
use parselog::carry;
use parselog::config::IntakeConfig;
use parselog::ids::ServiceName;
use parselog::intake::Streams;
use parselog::objects::{FolderStore, Objects};
use parselog::reader::{Selection, StreamSource};
use parselog::record::{Arrival, Incoming, Record};
use parselog::recovery::Recovery;
use parselog::spool::Spool;
use parselog::store;
use parselog::system::System;
use rustix::process::Signal;

use crate::points;
use crate::support::TestDb;

/// Where the process works: a folder, and the URL of a database.
const PLACE: &str = "PARSELOG_TEST_STREAMS";

/// The records of the connection, and after how many the process notes how far it is.
const RECORDS: u64 = 60;
const NOTED: u64 = 7;

/// After so many records a process dies that leaves segments to the next one.
const BEQUEATHED: u64 = 25;

/// Whether the process that is killed finds segments of a dead one, and at which passage of the point.
const WAYS: [(bool, u64); 4] = [(false, 1), (true, 1), (true, 2), (true, 5)];

/// Points of other rooms that it passes too.
const SHARED: [&str; 12] = [
    "file-created",
    "head-written",
    "file-named",
    "window-reserved",
    "half-written",
    "event-stored",
    "tail-written",
    "sealed-before-rename",
    "recover-tail-written",
    "recover-before-rename",
    "after-put",
    "before-remove",
];

async fn system(folder: &Path, url: &str) -> System {
    let pool = store::connect(url, "parselog-test").await.unwrap();
    let spool = Spool::open(&folder.join("spool"), 1 << 30).unwrap();
    let objects = Objects::Folder(FolderStore::open(&folder.join("objects")).unwrap());
    System::new(pool, objects, spool, folder)
}

/// The process.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_stores_streams() {
    let Ok(place) = env::var(PLACE) else { return };
    let (folder, url) = place.split_once(' ').unwrap();
    let note = Path::new(folder).join("note");
    let system = system(Path::new(folder), url).await;
    let config = IntakeConfig { segment_size: ByteSize::kib(4), ..IntakeConfig::default() };
    let streams = Streams::open(&system, config).unwrap();
    let lock = system.spool.clone();
    let lock = carry::spawn_blocking(move || lock.lock_collector().unwrap().unwrap()).await.unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let kept = streams.clone();
    let decoded = carry::spawn_blocking(move || decode(&streams, &note));
    let keeping = carry::spawn(async move { kept.keep(async { stopped.await.unwrap() }).await.unwrap() });
    decoded.await.unwrap();
    stop.send(()).unwrap();
    keeping.await.unwrap();
    drop(lock);
}

fn decode(streams: &Streams, note: &Path) {
    let inheritance = streams.inherit().unwrap();
    let noted = fs::read_to_string(note).map_or(0, |text| text.parse().unwrap());
    let write_note = |number: u64| {
        let new = note.with_extension("new");
        fs::write(&new, number.to_string()).unwrap();
        fs::rename(&new, note).unwrap();
        streams.settled(1, number);
    };
    for number in noted + 1..=RECORDS {
        let logger = if number.is_multiple_of(3) { "both" } else { "info" };
        let object = serde_json::json!({"name": logger, "levelname": "INFO", "message": number.to_string()});
        let record = Incoming::of_object(object.as_object().unwrap().clone()).unwrap();
        streams.store(&record, Some(Arrival { connection: 1, end: number })).unwrap();
        if number.is_multiple_of(NOTED) {
            write_note(number);
        }
    }
    // Behind this nobody decodes again, so nobody has to know what a segment has.
    write_note(RECORDS);
    inheritance.close().unwrap();
    streams.finished(1);
}

/// Runs the process, which dies at the n-th passage of a point, if it comes there.
fn run(place: &str, fault: Option<(&str, u64)>) -> Output {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", "streams::a_process_that_stores_streams", "--test-threads", "1"])
        .env(PLACE, place);
    if let Some((point, passage)) = fault {
        command.env("PARSELOG_FAULT", format!("{point}:{passage}"));
    }
    command.output().unwrap()
}

/// Whether the process was killed.
fn is_killed(output: &Output) -> bool {
    output.status.signal() == Some(Signal::KILL.as_raw())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_stores_each_record_of_a_connection_once() {
    let db = TestDb::new().await;
    let points: BTreeSet<String> =
        points::of("stream-").into_iter().chain(SHARED.map(str::to_owned)).collect();
    let mut died = BTreeSet::new();
    for point in &points {
        for (is_heir, passage) in WAYS {
            let at = format!("killed at {point}:{passage}, as an heir: {is_heir}");
            let dir = tempfile::tempdir().unwrap();
            let place = format!("{} {}", dir.path().display(), db.url());
            let (point_there, at_there) = (point.clone(), at.clone());
            let is_dead = carry::spawn_blocking(move || {
                if is_heir {
                    assert!(is_killed(&run(&place, Some(("stream-stored", BEQUEATHED)))), "{at_there}");
                }
                // The second time it is killed as the heir of the first.
                let killed = [(); 2].map(|()| is_killed(&run(&place, Some((&point_there, passage)))));
                let last = run(&place, None);
                let said = String::from_utf8_lossy(&last.stdout);
                assert!(last.status.success(), "{at_there}: {said}");
                killed.contains(&true)
            });
            if is_dead.await.unwrap() {
                died.insert(point.clone());
            }
            check(&db, dir.path(), &at).await;
            sqlx::query("delete from log").execute(&db.pool).await.unwrap();
        }
    }
    let idle: Vec<_> = points.difference(&died).collect();
    assert!(idle.is_empty(), "nobody died at {idle:?}");
}

/// Every record is archived, in its stream, once and in order.
async fn check(db: &TestDb, folder: &Path, at: &str) {
    let system = system(folder, &db.url()).await;
    let swept = Recovery::new(system.clone(), Archiver::new(system.clone())).sweep().await.unwrap();
    assert_eq!(swept.kept, 0, "{at}");
    let left = system.spool.clone();
    let left = carry::spawn_blocking(move || left.list().unwrap()).await.unwrap();
    assert!(left.is_empty(), "{at}: {left:?}");
    for (stream, wanted) in [("info", false), ("both", true)] {
        let source =
            StreamSource::find(&system, &ServiceName::of(stream), &Selection::default()).await.unwrap();
        let (sender, lines) = std::sync::mpsc::channel();
        let each = move |line: &[u8]| {
            let record = Record::decode(line).unwrap();
            if record.is_event() {
                sender.send(record.message.parse::<u64>().unwrap()).unwrap();
            }
            Ok(())
        };
        source.read(&system.objects, Selection::default(), each).await.unwrap();
        let found: Vec<u64> = lines.into_iter().collect();
        let all: Vec<u64> = (1..=RECORDS).filter(|number| number.is_multiple_of(3) == wanted).collect();
        assert_eq!(found, all, "stream {stream}, {at}");
    }
}
