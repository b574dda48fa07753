//! Reading logs: which lines, what they cost, and following one that grows.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use parselog::gzip;
use parselog::ids::LogId;
use parselog::objects::{FolderStore, Objects};
use parselog::reader::{Cost, LogSource, Selection};
use parselog::record::timestamp_of;
use parselog::store::piece::{LogPiece, PiecePlace};
use parselog::store::{follow, piece};
use tempfile::TempDir;

use crate::support::{Desk, PATIENCE, TestDb, sample_text};

/// A log of about `bytes` bytes, made as it is read, with lines such as parsers write.
pub(crate) struct Invented {
    line: Vec<u8>,
    at: usize,
    number: u64,
    left: u64,
}

pub(crate) fn invented(bytes: u64) -> Invented {
    Invented { line: Vec::new(), at: 0, number: 0, left: bytes }
}

/// In an invented log each line of so many is an error, and the others are warnings.
pub(crate) const LINES_FOR_AN_ERROR: u64 = 1_000_000;

fn line(number: u64) -> String {
    let level = if number.is_multiple_of(LINES_FOR_AN_ERROR) { "ERROR" } else { "WARN" };
    let mixed =
        number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31).wrapping_mul(0xd6e8_feb8_6659_fd93);
    let (seconds, micros) = (number / 50_000, number % 50_000 * 20);
    let (item, value, month) = (mixed % 89, mixed >> 40, 202_001 + mixed % 12);
    format!(
        "{{\"timestamp\":\"2026-11-21T{:02}:{:02}:{:02}.{micros:06}Z\",\"seq\":{number},\"level\":\"{level}\",\
         \"target\":\"parselog::problem\",\"message\":\"item {item} is {value} and must be between 1 and 3\",\
         \"record\":{number},\"source\":\"src/parser/problem.rs:106\",\"span\":\"run\",\"fields\":{{\
         \"category\":2,\"record_type\":\"T1\",\"item\":\"{item}\",\"month\":\"{month}\",\"case\":{}}}}}\n",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        mixed >> 20 & 0xffff,
    )
}

impl Read for Invented {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.line.len() {
            if self.left == 0 {
                return Ok(0);
            }
            self.number += 1;
            self.line = line(self.number).into_bytes();
            self.left = self.left.saturating_sub(self.line.len() as u64);
            self.at = 0;
        }
        let read = (&self.line[self.at..]).read(buffer)?;
        self.at += read;
        Ok(read)
    }
}

/// An archived log of this size.
struct Archive {
    _folder: TempDir,
    objects: Objects,
    source: LogSource,
    lines: u64,
}

fn archive(bytes: u64) -> Archive {
    let folder = TempDir::new().unwrap();
    let objects = Objects::Folder(FolderStore::open(folder.path()).unwrap());
    fs::create_dir(folder.path().join("logs")).unwrap();
    let out = BufWriter::new(File::create(folder.path().join("logs/big.log.gz")).unwrap());
    let summary =
        gzip::compress(BufReader::with_capacity(1 << 20, invented(bytes)), out, timestamp_of).unwrap();
    let uri = objects.uri("logs", "big.log.gz", None).unwrap();
    let source = LogSource::Archive { uri, raw_bytes: summary.raw_bytes };
    Archive { _folder: folder, objects, source, lines: summary.lines }
}

impl Archive {
    async fn read(&self, selection: Selection) -> (Vec<String>, Cost) {
        let read = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&read);
        let each = move |line: &[u8]| {
            lines.lock().unwrap().push(String::from_utf8(line.to_vec()).unwrap());
            Ok(())
        };
        let cost = self.source.read(&self.objects, selection, each).await.unwrap();
        let read = std::mem::take(&mut *read.lock().unwrap());
        (read, cost)
    }

    async fn reads_any_200_lines_for_little(&self) {
        let numbers = |from: u64| (from + 1..=from + 200).map(line).collect::<Vec<_>>();
        for from in [0, self.lines / 3, self.lines / 2 + 17, self.lines - 200] {
            let (lines, cost) =
                self.read(Selection { lines: Some(from..from + 200), ..Selection::default() }).await;
            assert!(lines == numbers(from), "wrong lines from {from}");
            assert!(cost.gets <= 3 && cost.bytes <= 512 << 10, "lines from {from} cost {cost:?}");
        }
        let (lines, cost) = self.read(Selection { tail: Some(200), ..Selection::default() }).await;
        assert!(lines == numbers(self.lines - 200), "wrong tail");
        assert!(cost.gets <= 3 && cost.bytes <= 512 << 10, "the tail cost {cost:?}");

        let since = line(self.lines - 1000);
        let since = chrono::DateTime::from_timestamp_micros(timestamp_of(since.as_bytes()).unwrap()).unwrap();
        let (lines, cost) = self.read(Selection { since: Some(since), ..Selection::default() }).await;
        assert_eq!((lines.len(), lines[0].as_str()), (1001, line(self.lines - 1000).as_str()));
        assert!(cost.gets <= 3 && cost.bytes <= 512 << 10, "the time cost {cost:?}");
    }
}

