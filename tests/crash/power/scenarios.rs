//! What is done while the power may fail: everything that the spool and the folder store sync.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use parselog::gzip;
use parselog::record::{Head, Level, LogCount, LogEnding, timestamp_of};
use parselog::recovery::close_dead;
use parselog::spool::{GivenBack, OpenLog, PROCESS_DIED, SealedLog, Stored};
use sha2::{Digest, Sha256};

use super::logs;
use super::objects;
use super::recording::Recorder;
use crate::support::head;

/// A scenario plays below a root, and tells the recorder what is promised.
pub(super) type Scenario = fn(&Recorder, &Path);

/// All of them, with names for a failure.
pub(super) const ALL: [(&str, Scenario); 12] = [
    ("a log that is archived", archived),
    ("a stream whose senders wait", committed),
    ("a log past its cap", capped),
    ("a log past its cap whose process died", dead),
    ("a log whose disk refuses the seal", refused),
    ("a log whose leftovers can't be removed", stuck),
    ("a dead process's log whose disk refuses", dead_and_refused),
    ("a dead process's log that gave most of it back", given_back),
    ("a log whose beginning comes back", comes_back),
    ("objects", shelved),
    ("a submission that is replaced", replaced),
    ("objects that are deleted", deleted),
];

const LARGE: u64 = 1 << 30;
/// A log's head takes five eighths of it, each segment one.
pub(super) const SMALL: u64 = 32 * 1024;
const KEY: &str = "folder/parsing_logs/parse.log.gz";

/// The log of one run, as a worker writes it.
struct Writer<'a> {
    recorder: &'a Recorder,
    open: OpenLog,
    emitted: u64,
}

impl<'a> Writer<'a> {
    fn open(recorder: &'a Recorder, root: &Path, cap: u64) -> Self {
        recorder.promise(|promise| promise.log.cap = cap);
        let head = Head { bucket: objects::BUCKET.to_owned(), log_key: KEY.to_owned(), ..head() };
        let journal = logs::spool(root, cap).create(&head).unwrap();
        recorder.promise(|promise| promise.log.id = Some(head.log));
        Self { recorder, open: OpenLog::new(journal), emitted: 0 }
    }

    /// Emits so many events, every seventh an error.
    fn emit(&mut self, count: u64) {
        for _ in 0..count {
            self.emitted += 1;
            let message = format!("{} {}", self.emitted, "x".repeat(self.emitted as usize % 5 * 60 + 60));
            let level = if self.emitted.is_multiple_of(7) { Level::Error } else { Level::Info };
            let body = format!(
                ",\"level\":\"{}\",\"target\":\"test\",\"message\":\"{message}\"}}\n",
                level.as_str()
            );
            self.recorder.promise(|promise| promise.log.emitted.lock().unwrap().push(message));
            assert_eq!(self.open.append(level, body.as_bytes()), Some(Stored::Yes));
        }
    }

    fn sync(&self) {
        self.open.sync();
        self.recorder.promise(|promise| promise.log.synced = self.emitted);
    }

    /// Events with a sync now and then, and some after the last.
    fn emit_and_sync(&mut self, rounds: u64) {
        for _ in 0..rounds {
            self.emit(13);
            self.sync();
        }
        self.emit(5);
    }

    fn seal(self) -> SealedLog {
        let log = self.open.seal(LogEnding::Success, None).unwrap().unwrap();
        is_complete(self.recorder, &log);
        log
    }

    /// The process dies while it writes an event.
    fn die(self, root: &Path) {
        drop(self.open);
        let of_a_log = |path: &Path| path.extension().is_some_and(|end| end == "open" || end == "tail-0");
        let files = fs::read_dir(root.join("spool")).unwrap().map(|entry| entry.unwrap().path());
        for path in files.filter(|path| of_a_log(path)) {
            let mut bytes = fs::read(&path).unwrap();
            let end = bytes.iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
            let torn = b"{\"timestamp\":\"2026-01-01T00:00:00.000000Z\",\"seq\":9999,\"level\":\"IN";
            let room = bytes.len().max(end + torn.len());
            bytes.resize(room, 0);
            bytes[end..end + torn.len()].copy_from_slice(torn);
            File::options().write(true).open(path).unwrap().write_all(&bytes).unwrap();
        }
    }
}

fn is_complete(recorder: &Recorder, log: &SealedLog) {
    let bytes = fs::read(log.path()).unwrap();
    recorder.promise(|promise| promise.log.sealed = Some(bytes));
}

