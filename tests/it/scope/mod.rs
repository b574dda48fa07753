//! The log scope and its spool: who logs where, and what is in the file.

mod descriptors;
mod entered;
mod keeping;
mod long;
mod refuge;
mod sorting;
mod unhideable;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Barrier, Mutex, Once};
use std::time::{Duration, Instant};

use parselog::config::Levels;
use parselog::ids::LogId;
use parselog::record::{Head, Level, LogEnding, Record};
use parselog::recovery::close_dead;
use parselog::scope::LogScope;
use parselog::spool::{MissingEvents, PROCESS_DIED, SealedLog, Spool, SpooledLog, Syncer};
use parselog::{carry, telemetry};
use tracing::Instrument;
use tracing_subscriber::Registry;
use tracing_subscriber::layer::SubscriberExt;

use crate::support::{PATIENCE, head};

/// What reached the global log of this test process.
static GLOBAL: Mutex<Vec<Record>> = Mutex::new(Vec::new());

/// A spool, under the one subscriber of the process.
pub(crate) struct Desk {
    dir: tempfile::TempDir,
    spool: Spool,
    syncer: Syncer,
}

impl Desk {
    pub(crate) fn new(cap: u64) -> Self {
        install();
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(&dir.path().join("spool"), cap).unwrap();
        Self { dir, spool, syncer: Syncer::start() }
    }

    pub(crate) fn open(&self) -> LogScope {
        let (scope, error) = LogScope::open(&self.spool, &self.syncer, &head());
        assert!(error.is_none(), "{error:?}");
        scope
    }

    /// The messages that its open logs have by now.
    pub(crate) fn heard(&self) -> Vec<String> {
        let logs = self.files().into_iter().filter_map(|path| fs::read(path).ok());
        let lines = |log: Vec<u8>| -> Vec<_> {
            let lines = log.split(|byte| matches!(byte, b'\n' | 0)).filter_map(Record::decode);
            lines.filter(Record::is_event).map(|event| event.message).collect()
        };
        logs.flat_map(lines).collect()
    }

    fn files(&self) -> Vec<PathBuf> {
        fs::read_dir(self.dir.path().join("spool")).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

/// Sets up logging as a worker does, once for all tests of the process.
pub fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let layer =
            telemetry::layer(levels("info"), levels("info"), |record| GLOBAL.lock().unwrap().push(record));
        tracing::subscriber::set_global_default(Registry::default().with(layer)).unwrap();
        tracing_log::LogTracer::init().unwrap();
        // Other tests' panics are still to be read on the screen.
        let shown = std::panic::take_hook();
        telemetry::log_panics();
        let logged = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            logged(panic);
            shown(panic);
        }));
    });
}

/// A list of levels.
pub(crate) fn levels(text: &str) -> Levels {
    text.parse().unwrap()
}

/// The records of the global log with this message.
pub fn global(message: &str) -> Vec<Record> {
    GLOBAL.lock().unwrap().iter().filter(|record| record.message == message).cloned().collect()
}

pub(crate) fn seal(scope: LogScope) -> SealedLog {
    scope.seal(LogEnding::Success, None).unwrap().unwrap()
}

fn records(path: &Path) -> Vec<Record> {
    let text = fs::read(path).unwrap();
    assert!(text.is_empty() || text.ends_with(b"\n"), "the log ends in the middle of a line");
    text.split_inclusive(|byte| *byte == b'\n')
        .map(|line| {
            Record::decode(line).unwrap_or_else(|| panic!("no record: {}", String::from_utf8_lossy(line)))
        })
        .collect()
}

pub(crate) fn events(path: &Path) -> Vec<Record> {
    records(path).into_iter().filter(Record::is_event).collect()
}

/// Emitted = stored + declared dropped, and the tail says the same as the lines.
fn assert_accounts(log: &SealedLog, emitted: u64) {
    let events = events(log.path());
    assert_eq!(log.tail.events.total(), events.len() as u64);
    assert_eq!(log.tail.events.total() + log.tail.dropped, emitted);
    for level in Level::ALL {
        assert_eq!(
            log.tail.events.get(level),
            events.iter().filter(|event| event.level == level).count() as u64
        );
    }
    assert!(events.windows(2).all(|pair| pair[0].seq < pair[1].seq), "events out of order");
    assert_eq!(log.lines, records(log.path()).len() as u64);
}

/// Takes over a log. Its lock may be held for a moment longer: by the sync that goes on beside it, and
/// by a child that another test is about to start.
fn take(desk: &Desk, entry: &SpooledLog) -> SealedLog {
    let began = Instant::now();
    loop {
        if let Some(log) = close_dead(&desk.spool, entry.log, None, LogEnding::Crash, PROCESS_DIED).unwrap() {
            return log;
        }
        assert!(began.elapsed() < PATIENCE, "somebody holds the log");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Runs an ignored test of this program in a process of its own.
fn in_its_own_process(test: &str) {
    let this = std::env::current_exe().unwrap();
    let output = std::process::Command::new(this)
        .args(["--exact", test, "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}