#[tokio::test]
async fn any_200_lines_of_an_archive_cost_three_requests_and_half_a_mib_at_most() {
    archive(24 << 20).reads_any_200_lines_for_little().await;
}

#[tokio::test]
#[ignore = "takes minutes: it makes a log of 10 GB"]
async fn any_200_lines_of_a_10_gb_log_cost_as_little() {
    archive(10_000_000_000).reads_any_200_lines_for_little().await;
}

#[tokio::test]
async fn a_small_archive_is_one_request() {
    let archive = archive(1000);
    let (lines, cost) = archive.read(Selection { tail: Some(2), ..Selection::default() }).await;
    assert_eq!((lines.len(), cost.gets), (2, 1));
    let (lines, cost) = archive.read(Selection { lines: Some(1..2), ..Selection::default() }).await;
    assert_eq!((lines, cost.gets), (vec![line(2)], 1));
}

#[tokio::test]
async fn an_index_never_changes_what_a_selection_gives() {
    let archive = archive(5 << 20);
    let all: Vec<String> = (1..=archive.lines).map(line).collect();
    let n = all.len();
    let cases = [
        (Selection { head: Some(3), ..Selection::default() }, all[..3].to_vec()),
        (Selection { tail: Some(0), ..Selection::default() }, vec![]),
        (Selection { tail: Some(u64::MAX), ..Selection::default() }, all.clone()),
        (
            Selection { lines: Some(10..u64::MAX), tail: Some(2), ..Selection::default() },
            all[n - 2..].to_vec(),
        ),
        (Selection { lines: Some(n as u64..u64::MAX), ..Selection::default() }, vec![]),
        (Selection { record: Some(7000), ..Selection::default() }, all[6999..7000].to_vec()),
        (Selection { lines: Some(0..9000), record: Some(9001), ..Selection::default() }, vec![]),
        (
            Selection { fields: vec![("case".into(), "77".into())], ..Selection::default() },
            all.iter().filter(|line| line.contains("\"case\":77}")).cloned().collect(),
        ),
    ];
    for (selection, expected) in cases {
        let what = format!("{selection:?}");
        assert!(archive.read(selection).await.0 == expected, "{what}");
    }
}

#[tokio::test]
async fn logs_shows_the_lines_that_are_asked_for() {
    let desk = Desk::new().await;
    let file = desk.file("a.txt", &sample_text("tanf-active-2021-q1.txt"));
    desk.ok(&["run", &file]);
    let count = |arguments: &[&str]| {
        let arguments: Vec<&str> = ["logs", "@latest"].iter().chain(arguments).copied().collect();
        desk.ok(&arguments).out.lines().count()
    };
    let all = count(&[]);
    assert!(all > 11, "nine problems and what is around them: {all}");
    assert_eq!(count(&["--head", "3"]), 3);
    assert_eq!(count(&["--tail", "2"]), 2);
    assert_eq!(count(&["--lines", "2:5"]), 4);
    assert_eq!(count(&["--lines", "10:"]), all - 9);
    assert_eq!(count(&["--level", "warn"]), 9);
    assert_eq!(count(&["--record", "9"]), 1);
    assert_eq!(count(&["--grep", "item (12|35) "]), 2);
    assert_eq!(count(&["--field", "category=2", "--field", "item=12"]), 1);
    assert_eq!(count(&["--since", "1h"]), all);
    assert_eq!(count(&["--since", "2000-01-01", "--until", "2000-01-02"]), 0);
    assert_eq!(count(&["--attempt", "1"]), all);
    for wrong in [&["--lines", "0:3"][..], &["--grep", "("], &["--field", "x"], &["--since", "soon"]] {
        let arguments: Vec<&str> = ["logs", "@latest"].iter().chain(wrong).copied().collect();
        assert_eq!(desk.run(&arguments).code, 2, "{wrong:?}");
    }
    assert_eq!(desk.run(&["logs", "@latest", "--attempt", "2"]).code, 4);
    assert_eq!(desk.run(&["logs", "@latest", "--previous"]).code, 4);
    let said = desk.ok(&["logs", "@latest", "--tail", "1", "-o", "raw", "-v"]);
    assert!(said.json()[0]["tail"].is_object());
    assert!(said.err.starts_with("1 request, "), "{}", said.err);
}