/// Compresses a log, stores it, and lets it go.
fn archive(recorder: &Recorder, root: &Path, log: &SealedLog) {
    let raw = BufReader::new(File::open(log.path()).unwrap());
    let gz = BufWriter::new(File::create(log.archive_path()).unwrap());
    gzip::compress(raw, gz, timestamp_of).unwrap();
    put_file(recorder, root, KEY, &log.archive_path());
    recorder.promise(|promise| promise.log.is_archived = true);
    log.remove().unwrap();
}

fn put_file(recorder: &Recorder, root: &Path, key: &str, path: &Path) {
    let bytes = fs::read(path).unwrap();
    recorder.promise(|promise| promise.shelf.tries(key, &bytes));
    let version = objects::put_file(root, key, path, true);
    recorder.promise(|promise| promise.shelf.holds(key, &version, &bytes));
}

/// Puts bytes under a key, and returns their version.
pub(super) fn put(recorder: &Recorder, root: &Path, key: &str, bytes: &[u8], if_none_match: bool) -> String {
    recorder.promise(|promise| promise.shelf.tries(key, bytes));
    let version = objects::put(root, key, bytes, if_none_match);
    recorder.promise(|promise| promise.shelf.holds(key, &version, bytes));
    version
}

fn archived(recorder: &Recorder, root: &Path) {
    let mut writer = Writer::open(recorder, root, LARGE);
    writer.emit_and_sync(4);
    let log = writer.seal();
    assert!(log.first_fallback().unwrap());
    recorder.promise(|promise| promise.log.is_marked = true);
    archive(recorder, root, &log);
}

/// A log whose events count only once they are on the disk.
fn committed(recorder: &Recorder, root: &Path) {
    let mut writer = Writer::open(recorder, root, LARGE);
    for _ in 0..3 {
        writer.emit(5);
        writer.open.commit(&writer.open.hold().unwrap()).unwrap();
        recorder.promise(|promise| promise.log.synced = writer.emitted);
    }
    archive(recorder, root, &writer.seal());
}

/// A log that passes its cap, and drops what is between its head and its tail.
pub(super) fn capped(recorder: &Recorder, root: &Path) {
    let mut writer = Writer::open(recorder, root, SMALL);
    writer.emit_and_sync(10);
    archive(recorder, root, &writer.seal());
}

fn dead(recorder: &Recorder, root: &Path) {
    let mut writer = Writer::open(recorder, root, SMALL);
    writer.emit_and_sync(9);
    recorder.begin_here();
    writer.die(root);
    recover(recorder, root, SMALL);
}

/// What the sweep does: closes the log and archives it.
pub(super) fn recover(recorder: &Recorder, root: &Path, cap: u64) {
    let spool = logs::spool(root, cap);
    for entry in spool.list().unwrap().iter().filter(|entry| !entry.sealed) {
        assert!(close_dead(&spool, entry.log, None, LogEnding::Crash, PROCESS_DIED).unwrap().is_some());
    }
    for entry in spool.list().unwrap() {
        let log = spool.take_sealed(&entry, None).unwrap().unwrap();
        is_complete(recorder, &log);
        archive(recorder, root, &log);
    }
}

fn refused(recorder: &Recorder, root: &Path) {
    let mut writer = Writer::open(recorder, root, SMALL);
    writer.emit_and_sync(9);
    recorder.begin_here();
    recorder.refuse(Some("sealed"));
    let log = writer.seal();
    recorder.refuse(None);
    assert_eq!(log.path().parent(), Some(logs::refuge(root).as_path()));
    archive(recorder, root, &log);
}

fn stuck(recorder: &Recorder, root: &Path) {
    let mut writer = Writer::open(recorder, root, LARGE);
    writer.emit_and_sync(2);
    recorder.begin_here();
    recorder.refuse(Some("sealed"));
    let log = writer.seal();
    let in_the_way = root.join(format!("spool/{}.tail-1/in the way", log.head.log));
    fs::create_dir_all(&in_the_way).unwrap();
    archive(recorder, root, &log);
    drop(log);
    fs::remove_dir_all(in_the_way.parent().unwrap()).unwrap();
    // The sweep removes what it could not remove before, and then the mark.
    assert!(logs::spool(root, LARGE).list().unwrap().is_empty());
}

fn dead_and_refused(recorder: &Recorder, root: &Path) {
    let mut writer = Writer::open(recorder, root, SMALL);
    writer.emit_and_sync(9);
    recorder.begin_here();
    writer.die(root);
    recorder.refuse(Some("recovered"));
    recover(recorder, root, SMALL);
}

