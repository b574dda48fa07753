//! What a program's log handlers send to the port of its run is in the run's log, whoever of it sends.

use std::collections::BTreeMap;
use std::fs;

use parselog::parser::{Category, SummaryStatus};
use parselog::record::{Level, Record};
use serde_json::Value;

use super::{Run, quoted};

/// Stock logging, as the settings of a project configure it.
const CONFIG: &str = r#"
import logging.config, os, subprocess, sys, threading
logging.config.dictConfig({"version": 1, "handlers": {"run": {"class": "logging.handlers.SocketHandler",
    "host": os.environ["PARSELOG_LOG_HOST"], "port": int(os.environ["PARSELOG_LOG_PORT"])}},
    "root": {"handlers": ["run"], "level": "DEBUG"}})
log = logging.getLogger("app")
"#;

/// What speaks the port's language without a handler.
const BARE: &str = r#"
import os, socket, struct
def connect():
    return socket.create_connection((os.environ["PARSELOG_LOG_HOST"], int(os.environ["PARSELOG_LOG_PORT"])))
def frame(body):
    return struct.pack(">I", len(body)) + body
"#;

fn python(run: &mut Run, program: &str) -> parselog::parser::Outcome {
    let path = run.path("program.py");
    fs::write(&path, program).unwrap();
    run.command(&format!("python3 {} {{file}}", quoted(&path))).expect("an outcome")
}

/// What an event keeps beside its message.
fn context(said: &Record) -> Value {
    said.fields["context"].clone()
}

#[test]
fn records_of_threads_and_subprocesses_are_whole_and_in_order_on_each_connection() {
    let mut run = Run::new();
    let program = format!(
        r#"{CONFIG}
def many(name):
    for number in range(500):
        log.info("%s %d", name, number, extra={{"by": name, "number": number}})
if len(sys.argv) > 2:
    many(sys.argv[2])
    sys.exit()
children = [subprocess.Popen([sys.executable, *sys.argv, f"child{{n}}"]) for n in range(3)]
threads = [threading.Thread(target=many, args=(f"thread{{n}}",)) for n in range(3)]
for one in threads: one.start()
for one in threads: one.join()
for one in children: assert one.wait() == 0
"#
    );
    python(&mut run, &program);
    let mut numbers: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for said in &run.said {
        let context = context(said);
        let (by, number) = (context["by"].as_str().unwrap(), context["number"].as_u64().unwrap());
        assert_eq!((said.level, said.message.as_str()), (Level::Info, &*format!("{by} {number}")));
        assert_eq!((context["logger"].as_str(), context.get("args")), (Some("app"), None));
        numbers.entry(by.to_owned()).or_default().push(number);
    }
    assert_eq!(numbers.len(), 6);
    assert!(numbers.values().all(|numbers| numbers.iter().copied().eq(0..500)), "{numbers:?}");
}

#[test]
fn an_error_that_names_a_record_is_a_problem_and_keeps_its_traceback_and_what_it_was_given() {
    let mut run = Run::new();
    let program = format!(
        r#"{CONFIG}
import datetime, decimal
try:
    {{}}["no such key"]
except KeyError as error:
    log.exception("row %d", 4, extra={{"record": 4, "at": datetime.datetime(2026, 11, 28, 10), "sum": decimal.Decimal("1.50"),
        "why": error}})
log.warning("late", extra={{"category": 3}})
log.critical("the file is empty")
"#
    );
    let outcome = python(&mut run, &program);
    assert_eq!(outcome.summary, SummaryStatus::Rejected);
    let counted = [(Category::File, 1), (Category::CrossField, 1), (Category::Record, 1)];
    assert_eq!(outcome.errors, BTreeMap::from(counted));
    let failed = &run.said[0];
    assert_eq!((failed.level, failed.record, failed.message.as_str()), (Level::Error, Some(4), "row 4"));
    let context = context(failed);
    let trace = context["exc_text"].as_str().unwrap();
    assert!(trace.starts_with("Traceback (most") && trace.ends_with("\nKeyError: 'no such key'"), "{trace}");
    assert_eq!(context["at"], "2026-11-28T10:00:00");
    assert_eq!((&context["sum"], &context["why"]), (&"1.50".into(), &"KeyError: 'no such key'".into()));
}

#[test]
fn what_was_sent_last_counts_and_a_frame_without_a_record_is_named_once_and_counted() {
    let mut run = Run::new();
    run.dropped = 5;
    let program = format!(
        r#"{BARE}
one, two, three = connect(), connect(), connect()
one.sendall(frame(b'{{"level":"info","message":"one"}}') + frame(b"junk") + frame(b"") + frame(b"x" * (1 << 20 | 1)))
one.sendall(frame(b'{{"level":"error","record":2,"message":"behind"}}'))
two.sendall(frame(b'{{"level":"info","message":"two"}}') + frame(b"cut off")[:-2])
three.sendall(b'{{"level":"info","message":"three"}}\n{{"level":"error","message":"a last line","record":3}}')
connect().sendall(b"GET / HTTP/1.1\r\n\r\n")
os.kill(os.getpid(), 9)
"#
    );
    let path = run.path("program.py");
    fs::write(&path, program).unwrap();
    assert!(run.command(&format!("python3 {}", quoted(&path))).is_err(), "it is killed");
    let mut messages = run.messages();
    messages.sort_unstable();
    let refused = "a frame at the run's log port can't be read";
    assert_eq!(messages.iter().filter(|message| message.starts_with(refused)).count(), 3, "{messages:?}");
    for message in [
        "one",
        "behind",
        "two",
        "three",
        "a last line",
        "a frame at the run's log port can't be read: the connection ends within it",
        "a frame at the run's log port can't be read: it is HTTP, but this port takes no HTTP",
        "a connection to the run's log port had 3 frames without a record",
    ] {
        assert!(messages.contains(&message), "{message}: {messages:?}");
    }
}

#[test]
fn three_hundred_connections_with_unfinished_frames_cost_little_and_hold_up_nobody() {
    let mut run = Run::new();
    run.dropped = 300;
    let program = format!(
        r#"{BARE}
open = [connect() for _ in range(300)]
for one in open: one.sendall(struct.pack(">I", 1 << 20) + b"}}" * 400_000)
honest = connect()
for number in range(1000): honest.sendall(frame(b'{{"level":"info","message":"honest"}}'))
"#
    );
    python(&mut run, &program);
    let honest = run.messages().into_iter().filter(|message| *message == "honest").count();
    let refused = run.messages().into_iter().filter(|message| message.contains("can't be read")).count();
    assert_eq!((honest, refused), (1000, 300));
}

#[test]
fn the_example_of_the_docs_logs_into_its_run() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/PARSERS.md")).unwrap();
    let example = page.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let mut run = Run::new();
    fs::write(run.path("a file.txt"), "HEADER\nT1202010\nT1x\nTRAILER\n").unwrap();
    let outcome = python(&mut run, example);
    assert_eq!(outcome.errors, BTreeMap::from([(Category::Record, 1)]));
    assert_eq!(run.messages(), ["read", "read", "record 3 can't be read", "read"]);
    let failed = &run.said[2];
    assert_eq!((failed.record, &failed.fields["field"]), (Some(3), &"MONTH".into()));
    assert!(context(failed)["exc_text"].as_str().unwrap().ends_with("ValueError: not a month"));
}
