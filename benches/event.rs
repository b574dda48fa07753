//! What one event costs at its call site, side by side in one run: a parselog scope, the usual Rust
//! stack (tracing-subscriber's JSON and tracing-appender, both ways) and Python's
//! `logging.FileHandler`.
//!
//! Every contender logs the same event with the same fields, as often, to a file in the same folder;
//! one that writes later is waited for. Then so do several threads at once; and last the same event at a level
//! that is off, beside the plain subscriber of tracing-subscriber. The figures of a noisy machine mean little; the ratios of one run are what counts. An argument picks the contenders whose
//! name contains it: `make bench BENCH="event -- scope"`.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Instant;

use parselog_benches::{in_runs, subscriber};
use tracing::{Dispatch, Span, dispatcher};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt};
use tracing_subscriber::{Registry, fmt};

const EVENTS: u64 = 200_000;
const ROUNDS: usize = 5;
const THREADS: u64 = 2;
const CONTENDERS: usize = 12;

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

/// Logs all events into a folder, by so many threads, and returns the nanoseconds that each took.
type Measure<'a> = &'a dyn Fn(&Path, u64) -> f64;

fn main() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder for the logs");
    let scope: Measure<'_> = &|dir, threads| parselog(dir, threads, 1);
    let of_their_own: Measure<'_> = &|dir, threads| parselog(dir, threads, threads);
    let contenders: [(&str, u64, Measure<'_>); CONTENDERS] = [
        ("parselog scope", 1, scope),
        ("tracing-subscriber JSON, appender, written at the call", 1, &blocking),
        ("tracing-subscriber JSON, appender, non-blocking", 1, &non_blocking),
        ("Python logging.FileHandler, text", 1, &|path, _| python(path, "text")),
        ("Python logging.FileHandler, the same JSON", 1, &|path, _| python(path, "json")),
        ("one bare write(2) of such a line", 1, &|path, _| bare_write(path)),
        ("parselog scope, of one run", THREADS, scope),
        ("parselog scope, a run for each", THREADS, of_their_own),
        ("tracing-subscriber JSON, appender, written at the call", THREADS, &blocking),
        ("tracing-subscriber JSON, appender, non-blocking", THREADS, &non_blocking),
        ("parselog scope, a level that is off", 1, &|dir, _| parselog_off(dir)),
        ("tracing-subscriber JSON, a level that is off", 1, &|_, _| tracing_off()),
    ];
    // Cargo adds `--bench` to what the user gave.
    let picked = std::env::args().skip(1).find(|argument| argument != "--bench").unwrap_or_default();
    let mut best = [f64::INFINITY; CONTENDERS];
    for _ in 0..ROUNDS {
        for ((name, threads, measure), best) in contenders.iter().zip(&mut best) {
            if name.contains(&picked) {
                *best = best.min(measure(dir.path(), *threads));
            }
        }
    }
    println!("time for one event, best of {ROUNDS} rounds of {EVENTS} events by each thread:");
    for ((name, threads, _), nanos) in contenders.iter().zip(best).filter(|(_, nanos)| nanos.is_finite()) {
        // Against the first that was measured with as many threads.
        let same = contenders.iter().zip(best).filter(|((_, others, _), _)| others == threads);
        let first = same.map(|(_, nanos)| nanos).find(|nanos| nanos.is_finite()).unwrap_or(nanos);
        println!("  {nanos:8.1} ns  {:5.1} x  {threads} thread(s), {name}", nanos / first);
    }
}

/// Logs all events at a level.
macro_rules! log_at {
    ($level:ident) => {
        for record in 0..EVENTS {
            tracing::event!(
                target: "parselog::problem",
                tracing::Level::$level,
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
    };
}

fn log_events() {
    log_at!(WARN);
}

/// The same at a level that nobody wants.
fn log_nothing() {
    log_at!(TRACE);
}

/// Nanoseconds for each event of `work`, which logs so often [`EVENTS`].
fn timed(times: u64, work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_nanos() as f64 / (EVENTS * times) as f64
}

/// Logs in so many threads at once, each under the dispatcher and in the span that `number` gives it.
#[expect(clippy::disallowed_methods, reason = "each thread enters the span that it is given")]
fn in_threads(threads: u64, dispatch: &Dispatch, span_of: impl Fn(u64) -> Span) {
    if threads == 1 {
        // A thread of its own would be counted with the events.
        return dispatcher::with_default(dispatch, || span_of(0).in_scope(log_events));
    }
    thread::scope(|scope| {
        for number in 0..threads {
            let span = span_of(number);
            scope.spawn(move || dispatcher::with_default(dispatch, || span.in_scope(log_events)));
        }
    });
}

fn parselog(dir: &Path, threads: u64, runs: u64) -> f64 {
    let dispatch = Dispatch::new(subscriber());
    let (nanos, tails) = dispatcher::with_default(&dispatch, || {
        in_runs(usize::try_from(runs).expect("few"), dir, |scopes| {
            let span_of = |number| scopes[usize::try_from(number % runs).expect("few")].span().clone();
            timed(threads, || in_threads(threads, &dispatch, span_of))
        })
    });
    assert!(tails.iter().all(|tail| (tail.events.warn, tail.dropped) == (EVENTS * threads / runs, 0)));
    nanos
}

fn parselog_off(dir: &Path) -> f64 {
    let dispatch = Dispatch::new(subscriber());
    let (nanos, tails) = dispatcher::with_default(&dispatch, || {
        in_runs(1, dir, |scopes| scopes[0].span().in_scope(|| timed(1, log_nothing)))
    });
    assert!(tails.iter().all(|tail| tail.events.total() == 0));
    nanos
}

fn tracing_off() -> f64 {
    let layer = fmt::layer().json().with_writer(std::io::sink).with_filter(LevelFilter::INFO);
    let dispatch = Dispatch::new(Registry::default().with(layer));
    dispatcher::with_default(&dispatch, || timed(1, log_nothing))
}

fn json<W>(writer: W) -> Dispatch
where
    W: for<'a> fmt::MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = fmt::layer().json().with_file(true).with_line_number(true).with_writer(writer);
    Dispatch::new(Registry::default().with(layer))
}

fn blocking(dir: &Path, threads: u64) -> f64 {
    let dispatch = json(tracing_appender::rolling::never(dir, "blocking.log"));
    let nanos = timed(threads, || in_threads(threads, &dispatch, |_| Span::none()));
    fs::remove_file(dir.join("blocking.log")).expect("removed");
    nanos
}

fn non_blocking(dir: &Path, threads: u64) -> f64 {
    let appender = tracing_appender::rolling::never(dir, "non-blocking.log");
    // Without `lossy(false)` it would be fast by dropping lines.
    let (writer, guard) =
        tracing_appender::non_blocking::NonBlockingBuilder::default().lossy(false).finish(appender);
    let dispatch = json(writer);
    let nanos = timed(threads, || {
        in_threads(threads, &dispatch, |_| Span::none());
        drop(guard); // Waits until all is written.
    });
    fs::remove_file(dir.join("non-blocking.log")).expect("removed");
    nanos
}

fn python(dir: &Path, style: &str) -> f64 {
    let path = dir.join("python.log");
    let output = Command::new("python3")
        .args(["-c", PYTHON, &EVENTS.to_string()])
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
    let nanos = timed(1, || (0..EVENTS).for_each(|_| file.write_all(&line).expect("written")));
    fs::remove_file(path).expect("removed");
    nanos
}
