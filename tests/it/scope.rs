//! The log scope and its spool: who logs where, and what is in the file.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Barrier, Mutex, Once};

use chrono::Utc;
use parselog::ids::{BatchId, DataFileId, RunId};
use parselog::record::{Ending, Head, Level, Record, SCHEMA_VERSION};
use parselog::scope::LogScope;
use parselog::spool::{Entry, SealedLog, Spool, Syncer};
use parselog::{carry, telemetry};
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use tracing::Instrument;
use tracing_subscriber::Registry;
use tracing_subscriber::layer::SubscriberExt;

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

    fn files(&self) -> Vec<PathBuf> {
        fs::read_dir(self.dir.path().join("spool")).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

/// Sets up logging as a worker does, once for all tests of the process.
pub fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let layer = telemetry::layer("info", "info", |record| GLOBAL.lock().unwrap().push(record)).unwrap();
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

/// The records of the global log with this message.
pub fn global(message: &str) -> Vec<Record> {
    GLOBAL.lock().unwrap().iter().filter(|record| record.message == message).cloned().collect()
}

fn head() -> Head {
    Head {
        version: SCHEMA_VERSION,
        run: RunId::new(),
        lease_token: uuid::Uuid::new_v4(),
        attempt: 1,
        data_file: DataFileId(7),
        batch: BatchId(3),
        reparse: None,
        bucket: "bucket".to_owned(),
        key: "folder/file.txt".to_owned(),
        object_version: String::new(),
        log_key: "folder/parsing_logs/x.log.gz".to_owned(),
        worker: "test".to_owned(),
        started: Utc::now(),
    }
}

pub(crate) fn seal(scope: LogScope) -> SealedLog {
    scope.seal(Ending::Success, None).unwrap().unwrap()
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

#[test]
fn an_event_in_a_scope_is_in_its_log_and_nowhere_else() {
    let desk = Desk::new(1 << 30);
    let scope = desk.open();
    tracing::info!("outside of every scope");
    scope.span().in_scope(|| {
        let span = tracing::info_span!("segment", number = 2, name = "a b");
        let _entered = span.enter();
        tracing::warn!(record = 12u64, category = 2, field = "SEX", ratio = 0.5, ok = true, "item {}", 30);
    });
    let log = seal(scope);
    assert_eq!((global("outside of every scope").len(), global("item 30").len()), (1, 0));
    let events = events(log.path());
    let [event] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((event.level, event.message.as_str(), event.record), (Level::Warn, "item 30", Some(12)));
    assert_eq!(event.span, "run:segment{number=2 name=a b}");
    assert_eq!(event.target, module_path!());
    assert!(event.source.starts_with("tests/it/scope.rs:"), "{}", event.source);
    assert_eq!(event.fields["field"], "SEX");
    assert_eq!(event.fields["ratio"], 0.5);
    assert_eq!(event.fields["ok"], true);
    assert_accounts(&log, 1);
}

#[test]
fn a_library_that_uses_the_log_crate_and_a_panic_land_in_the_scope() {
    let desk = Desk::new(1 << 30);
    let scope = desk.open();
    scope.span().in_scope(|| {
        log::warn!(target: "some::library", "from the {} crate", "log");
        log::debug!("hidden");
        std::panic::catch_unwind(|| panic!("a parser broke")).unwrap_err();
    });
    let events = events(seal(scope).path());
    let [library, panic] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((library.target.as_str(), library.message.as_str()), ("some::library", "from the log crate"));
    assert!(library.fields.is_empty() && library.source.starts_with("tests/it/scope.rs:"), "{library:?}");
    assert_eq!((panic.level, panic.message.as_str()), (Level::Error, "panicked: a parser broke"));
    assert!(panic.fields["location"].as_str().unwrap().starts_with("tests/it/scope.rs:"));
}

#[test]
fn events_below_the_level_are_not_kept_and_a_span_below_it_does_not_hide_the_scope() {
    let desk = Desk::new(1 << 30);
    let scope = desk.open();
    scope.span().in_scope(|| {
        tracing::debug!("hidden");
        tracing::debug_span!("hidden").in_scope(|| tracing::info!("seen under a hidden span"));
    });
    let messages: Vec<_> = events(seal(scope).path()).into_iter().map(|event| event.message).collect();
    assert_eq!(messages, ["seen under a hidden span"]);
    assert!(global("seen under a hidden span").is_empty());
}

#[test]
fn hostile_text_forges_no_line_and_reaches_no_terminal() {
    let desk = Desk::new(1 << 30);
    let hostile = "a\nb\r\0\x1b[31mred\u{202e}evil\u{2028}\u{85}\"}\\";
    let scope = desk.open();
    scope.span().in_scope(|| tracing::error!(value = hostile, "{hostile}"));
    let log = seal(scope);
    let raw = fs::read_to_string(log.path()).unwrap();
    assert_eq!(raw.lines().count(), 3);
    assert!(!raw.chars().any(|c| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c)));
    let event = &events(log.path())[0];
    assert_eq!((event.message.as_str(), event.fields["value"].as_str()), (hostile, Some(hostile)));
    let shown = parselog::record::Text { record: event, color: false }.to_string();
    assert!(!shown.chars().any(char::is_control), "{shown:?}");
}

#[test]
fn a_megabyte_value_is_cut_and_says_so() {
    let desk = Desk::new(1 << 30);
    let scope = desk.open();
    scope.span().in_scope(|| tracing::info!("{}", "é".repeat(1 << 20)));
    let event = &events(seal(scope).path())[0];
    assert!(
        event.message.len() < 70_000 && event.message.ends_with("more bytes]"),
        "{}",
        event.message.len()
    );
}

#[test]
fn two_hundred_runs_on_tasks_threads_and_pools_misplace_no_line() {
    const RUNS: usize = 200;
    const EACH: usize = 25;
    let desk = Desk::new(1 << 30);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let pool = Arc::new(rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap());
    let started = Arc::new(tokio::sync::Barrier::new(RUNS));
    let work = |number: usize, how: &str| {
        for event in 0..EACH {
            tracing::info!(run = number, event, "{how}");
        }
    };
    let finished = runtime.block_on(async {
        let mut tasks = Vec::new();
        for number in 0..RUNS {
            let scope = desk.open();
            let (started, pool) = (Arc::clone(&started), Arc::clone(&pool));
            let task = async move {
                started.wait().await;
                work(number, "task");
                tokio::task::yield_now().await;
                carry::spawn(async move { work(number, "spawned") }).await.unwrap();
                let thread = carry::thread(move || work(number, "thread"));
                let pooled = carry::spawn_blocking(move || {
                    work(number, "blocking");
                    let each = carry::each(|_: usize| work(number, "pool"));
                    pool.install(|| (0..2).into_par_iter().for_each(each));
                });
                pooled.await.unwrap();
                carry::spawn_blocking(move || thread.join().unwrap()).await.unwrap();
            };
            let span = scope.span().clone();
            tasks.push((number, scope, runtime.handle().spawn(task.instrument(span))));
        }
        let mut done = Vec::new();
        for (number, scope, task) in tasks {
            task.await.unwrap();
            done.push((number, scope));
        }
        done
    });
    for (number, scope) in finished {
        let log = seal(scope);
        let events = events(log.path());
        assert!(
            events.iter().all(|event| event.fields["run"] == number),
            "a line of another run in run {number}"
        );
        for (how, times) in [("task", 1), ("spawned", 1), ("blocking", 1), ("thread", 1), ("pool", 2)] {
            assert_eq!(events.iter().filter(|event| event.message == how).count(), times * EACH, "{how}");
            assert!(global(how).is_empty());
        }
        assert_accounts(&log, 6 * EACH as u64);
    }
}

#[test]
fn threads_that_log_at_once_lose_and_tear_nothing() {
    let desk = Desk::new(1 << 30);
    let barrier = Arc::new(Barrier::new(8));
    let scope = desk.open();
    scope.span().in_scope(|| {
        let log = |thread: usize, barrier: Arc<Barrier>| {
            barrier.wait();
            for event in 0..2_000 {
                tracing::info!(thread, event, "{}", "x".repeat(event % 300));
            }
        };
        let threads: Vec<_> = (0..8)
            .map(|thread| {
                let barrier = Arc::clone(&barrier);
                carry::thread(move || log(thread, barrier))
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    assert_accounts(&seal(scope), 16_000);
}

#[test]
fn a_log_past_its_cap_keeps_head_errors_and_tail_in_order() {
    const EVENTS: u64 = 20_000;
    let desk = Desk::new(256 * 1024);
    let scope = desk.open();
    scope.span().in_scope(|| {
        for event in 1..=EVENTS {
            if event % 1000 == 0 { tracing::error!(event, "bad") } else { tracing::info!(event, "good") }
        }
    });
    let log = seal(scope);
    assert_accounts(&log, EVENTS);
    assert!(fs::metadata(log.path()).unwrap().len() < 300 * 1024);
    let events = events(log.path());
    assert_eq!((events[0].seq, events.last().unwrap().seq), (1, EVENTS));
    assert_eq!(events.iter().filter(|event| event.level == Level::Error).count() as u64, EVENTS / 1000);
    let cuts: Vec<_> = records(log.path()).into_iter().filter_map(|record| record.cut).collect();
    assert_eq!(cuts.len(), 1);
    assert_eq!(cuts[0].dropped, log.tail.dropped);
    assert_eq!(desk.files().len(), 1, "segments are left: {:?}", desk.files());
}

/// A log with so many events whose process is gone.
fn abandon(desk: &Desk, count: u64) -> Entry {
    let scope = desk.open();
    scope.span().in_scope(|| (0..count).for_each(|event| tracing::info!(event, "said")));
    drop(scope);
    let entry = desk.spool.list().unwrap().remove(0);
    assert!(!entry.sealed);
    entry
}

#[test]
fn a_log_that_nobody_holds_is_closed_as_a_crash_with_every_event() {
    for (cap, count) in [(1u64 << 30, 500u64), (256 * 1024, 20_000)] {
        let desk = Desk::new(cap);
        let entry = abandon(&desk, count);
        let log = desk.spool.take_abandoned(&entry).unwrap().expect("nobody holds it");
        assert_eq!(log.tail.ending, Ending::Crash);
        assert_accounts(&log, count);
        assert_eq!(events(log.path()).last().unwrap().seq, count);
        assert_eq!(desk.files().len(), 1);
    }
}

#[test]
fn a_log_that_is_held_is_not_taken_over() {
    let desk = Desk::new(1 << 30);
    let scope = desk.open();
    let entry = desk.spool.list().unwrap().remove(0);
    assert!(desk.spool.take_abandoned(&entry).unwrap().is_none());
    let log = seal(scope);
    let entry = desk.spool.list().unwrap().remove(0);
    assert!(entry.sealed && desk.spool.take_abandoned(&entry).unwrap().is_none());
    drop(log);
    assert!(desk.spool.take_abandoned(&entry).unwrap().is_some());
}

#[test]
fn a_torn_or_zeroed_end_costs_only_the_torn_record() {
    for damage in [&b"{\"timestamp\":\"2026-11-"[..], &[0u8; 5000][..], b"{\"timestamp\":\0\0\0\"x\"}\n"] {
        let desk = Desk::new(1 << 30);
        let entry = abandon(&desk, 10);
        let mut content = fs::read(&entry.path).unwrap();
        content.truncate(content.iter().rposition(|byte| *byte != 0).unwrap() + 1);
        content.extend_from_slice(damage);
        fs::write(&entry.path, content).unwrap();
        let log = desk.spool.take_abandoned(&entry).unwrap().unwrap();
        assert_accounts(&log, 10);
    }
}

#[test]
fn a_hole_in_a_log_is_counted_as_dropped() {
    let desk = Desk::new(1 << 30);
    let entry = abandon(&desk, 100);
    let mut content = fs::read(&entry.path).unwrap();
    let starts: Vec<_> =
        content.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1).collect();
    // The lines 41 to 50, of the events 40 to 49: the disk lost a page of the middle.
    content[starts[39]..starts[49] - 1].fill(0);
    fs::write(&entry.path, content).unwrap();
    let log = desk.spool.take_abandoned(&entry).unwrap().unwrap();
    assert_eq!((log.tail.events.total(), log.tail.dropped), (39, 61));
    assert_accounts(&log, 100);
}

#[test]
fn a_log_that_is_cut_under_its_writer_costs_events_and_not_the_process() {
    let desk = Desk::new(1 << 30);
    let scope = desk.open();
    scope.span().in_scope(|| (0..2000).for_each(|event| tracing::info!(event, "before the cut")));
    let path = desk.files().remove(0);
    File::options().write(true).open(&path).unwrap().set_len(100).unwrap();
    scope.span().in_scope(|| tracing::warn!("at the cut"));
    assert_eq!((scope.dropped(), global("at the cut").len()), (1, 1), "it went to the global log");
    scope.span().in_scope(|| tracing::warn!("after the cut"));
    assert_eq!((scope.dropped(), scope.emitted()), (1, 2002), "the log goes on");
    let refused = scope.seal(Ending::Success, None).unwrap_err();
    assert!(refused.to_string().contains("can't be read any more"), "{refused}");
}

#[test]
fn events_after_the_seal_or_without_a_file_leave_for_the_global_log_with_the_run_id() {
    let desk = Desk::new(1 << 30);
    let scope = desk.open();
    let span = scope.span().clone();
    seal(scope);
    span.in_scope(|| tracing::warn!("said after the seal"));
    fs::remove_dir_all(desk.dir.path().join("spool")).unwrap();
    let (scope, error) = LogScope::open(&desk.spool, &desk.syncer, &head());
    assert!(error.is_some());
    scope.span().in_scope(|| tracing::warn!("said without a file"));
    assert!(scope.seal(Ending::Success, None).unwrap().is_none());
    for message in ["said after the seal", "said without a file"] {
        let records = global(message);
        assert!(records.len() == 1 && records[0].fields.contains_key("run"), "{records:?}");
    }
}

#[test]
fn a_value_whose_debug_code_logs_does_not_stop_the_event() {
    struct Chatty;
    impl std::fmt::Debug for Chatty {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            tracing::info!("from within");
            f.write_str("chatty")
        }
    }
    let desk = Desk::new(1 << 30);
    let scope = desk.open();
    scope.span().in_scope(|| tracing::info!(value = ?Chatty, "around"));
    let messages: Vec<_> = events(seal(scope).path()).into_iter().map(|event| event.message).collect();
    assert_eq!(messages.last().map(String::as_str), Some("around"));
}

#[test]
fn a_run_with_a_log_gets_no_second_one() {
    let desk = Desk::new(1 << 30);
    let head = head();
    let _first = desk.spool.create(&head).unwrap();
    let error = desk.spool.create(&head).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!(desk.files().len(), 1);
}