fn given_back(recorder: &Recorder, root: &Path) {
    let (log, whole) = died_given_back(recorder, root);
    let gz = BufWriter::new(File::create(log.archive_path()).unwrap());
    gzip::compress(&whole[..], gz, timestamp_of).unwrap();
    put_file(recorder, root, KEY, &log.archive_path());
    recorder.promise(|promise| promise.log.is_archived = true);
    log.remove().unwrap();
}

fn comes_back(recorder: &Recorder, root: &Path) {
    let (log, whole) = died_given_back(recorder, root);
    recorder.begin_here();
    log.fill_in(&whole[..]).unwrap();
    archive(recorder, root, &log);
}

/// A log that gave something back twice, and whose process died then; it is closed, and this is all of it.
fn died_given_back(recorder: &Recorder, root: &Path) -> (SealedLog, Vec<u8>) {
    let mut writer = Writer::open(recorder, root, LARGE);
    writer.emit_and_sync(60);
    let spool = logs::spool(root, LARGE);
    spool.id().unwrap();
    let entry = spool.list().unwrap().remove(0);
    File::create(spool.growing_path(entry.log)).unwrap();
    recorder.begin_here();
    let mut up = Vec::new();
    for most in [70_000, 140_000] {
        let bytes = fs::read(&entry.path).unwrap();
        let end = bytes[..most].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
        up.extend_from_slice(&bytes[up.len()..end]);
        let before = Arc::new(up.clone());
        recorder.promise(|promise| promise.log.up = before);
        assert!(spool.give_back(entry.log, &beginning(&up), 0).unwrap());
        writer.emit(5);
        writer.sync();
    }
    writer.die(root);
    assert!(close_dead(&spool, entry.log, None, LogEnding::Crash, PROCESS_DIED).unwrap().is_some());
    let entry = spool.list().unwrap().remove(0);
    let log = spool.take_sealed(&entry, None).unwrap().unwrap();
    let whole = logs::content(&log, &up).unwrap();
    recorder.promise(|promise| promise.log.sealed = Some(whole.clone()));
    (log, whole)
}

/// What is noted of these lines of a log when they are given back.
fn beginning(lines: &[u8]) -> GivenBack {
    let mut count = LogCount::default();
    lines.split_inclusive(|byte| *byte == b'\n').for_each(|line| count.line(line));
    let head = lines.split_inclusive(|byte| *byte == b'\n').next().unwrap();
    GivenBack {
        head: String::from_utf8(head.to_owned()).unwrap(),
        raw_bytes: lines.len() as u64,
        lines: lines.split_inclusive(|byte| *byte == b'\n').count() as u64,
        count,
        last_micros: lines.split(|byte| *byte == b'\n').filter_map(timestamp_of).next_back(),
        output: [0; 2],
        raw_sha256: gzip::state_of(&Sha256::new_with_prefix(lines)),
        noted: serde_json::Value::Null,
    }
}

fn shelved(recorder: &Recorder, root: &Path) {
    let first = put(recorder, root, "a/b/first", &[b'a'; 9000], true);
    assert_eq!(put(recorder, root, "a/b/first", &[b'a'; 9000], true), first);
    put(recorder, root, "a/second", b"second", true);
}

fn replaced(recorder: &Recorder, root: &Path) {
    let first = put(recorder, root, "file.txt", &[b'a'; 5000], false);
    let second = put(recorder, root, "file.txt", &[b'b'; 9000], false);
    assert_ne!(first, second);
}

fn deleted(recorder: &Recorder, root: &Path) {
    let first = put(recorder, root, "file.txt", b"first", false);
    let second = put(recorder, root, "file.txt", b"second", false);
    for version in [Some(first.as_str()), None, Some(second.as_str())] {
        recorder.promise(|promise| promise.shelf.lets_go("file.txt", version));
        objects::delete(root, "file.txt", version);
        recorder.promise(|promise| promise.shelf.has_lost("file.txt", version));
    }
    let third = put(recorder, root, "third.txt", b"third", false);
    recorder.promise(|promise| promise.shelf.lets_go("third.txt", Some(&third)));
    objects::delete(root, "third.txt", Some(&third));
    recorder.promise(|promise| promise.shelf.has_lost("third.txt", Some(&third)));
    recorder.promise(|promise| promise.shelf.has_lost("third.txt", None));
}
