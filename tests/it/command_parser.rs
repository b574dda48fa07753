//! External programs as parsers: what they say is logged, how they end is the outcome, and none of
//! them outlives its run.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{fs, thread};

use parselog::ids::{DataFileId, RunId};
use parselog::parser::{
    Cancel, CancelReason, Category, CommandOptions, CommandParser, Context, Outcome, ParseError, Parser as _, Progress,
    Submission, SummaryStatus,
};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context as LayerContext, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};

/// One captured event.
#[derive(Debug, Clone)]
struct Said {
    level: Level,
    target: String,
    in_run: bool,
    fields: BTreeMap<String, String>,
}

impl Said {
    fn message(&self) -> &str {
        &self.fields["message"]
    }
}

/// Captures every event of one subscriber.
#[derive(Clone, Default)]
struct Capture(Arc<Mutex<Vec<Said>>>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Capture {
    fn on_event(&self, event: &Event<'_>, context: LayerContext<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.0.lock().expect("no panic").push(Said {
            level: *event.metadata().level(),
            target: event.metadata().target().to_owned(),
            in_run: context.event_span(event).is_some_and(|span| span.name() == "run"),
            fields: fields.0,
        });
    }
}

#[derive(Default)]
struct Fields(BTreeMap<String, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
}

/// A run of one parser, with a folder for its files.
struct Run {
    folder: tempfile::TempDir,
    options: CommandOptions,
    cancel: Cancel,
    progress: Progress,
    said: Vec<Said>,
}

impl Run {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("a file.txt"), "HEADER\nT1202010\nT120201\nTRAILER\n").expect("a file");
        let options = CommandOptions {
            timeout: Duration::from_secs(60),
            grace: Duration::from_millis(300),
            ..CommandOptions::default()
        };
        Self { folder, options, cancel: Cancel::default(), progress: Progress::default(), said: Vec::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a shell script; `$1` is the submitted file, `$2` the folder.
    fn script(&mut self, script: &str) -> Result<Outcome, ParseError> {
        let quoted = shlex::try_quote(script).expect("a script");
        let folder = shlex::try_quote(self.folder.path().to_str().expect("UTF-8")).expect("a path").into_owned();
        self.command(&format!("sh -c {quoted} sh {{file}} {folder}"))
    }

    fn command(&mut self, command_line: &str) -> Result<Outcome, ParseError> {
        let parser = CommandParser::new(command_line, self.options.clone())?;
        let path = self.path("a file.txt");
        let submission = Submission {
            path: &path,
            name: "a file.txt",
            program: "tanf",
            section: "active",
            fiscal_year: 2021,
            fiscal_quarter: 1,
        };
        let mut context = Context {
            run: RunId::new(),
            data_file: DataFileId(7),
            cancel: &self.cancel,
            progress: &self.progress,
            records: None,
        };
        let capture = Capture::default();
        let subscriber = Registry::default().with(capture.clone());
        let outcome = tracing::subscriber::with_default(subscriber, || {
            // A thread of its own carries the dispatcher in the span, as a worker's blocking thread does.
            let span = tracing::error_span!(parent: None, "run");
            span.in_scope(|| parser.parse(&submission, &mut context))
        });
        self.said = std::mem::take(&mut *capture.0.lock().expect("no panic"));
        outcome
    }

    fn messages(&self) -> Vec<&str> {
        self.said.iter().map(Said::message).collect()
    }

    fn pid(&self, name: &str) -> u32 {
        fs::read_to_string(self.path(name)).expect("a pid file").trim().parse().expect("a pid")
    }
}