/// A process that is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = (self.0.kill(), self.0.wait());
    }
}

/// The lines of a child's stdout as they come.
fn lines_of(child: &mut Child) -> Receiver<String> {
    let out = child.stdout.take().unwrap();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn wait_for(lines: &Receiver<String>, what: &str) -> String {
    let end = Instant::now() + PATIENCE;
    loop {
        let line = lines.recv_timeout(end.saturating_duration_since(Instant::now()));
        let line = line.unwrap_or_else(|_| panic!("'{what}' never came"));
        if line.contains(what) {
            return line;
        }
    }
}

/// A worker parses; a second process follows, with this spool of its own or the worker's.
async fn follow_with(spool: Option<&str>) {
    let desk = Desk::new().await;
    let steps = desk.home.path().to_str().unwrap().to_owned();
    let script = desk.file(
        "parser.sh",
        "echo 'step one'\nwhile [ ! -e \"$2/two\" ]; do sleep 0.02; done\necho 'step two'\n\
         while [ ! -e \"$2/three\" ]; do sleep 0.02; done\necho 'step three'\n",
    );
    let rule = format!("tanf/*=sh {script} {{file}} {steps}");
    let file = desk.file("a.txt", &sample_text("tanf-active-2021-q1-corrected.txt"));
    desk.ok(&["submit", &file]);
    let mut worker = desk.command(&["worker", "--drain", "--parser-for", &rule]);
    let worker = worker.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut worker = Running(worker);

    let mut reader = desk.command(&["logs", "-f", "a.txt"]);
    if let Some(spool) = spool {
        reader.env("PARSELOG_SPOOL", desk.home.path().join(spool));
    }
    let reader = reader.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut reader = Running(reader);
    let lines = lines_of(&mut reader.0);
    wait_for(&lines, "step one");
    desk.file("two", "");
    wait_for(&lines, "step two");
    desk.file("three", "");
    wait_for(&lines, "step three");
    wait_for(&lines, "log closed");
    assert!(reader.0.wait().unwrap().success(), "the reader did not end by itself");
    assert!(worker.0.wait().unwrap().success());
    assert_eq!(lines.recv().ok(), None, "lines behind the end");
}

#[tokio::test]
async fn pieces_for_readers_go_with_the_last_wish_and_one_that_is_shipped_again_may_only_grow() {
    let db = TestDb::new().await;
    let log = LogId::from(db.submit(&["a/1.txt"]).await[0].run_id);
    let pool = &db.pool;
    assert_eq!(follow::wanted(pool, &[log]).await.unwrap(), [], "nobody asked");
    follow::want(pool, log.as_run(), Duration::from_secs(60)).await.unwrap();
    assert_eq!(follow::wanted(pool, &[log]).await.unwrap(), [log]);
    let piece = |at: u64, lines: &str| LogPiece {
        place: PiecePlace { log, behind: false, at },
        raw_bytes: lines.len() as u64,
        bytes: lines.as_bytes().to_vec(),
    };
    let ship = async |pieces: &[LogPiece], dropped: &[PiecePlace]| {
        piece::ship(pool, None, &[log], pieces, dropped).await.unwrap()
    };
    assert_eq!(ship(&[piece(100, "one\n")], &[]).await, [log], "it is followed");
    ship(&[piece(100, "one\nmore\n"), piece(109, "two\n")], &[]).await;
    ship(&[piece(100, "one\n")], &[]).await;
    let all = [piece(100, "one\nmore\n"), piece(109, "two\n")];
    assert_eq!(piece::from_byte(pool, log, 104).await.unwrap(), all);
    assert_eq!(piece::from_byte(pool, log, 109).await.unwrap(), all[1..]);
    assert_eq!(piece::shipped_to(pool, log).await.unwrap(), 113);
    ship(&[piece(113, "three\n")], &[all[0].place]).await;
    assert_eq!(piece::after(pool, log, None, 9).await.unwrap(), [all[1].clone(), piece(113, "three\n")]);
    piece::clean(pool).await.unwrap();
    assert_eq!(piece::from_byte(pool, log, 0).await.unwrap().len(), 2, "it is still wanted");
    sqlx::query("update log_follow set wanted_until = now() - interval '1 s'").execute(pool).await.unwrap();
    piece::clean(pool).await.unwrap();
    assert_eq!(piece::from_byte(pool, log, 0).await.unwrap(), []);
}

#[tokio::test]
async fn a_second_process_follows_a_run_through_the_spool_of_the_same_machine() {
    follow_with(None).await;
}

#[tokio::test]
async fn a_second_machine_follows_a_run_through_the_database_alone() {
    follow_with(Some("another-machine")).await;
}
