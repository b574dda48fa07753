//! What one event costs at its call site, side by side in one run: a parselog scope, the usual Rust
//! stack (tracing-subscriber's JSON and tracing-appender, both ways) and Python's
//! `logging.FileHandler`.
//!
//! Every contender logs the same event with the same fields to a file in the same folder. The
//! figures of a noisy machine mean little; the ratios of one run are what counts. An argument picks
//! the contenders whose name contains it: `make bench BENCH="event -- scope"`.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use chrono::Utc;
use parselog::ids::{BatchId, DataFileId, RunId};
use parselog::record::{Ending, Head, SCHEMA_VERSION};
use parselog::scope::LogScope;
use parselog::spool::{Spool, Syncer};
use parselog::telemetry;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Registry, fmt};

const EVENTS: u64 = 200_000;
const ROUNDS: usize = 5;

const PYTHON: &str = r#"
import json, logging, sys, time
class Json(logging.Formatter):
    def format(self, r):
        return json.dumps({"timestamp": self.formatTime(r), "level": r.levelname, "target": r.name,
            "message": r.getMessage(), "record": r.record, "source": f"{r.filename}:{r.lineno}",
            "fields": {"category": r.category, "record_type": r.record_type, "item": r.item, "field": r.field}})
events, path, style = int(sys.argv[1]), sys.argv[2], sys.argv[3]
handler = logging.FileHandler(path)
handler.setFormatter(Json() if style == "json" else logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
log = logging.getLogger("parselog.problem")
log.propagate = False
log.addHandler(handler)
start = time.perf_counter()
for n in range(events):
    log.warning("item %d %s is not between %d and %d", 30, "SEX", 1, 2,
        extra={"record": n, "category": 2, "record_type": "T1", "item": "30", "field": "SEX"})
print((time.perf_counter() - start) / events * 1e9)
"#;

/// Logs all events into a folder and returns the nanoseconds that each took.
type Measure<'a> = &'a dyn Fn(&Path) -> f64;

fn main() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder for the logs");
    let contenders: [(&str, Measure<'_>); 6] = [
        ("parselog scope", &scope),
        ("tracing-subscriber JSON, appender, written at the call", &blocking),
        ("tracing-subscriber JSON, appender, non-blocking", &non_blocking),
        ("Python logging.FileHandler, text", &|path| python(path, "text")),
        ("Python logging.FileHandler, the same JSON", &|path| python(path, "json")),
        ("one bare write(2) of such a line", &bare_write),
    ];
    // Cargo adds `--bench` to what the user gave.
    let picked = std::env::args().skip(1).find(|argument| argument != "--bench").unwrap_or_default();
    let mut best = [f64::INFINITY; 6];
    for _ in 0..ROUNDS {
        for ((name, measure), best) in contenders.iter().zip(&mut best) {
            if name.contains(&picked) {
                *best = best.min(measure(dir.path()));
            }
        }
    }
    println!("cost of one event at its call site, best of {ROUNDS} rounds of {EVENTS} events:");
    for ((name, _), nanos) in contenders.iter().zip(best) {
        if nanos.is_finite() {
            println!("  {nanos:8.0} ns  {:5.1} x  {name}", nanos / best[0]);
        }
    }
}

fn log_events() {
    for record in 0..EVENTS {
        tracing::warn!(
            target: "parselog::problem",
            record,
            category = 2,
            record_type = "T1",
            item = "30",
            field = "SEX",
            "item {} {} is not between {} and {}",
            30,
            "SEX",
            1,
            2
        );
    }
}

/// Nanoseconds for each event of `work`.
fn timed(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_nanos() as f64 / EVENTS as f64
}

fn scope(dir: &Path) -> f64 {
    let spool = Spool::open(&dir.join("spool"), 1 << 40).expect("a spool");
    let layer = telemetry::layer("info".parse().expect("levels"), "info".parse().expect("levels"), drop);
    let syncer = Syncer::start();
    let subscriber = Registry::default().with(layer);
    tracing::subscriber::with_default(subscriber, || {
        let (scope, error) = LogScope::open(&spool, &syncer, &head());
        assert!(error.is_none());
        let nanos = timed(|| scope.span().in_scope(log_events));
        let log = scope.seal(Ending::Success, None).expect("sealed").expect("a file");
        assert_eq!((log.tail.events.warn, log.tail.dropped), (EVENTS, 0));
        log.remove().expect("removed");
        nanos
    })
}

fn blocking(dir: &Path) -> f64 {
    let appender = tracing_appender::rolling::never(dir, "blocking.log");
    let layer = fmt::layer().json().with_file(true).with_line_number(true).with_writer(appender);
    let nanos = tracing::subscriber::with_default(Registry::default().with(layer), || timed(log_events));
    fs::remove_file(dir.join("blocking.log")).expect("removed");
    nanos
}

fn non_blocking(dir: &Path) -> f64 {
    let appender = tracing_appender::rolling::never(dir, "non-blocking.log");
    // Without `lossy(false)` it would be fast by dropping lines.
    let (writer, guard) =
        tracing_appender::non_blocking::NonBlockingBuilder::default().lossy(false).finish(appender);
    let layer = fmt::layer().json().with_file(true).with_line_number(true).with_writer(writer);
    let nanos = tracing::subscriber::with_default(Registry::default().with(layer), || timed(log_events));
    drop(guard);
    fs::remove_file(dir.join("non-blocking.log")).expect("removed");
    nanos
}

fn python(dir: &Path, style: &str) -> f64 {
    let path = dir.join("python.log");
    let output = Command::new("python3")
        .args(["-c", PYTHON, &(EVENTS / 4).to_string()])
        .arg(&path)
        .arg(style)
        .output()
        .expect("python3 is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::remove_file(path).expect("removed");
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number")
}

fn bare_write(dir: &Path) -> f64 {
    let path = dir.join("bare.log");
    let mut file = File::options().append(true).create_new(true).open(&path).expect("a file");
    let line = [b'x'; 280];
    let nanos = timed(|| (0..EVENTS).for_each(|_| file.write_all(&line).expect("written")));
    fs::remove_file(path).expect("removed");
    nanos
}

fn head() -> Head {
    Head {
        version: SCHEMA_VERSION,
        run: RunId::new(),
        lease_token: uuid::Uuid::new_v4(),
        attempt: 1,
        data_file: DataFileId(1),
        batch: BatchId(1),
        reparse: None,
        bucket: "bench".to_owned(),
        key: "file".to_owned(),
        object_version: String::new(),
        log_key: "log".to_owned(),
        worker: "bench".to_owned(),
        started: Utc::now(),
    }
}