/// Whether a process is there and no zombie.
fn lives(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

fn failure(outcome: Result<Outcome, ParseError>) -> String {
    match outcome {
        Err(ParseError::Failed(error)) => format!("{error:#}"),
        other => panic!("expected a failure, got {other:?}"),
    }
}

#[track_caller]
fn assert_timed_out(outcome: &Result<Outcome, ParseError>) {
    assert!(matches!(outcome, Err(ParseError::Cancelled(CancelReason::TimedOut))), "{outcome:?}");
}

#[test]
fn lines_become_events_in_the_run_with_the_level_of_their_pipe() {
    let mut run = Run::new();
    let outcome = run.script("echo out; echo; echo err >&2; printf 'no newline'").expect("an outcome");
    assert_eq!(outcome.summary, SummaryStatus::Accepted);
    let mut said: Vec<_> = run.said.iter().map(|said| (said.message(), said.level)).collect();
    said.sort();
    assert_eq!(said, [("err", Level::WARN), ("no newline", Level::INFO), ("out", Level::INFO)]);
    assert!(run.said.iter().all(|said| said.in_run && said.target == "parselog::external"));
}

#[test]
fn a_program_is_told_the_facts_and_none_of_our_secrets() {
    let mut run = Run::new();
    run.options.pass = vec!["HOME".to_owned()];
    run.script("env; echo \"arg=$1\"").expect("an outcome");
    let said = run.messages();
    for fact in [
        "PARSELOG_DATA_FILE_ID=7",
        "PARSELOG_NAME=a file.txt",
        "PARSELOG_PROGRAM=tanf",
        "PARSELOG_SECTION=active",
        "PARSELOG_FISCAL_YEAR=2021",
        "PARSELOG_FISCAL_QUARTER=1",
        "PARSELOG_LEVEL=INFO",
    ] {
        assert!(said.contains(&fact), "{fact} is not in {said:#?}");
    }
    assert!(said.contains(&format!("arg={}", run.path("a file.txt").display()).as_str()));
    assert!(said.iter().any(|line| line.starts_with("PATH=")));
    // Cargo sets this one for tests; a name with a secret's shape stands in for it in the unit test.
    let leaked = |line: &&&str| ["AWS_", "DATABASE_URL", "PARSELOG_TEST"].iter().any(|name| line.starts_with(name));
    assert_eq!(said.iter().find(leaked), None);
}

#[test]
fn json_lines_keep_their_level_record_and_fields() {
    let mut run = Run::new();
    let outcome = run
        .script(
            r#"echo '{"levelname":"INFO","msg":"started","logger":"x","pages":3}'
               echo '{"level":"warning","message":"late","record":9,"category":2,"field":"DATE","item":4,"month":"202010"}'
               echo '{"level":"error","message":"torn","fields":{"record":4,"record_type":"T1","case":2,"hint":"look"}}' >&2
               echo '{"level":30,"message":"a plain warning"}'
               echo '{"level":"ERROR","message":"obsolete","category":"3","deprecated":true}'
               echo '{"no":"log line"}'
               echo '{"level":"info", broken'"#,
        )
        .expect("an outcome");
    assert_eq!(outcome.summary, SummaryStatus::AcceptedWithErrors);
    assert_eq!(outcome.errors, BTreeMap::from([(Category::Field, 1), (Category::Record, 1)]));
    assert_eq!(outcome.errors_by_month, BTreeMap::from([("202010".to_owned(), BTreeMap::from([(Category::Field, 1)]))]));
    let first = outcome.first_error.expect("a first error");
    assert_eq!((first.record, first.message.as_str()), (Some(4), "torn"));

    let find = |message: &str| run.said.iter().find(|said| said.message() == message).expect("an event");
    let late = find("late");
    assert_eq!((late.level, late.target.as_str()), (Level::WARN, "parselog::problem"));
    assert_eq!(["record", "category", "field", "item", "month"].map(|name| late.fields[name].as_str()), ["9", "2", "DATE", "4", "202010"]);
    let torn = find("torn");
    assert_eq!((torn.level, torn.fields["case"].as_str(), torn.fields["category"].as_str()), (Level::ERROR, "2", "7"));
    assert_eq!(torn.fields["context"], r#"{"hint":"look"}"#);
    assert_eq!(find("started").fields["context"], r#"{"logger":"x","pages":3}"#);
    assert_eq!(find("a plain warning").target, "parselog::external");
    assert_eq!(find("obsolete").fields["deprecated"], "true");
    assert_eq!(find(r#"{"no":"log line"}"#).level, Level::INFO);
    assert_eq!(find(r#"{"level":"info", broken"#).level, Level::INFO);
    assert_eq!(run.progress.records.load(std::sync::atomic::Ordering::Relaxed), 9);
    assert_eq!(run.progress.problems.load(std::sync::atomic::Ordering::Relaxed), 2);
}

#[test]
fn invalid_utf_8_is_kept_as_escapes() {
    let mut run = Run::new();
    run.script(r"printf 'caf\303\251 \377\300 end\n'").expect("an outcome");
    assert_eq!(run.messages(), [r"café \xff\xc0 end"]);
}

#[test]
fn a_line_of_ten_megabytes_comes_in_pieces() {
    let mut run = Run::new();
    run.script("head -c 10000000 /dev/zero | tr '\\0' x; echo; echo next").expect("an outcome");
    let (next, pieces) = run.said.split_last().expect("events");
    assert_eq!(next.message(), "next");
    assert!(pieces.iter().all(|piece| piece.message().len() <= 64 << 10));
    assert_eq!(pieces.iter().map(|piece| piece.message().len()).sum::<usize>(), 10_000_000);
    let numbers: Vec<String> = pieces.iter().map(|piece| piece.fields["piece"].clone()).collect();
    assert_eq!(numbers, (1..=pieces.len()).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[test]
fn a_flood_on_both_pipes_never_blocks() {
    let mut run = Run::new();
    run.script("seq 1 50000 & seq 100001 150000 >&2 & wait").expect("an outcome");
    let count = |level| run.said.iter().filter(|said| said.level == level).count();
    assert_eq!((count(Level::INFO), count(Level::WARN)), (50_000, 50_000));
}

#[test]
fn the_exit_code_or_the_signal_is_the_failure() {
    let mut run = Run::new();
    assert_eq!(failure(run.script("exit 3")), "the parser exited with code 3");
    assert!(failure(run.script("kill -SEGV $$")).starts_with("the parser was killed by signal 11"));
    let missing = failure(run.command("no-such-parser-anywhere {file}"));
    assert!(missing.starts_with("failed to start the parser `no-such-parser-anywhere`"), "{missing}");
    assert!(failure(run.command("sh 'open")).contains("open quote"));
}

#[test]
fn a_result_file_states_the_outcome_and_the_rest_is_counted() {
    let mut run = Run::new();
    let outcome = run
        .script(
            r#"echo '{"level":"error","category":7,"record":3,"message":"write to a@example.org"}'
               echo '{"summary":"Partially Accepted with Errors","created_by_type":{"T1":4},"records_in_file":5}' >"$PARSELOG_RESULT""#,
        )
        .expect("an outcome");
    assert_eq!(outcome.summary, SummaryStatus::PartiallyAccepted);
    assert_eq!((outcome.records_in_file, outcome.records_created), (5, 4));
    assert_eq!(outcome.errors, BTreeMap::from([(Category::Record, 1)]));
    let first = outcome.first_error.expect("a first error");
    assert_eq!((first.record, first.message.as_str()), (Some(3), "write to [redacted]"));
}

#[test]
fn a_result_that_is_none_fails_without_quoting_it() {
    let mut run = Run::new();
    let error = failure(run.script(r#"echo '{"summary":"123-45-6789"}' >"$PARSELOG_RESULT""#));
    assert!(error.contains("line 1") && !error.contains("6789"), "{error}");
    let error = failure(run.script(r#"mkfifo "$PARSELOG_RESULT""#));
    assert!(error.contains("no ordinary file"), "{error}");
}

#[test]
fn a_parser_that_hangs_forks_and_ignores_sigterm_is_gone_within_the_deadline() {
    let mut run = Run::new();
    run.options.timeout = Duration::from_millis(500);
    let started = Instant::now();
    let outcome = run.script(
        "trap '' TERM
         (trap '' TERM; while :; do sleep 1; done) & echo $! >\"$2/child\"
         setsid sh -c 'trap \"\" TERM; echo $$ >\"$1/daemon\"; while :; do sleep 1; done' sh \"$2\" &
         echo $$ >\"$2/parent\"; while :; do sleep 1; done",
    );
    assert_timed_out(&outcome);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    for name in ["parent", "child", "daemon"] {
        assert!(!lives(run.pid(name)), "{name} is alive");
    }
    assert!(run.messages().iter().any(|line| line.contains("ran for")), "{:?}", run.messages());
}

#[test]
fn a_parser_that_ends_when_asked_has_its_last_words_logged() {
    let mut run = Run::new();
    run.options.timeout = Duration::from_millis(300);
    run.options.grace = Duration::from_secs(20);
    let started = Instant::now();
    let outcome = run.script("trap 'echo tidy; exit 0' TERM; while :; do sleep 0.05; done");
    assert_timed_out(&outcome);
    assert!(started.elapsed() < Duration::from_secs(10), "the grace is not waited for in full");
    assert!(run.messages().contains(&"tidy"), "{:?}", run.messages());
}

#[test]
fn silence_ends_a_parser_and_words_keep_it_alive() {
    let mut run = Run::new();
    run.options.silence = Some(Duration::from_millis(700));
    run.script("for i in 1 2 3 4 5 6; do echo $i; sleep 0.3; done").expect("it speaks often enough");
    let outcome = run.script("echo once; sleep 60");
    assert_timed_out(&outcome);
    assert!(run.messages().iter().any(|line| line.contains("silent")), "{:?}", run.messages());
}

#[test]
fn a_cancel_ends_the_parser_with_its_reason() {
    let mut run = Run::new();
    run.cancel.set(CancelReason::Shutdown);
    assert!(matches!(run.script("touch \"$2/ran\""), Err(ParseError::Cancelled(CancelReason::Shutdown))));
    assert!(!run.path("ran").exists(), "one that is cancelled before its start never starts");

    let mut run = Run::new();
    let (ready, cancel) = (run.path("pid"), std::mem::take(&mut run.cancel));
    let cancel: &'static Cancel = Box::leak(Box::new(cancel));
    let asker = thread::spawn(move || {
        wait_until(|| ready.exists());
        cancel.set(CancelReason::Requested);
    });
    let parser = CommandParser::new(&format!("sh -c 'echo $$ >{}; sleep 60'", quoted(&run.path("pid"))), run.options.clone());
    let path = run.path("a file.txt");
    let submission =
        Submission { path: &path, name: "f", program: "tanf", section: "active", fiscal_year: 2021, fiscal_quarter: 1 };
    let mut context =
        Context { run: RunId::new(), data_file: DataFileId(1), cancel, progress: &run.progress, records: None };
    let outcome = parser.expect("a parser").parse(&submission, &mut context);
    assert!(matches!(outcome, Err(ParseError::Cancelled(CancelReason::Requested))), "{outcome:?}");
    asker.join().expect("no panic");
    assert!(!lives(run.pid("pid")));
}

#[test]
fn what_a_parser_leaves_running_ends_with_it() {
    let mut run = Run::new();
    let started = Instant::now();
    let outcome = run.script("sleep 60 & echo $! >\"$2/child\"; setsid sleep 61 >/dev/null 2>&1 & echo done");
    assert_eq!(outcome.expect("an outcome").summary, SummaryStatus::Accepted);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert!(!lives(run.pid("child")));
    assert!(run.messages().contains(&"done"));
}

#[test]
fn the_memory_limit_holds() {
    let mut run = Run::new();
    run.options.memory = Some(512 << 20);
    let outcome = run.command("python3 -c 'x = bytearray(1 << 30)'");
    assert_eq!(failure(outcome), "the parser exited with code 1");
    assert!(run.messages().iter().any(|line| line.contains("MemoryError")), "{:?}", run.messages());
    run.command("python3 -c 'x = bytearray(1 << 20)'").expect("it fits");
}

#[test]
fn the_python_example_counts_and_states_its_result() {
    let mut run = Run::new();
    fs::write(run.path("a file.txt"), "HEADER\nT1202010x\nT12020\nT2202011y\nTRAILER\n").expect("a file");
    let outcome = run.command(&format!("python3 {} {{file}}", example("count_lines.py"))).expect("an outcome");
    assert_eq!(outcome.summary, SummaryStatus::PartiallyAccepted);
    assert_eq!(outcome.created_by_type, BTreeMap::from([("T1".to_owned(), 1), ("T2".to_owned(), 1)]));
    assert_eq!((outcome.records_in_file, outcome.error_count()), (3, 1));
    let problem = run.said.iter().find(|said| said.target == "parselog::problem").expect("a problem");
    assert_eq!((problem.fields["record"].as_str(), problem.fields["field"].as_str()), ("3", "RPT_MONTH_YEAR"));
}

#[test]
fn the_shell_example_compares_widths() {
    let mut run = Run::new();
    let outcome = run.command(&format!("sh {} {{file}}", example("check_width.sh"))).expect("an outcome");
    assert_eq!(outcome.summary, SummaryStatus::AcceptedWithErrors);
    assert_eq!(outcome.first_error.expect("a first error").record, Some(3));
}

fn example(name: &str) -> String {
    quoted(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/parsers").join(name))
}

fn quoted(path: &Path) -> String {
    shlex::try_quote(path.to_str().expect("UTF-8")).expect("a path").into_owned()
}

fn wait_until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "waited for too long");
        thread::sleep(Duration::from_millis(10));
    }
}
