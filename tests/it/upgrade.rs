//! What an older version left is taken over: its rows, its archives, and the logs in its spool.
//!
//! `upgrade/` was made by the version before logs had rows of their own: one run whose log is archived, one
//! whose log fell back, one killed before its log was stored, one killed in its parse, and one killed in its
//! parse past the cap of its log.

use std::path::Path;
use std::{fs, io};

use parselog::record::{LogEnding, Record};
use sqlx::{Connection, PgConnection};

use crate::support::{Desk, TestDb};

/// What the letters' log says of each letter.
const LETTERS: [&str; 3] = ["letter A", "letter B", "letter C"];

/// Emitted by the run past its cap, beside the two events of the run itself.
const EMITTED: u64 = 2000;

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

/// A database, a spool and an object store as the older version left them.
async fn before() -> Desk {
    let desk = Desk { db: TestDb::empty().await, home: tempfile::tempdir().unwrap() };
    let left = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/upgrade");
    for folder in ["spool", "objects"] {
        copy(&left.join(folder), &desk.home.path().join(folder)).unwrap();
    }
    let dump = fs::read_to_string(left.join("database.sql")).unwrap();
    let dump = dump.replace("@HOME@", desk.home.path().to_str().unwrap());
    // The dump changes settings of its connection.
    let mut connection = PgConnection::connect(&desk.db.url()).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(dump)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    desk
}

fn records(desk: &Desk, file: &str) -> Vec<Record> {
    let lines = desk.stdout(&["logs", file, "--json"]);
    lines.split_inclusive(|byte| *byte == b'\n').map(|line| Record::decode(line).expect("a record")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_version_before_left_is_migrated_and_worked_off() {
    let desk = before().await;
    let said = desk.run(&["worker", "--drain"]);
    assert!(said.code != 0 && said.err.contains("parselog migrate"), "{}", said.err);
    desk.ok(&["migrate"]);
    desk.ok(&["worker", "--drain"]);

    let runs = desk.ok(&["runs", "--json"]).json();
    assert_eq!(runs.len(), 5);
    for run in &runs {
        assert_eq!((&run["log_state"], run["logs_uri"].is_string()), (&"archived".into(), true), "{run}");
        assert_eq!(run["archive_error"], serde_json::Value::Null, "{run}");
        let ending = if ["open.txt", "capped.txt"].contains(&run["name"].as_str().unwrap()) {
            "crash"
        } else {
            "success"
        };
        assert_eq!(run["status"], ending, "{run}");
    }
    assert_eq!(fs::read_dir(desk.home.path().join("spool")).unwrap().count(), 0, "something is left");
    desk.ok(&["verify", "--all"]);
    let said = desk.ok(&["doctor", "--json"]);
    assert_eq!(said.out, "", "the doctor found something");

    for file in ["fallback.txt", "sealed.txt"] {
        let said: Vec<String> = records(&desk, file).into_iter().map(|record| record.message).collect();
        assert!(LETTERS.iter().all(|letter| said.iter().any(|said| said == letter)), "{file}: {said:?}");
    }
    assert!(records(&desk, "tanf-active-2021-q1.txt").len() > 10);

    let open = records(&desk, "open.txt");
    let letters = open.iter().filter(|record| record.message.starts_with("letter ")).count();
    assert_eq!((letters, tail(&open).0), (20, LogEnding::Crash));
    let capped = records(&desk, "capped.txt");
    let stored = capped.iter().filter(|record| record.message.starts_with("letter ")).count() as u64;
    let (ending, dropped) = tail(&capped);
    assert_eq!((ending, stored + dropped), (LogEnding::Crash, EMITTED));
    assert!(dropped > 0 && capped.iter().any(|record| record.cut.is_some()));
}

fn tail(records: &[Record]) -> (LogEnding, u64) {
    let tail = records.last().and_then(|record| record.tail.as_ref()).expect("a tail");
    (tail.ending, tail.dropped)
}
