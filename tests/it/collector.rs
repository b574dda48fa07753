//! The collector: replaced under stock senders, and sent what is no record, it loses nothing.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::{Collector, SentBy, sample};

#[tokio::test(flavor = "multi_thread")]
async fn senders_do_not_notice_that_the_collector_is_upgraded() {
    let upgrades = std::env::var("PARSELOG_UPGRADES").map_or(3, |number| number.parse().unwrap());
    let mut longest = Vec::new();
    // A stock handler gives up after a second. A machine that stands still for so long does not do so each time.
    while longest.iter().all(|longest| *longest >= 1000) {
        assert!(longest.len() < 5, "each time a log call took {longest:?} ms");
        let sent = sent_across(upgrades).await;
        eprintln!("{upgrades} upgrades: {sent:?}");
        longest.push(sent.iter().map(|sent| sent.longest_ms).max().unwrap());
    }
}

/// What two senders send across so many upgrades, of which neither loses a record or its connection.
async fn sent_across(upgrades: u32) -> Vec<SentBy> {
    let mut collector = Collector::start(&[]).await;
    let mut senders = ["one", "two"].map(|name| (name, collector.sender(name)));
    for _ in 0..upgrades {
        collector.wait("a receiver is in charge, and another one ready", || collector.receivers().len() > 1);
        thread::sleep(Duration::from_millis(100));
        let before = collector.receivers();
        collector.signal(Signal::HUP);
        collector.wait("all receivers are new ones", || {
            let now = collector.receivers();
            !now.is_empty() && now.iter().all(|receiver| !before.contains(receiver))
        });
    }
    let sent = collector.compare(&mut senders);
    assert!(sent.iter().all(|sent| sent.connections == 1), "{sent:?}: {}", collector.said());
    sent
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_is_a_door_like_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log").to_str().unwrap().to_owned();
    let mut collector = Collector::start(&["--collect-socket", &path]).await;
    let mut senders = ["one", "two"].map(|name| (name, Collector::sender_to(name, &path, 0)));
    for _ in 0..5 {
        thread::sleep(Duration::from_millis(100));
        collector.kill_receiver();
    }
    for sent in collector.compare(&mut senders) {
        assert_eq!(sent.connections, 1, "{sent:?}: {}", collector.said());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_collects_too() {
    let collector = Collector::start_as(&["worker", "--collect"], &[]).await;
    collector.connect().write_all(b"{\"level\":\"info\",\"name\":\"app\",\"message\":\"hello\"}\n").unwrap();
    let stored = || collector.desk.run(&["logs", "service:app", "--json"]).out.contains("hello");
    collector.wait("it is stored", stored);
    let mut collector = collector;
    assert_eq!(collector.end(&["app"]), [["hello"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_record_is_kept_with_its_reason_and_costs_nobody_else_anything() {
    let mut collector = Collector::start(&[]).await;
    let frame = |body: &[u8]| [&(body.len() as u32).to_be_bytes(), body].concat();
    let record =
        |number: u32| frame(format!(r#"{{"level":"info","name":"app","message":"{number}"}}"#).as_bytes());
    let line = |text: &str| format!(r#"{{"level":"info","name":"lines","message":"{text}"}}"#);
    let send = |parts: &[&[u8]]| -> TcpStream {
        let mut connection = collector.connect();
        parts.iter().for_each(|part| connection.write_all(part).unwrap());
        connection
    };
    let (long, torn) = (frame(&vec![b'x'; 3 << 20]), frame(&vec![b'}'; 900_000]));
    let long_line = [vec![b'{'; 2 << 20], vec![b'\n']].concat();
    drop([
        send(&[&record(1), &frame(b"junk"), &long, &frame(b"\x80\x04P1\n."), &record(2)]),
        send(&[&torn[..500_000]]),
        send(&[&torn[..500]]),
        send(&[b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", &[0; 100_000]]),
        send(&[b"GET /logs HTTP/1.1\r\n", b"Host: here\r\n\r\n"]),
        send(&[line("1").as_bytes(), b"\n", &long_line, line("2").as_bytes(), b"\n", line("3").as_bytes()]),
    ]);
    let reasons = [
        "it ends too early",
        "longer than 1048576 bytes",
        "an object of its sender",
        "ends within it",
        "ends within it",
        "TLS",
        "HTTP",
        "longer than 1048576 bytes",
    ];
    let stored = |stream: &str| collector.desk.run(&["logs", stream, "--json", "--grep", "."]).out;
    collector.wait("everything is stored", || {
        stored("service:_rejected").lines().count() >= reasons.len()
            && stored("service:app").lines().count() >= 2
            && stored("service:lines").lines().count() >= 3
    });
    let [app, lines, rejected] = collector.end(&["app", "lines", "_rejected"]).try_into().unwrap();
    assert_eq!(
        (app, lines),
        (vec!["1".to_owned(), "2".into()], vec!["1".to_owned(), "2".into(), "3".into()])
    );
    assert_eq!(rejected.len(), reasons.len(), "{rejected:?}");
    for reason in reasons {
        assert!(rejected.iter().any(|stored| stored.contains(reason)), "{reason}: {rejected:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_names_an_open_run_is_in_its_log_once_though_receivers_are_killed() {
    let mut collector = Collector::start(&[]).await;
    let desk = &collector.desk;
    desk.ok(&["submit", &sample("tanf-active-2021-q1.txt")]);
    let (named, go) = (desk.path("named"), desk.path("go"));
    let rule = format!(
        "tanf/*=sh -c 'echo $PARSELOG_RUN_ID > {named}; while [ ! -e {go} ]; do sleep 0.02; done' {{file}}"
    );
    let mut worker = desk.command(&["worker", "--drain", "--parser-for", &rule]).spawn().unwrap();
    collector.wait("the run begins", || fs::read_to_string(&named).is_ok_and(|run| run.ends_with('\n')));
    let run = fs::read_to_string(&named).unwrap().trim().to_owned();
    let other = "0190a5e0-0000-7000-8000-000000000001";
    let line = |run: &str, message: &str| {
        format!("{{\"level\":\"info\",\"name\":\"app\",\"run_id\":\"{run}\",\"message\":\"{message}\"}}\n")
    };
    let mut connection = collector.connect();
    for number in 0..400 {
        connection.write_all(line(&run, &number.to_string()).as_bytes()).unwrap();
        if number % 100 == 50 {
            collector.kill_receiver();
        }
    }
    connection.write_all(line(other, "of a run that nobody knows").as_bytes()).unwrap();
    let in_run = || -> Vec<String> {
        let lines = collector.desk.ok(&["logs", &run, "--json"]).json();
        let of_app = lines.into_iter().filter(|line| line["target"] == "app");
        of_app.map(|line| line["message"].as_str().unwrap().to_owned()).collect()
    };
    let expected: Vec<String> = (0..400).map(|number| number.to_string()).collect();
    collector.wait("all are in the log of the run", || in_run().len() >= expected.len());
    fs::write(&go, "").unwrap();
    assert!(worker.wait().unwrap().success());
    assert_eq!(in_run(), expected);
    connection.write_all(line(&run, "behind its end").as_bytes()).unwrap();
    drop(connection);
    assert_eq!(collector.end(&["app"]), [["of a run that nobody knows", "behind its end"]]);
}

/// The kernel keeps all that arrived together until its last byte is taken, also for the beginning of one line.
#[tokio::test(flavor = "multi_thread")]
async fn bursts_that_fill_the_sockets_are_read_to_their_ends() {
    const LINES: usize = 20_000;
    let mut collector = Collector::start(&[]).await;
    let names = ["one", "two", "three", "four", "five", "six"];
    thread::scope(|scope| {
        for name in names {
            let mut connection = collector.connect();
            scope.spawn(move || {
                let line =
                    |number| format!("{{\"level\":\"info\",\"name\":\"{name}\",\"message\":\"{number}\"}}\n");
                let burst: String = (0..LINES).map(line).collect();
                connection.write_all(burst.as_bytes()).unwrap();
                // Once it has been read to its end, this end hears of it.
                connection.shutdown(Shutdown::Write).unwrap();
                assert_eq!(connection.read(&mut [0]).unwrap(), 0);
            });
        }
    });
    let expected: Vec<String> = (0..LINES).map(|number| number.to_string()).collect();
    for (name, stored) in names.iter().zip(collector.end(&names)) {
        assert!(stored == expected, "{name}: {} lines, {}", stored.len(), collector.said());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_disk_that_is_nearly_full_it_reads_on_keeps_errors_and_says_how_many_others_it_dropped() {
    let collector = Collector::start(&["--leave-free", "1EiB"]).await;
    // The receiver in charge alone looks, as soon as it is.
    collector.wait("it has looked at the disk", || collector.said().contains("streams keep only errors"));
    let mut connection = collector.connect();
    for number in 0..3000 {
        let level = if number % 10 == 0 { "error" } else { "info" };
        let line = format!("{{\"level\":\"{level}\",\"name\":\"app\",\"message\":\"{number}\"}}\n");
        connection.write_all(line.as_bytes()).unwrap();
    }
    drop(connection);
    let stored = || collector.desk.run(&["logs", "service:app", "--json"]).out;
    collector.wait("the last error is stored", || stored().contains("\"2990\""));
    let mut collector = collector;
    let [app] = collector.end(&["app"]).try_into().unwrap();
    let errors: Vec<String> = app.iter().filter(|said| said.parse::<u64>().is_ok()).cloned().collect();
    assert_eq!(errors, (0..300).map(|number| (number * 10).to_string()).collect::<Vec<_>>());
    let rows: Vec<(i64, i64)> = sqlx::query_as("select lines, dropped from log where service = 'app'")
        .fetch_all(&collector.desk.db.pool)
        .await
        .unwrap();
    assert_eq!(rows.iter().map(|row| row.1).sum::<i64>(), 2700, "{rows:?}, {app:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledgements_say_what_is_stored_across_kills_of_the_receiver() {
    let mut collector = Collector::start(&[]).await;
    let frame = |body: &str| [&(body.len() as u32).to_be_bytes(), body.as_bytes()].concat();
    let connection = collector.connect();
    let (mut sent, mut heard) = (0, 0);
    let mut send = |body: &str| -> u64 {
        let bytes = frame(body);
        (&connection).write_all(&bytes).unwrap();
        sent += bytes.len() as u64;
        sent
    };
    send(r#"{"parselog_acks": 1}"#);
    for number in 0..400 {
        send(&format!(r#"{{"level":"info","name":"app","message":"{number}"}}"#));
        if number % 100 == 50 {
            collector.kill_receiver();
        }
    }
    let all = send("junk");
    while heard < all {
        let mut number = [0; 8];
        (&connection).read_exact(&mut number).unwrap();
        let now = u64::from_be_bytes(number);
        assert!(now >= heard && now <= all, "{now} behind {heard}");
        heard = now;
    }
    assert_eq!(heard, all);
    drop(connection);
    let expected: Vec<String> = (0..400).map(|number| number.to_string()).collect();
    assert_eq!(collector.end(&["app"]), [expected]);
}

/// Logs numbered records with acknowledgements until its stdin ends, at least a hundred; then it says how many.
const ACKNOWLEDGED: &str = r#"
import logging, select, sys, time
sys.path.insert(0, sys.argv[1])
from parselog_handler import ParselogHandler
handler = ParselogHandler("127.0.0.1", int(sys.argv[2]), service="app", acknowledged=True, flush_timeout=300)
log = logging.getLogger("app")
log.setLevel("DEBUG")
log.addHandler(handler)
number = 0
while number < 100 or not select.select([sys.stdin], [], [], 0)[0]:
    for _ in range(10):
        log.info("%d", number)
        number += 1
    time.sleep(0.01)
handler.flush()
assert not handler.dropped and not handler._sender._held
print(number)
"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledged_record_is_stored_though_the_whole_collector_is_killed() {
    let mut collector = Collector::start(&[]).await;
    let handlers = concat!(env!("CARGO_MANIFEST_DIR"), "/python");
    let mut command = Command::new("python3");
    command.args(["-B", "-c", ACKNOWLEDGED, handlers, &collector.address.port().to_string()]);
    let mut sender = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    for _ in 0..3 {
        thread::sleep(Duration::from_millis(300));
        collector.kill_and_start();
    }
    drop(sender.stdin.take());
    let output = sender.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let sent: usize = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    let mut stored: Vec<usize> =
        collector.end(&["app"])[0].iter().map(|message| message.parse().unwrap()).collect();
    let twice = stored.len();
    stored.sort_unstable();
    stored.dedup();
    eprintln!("{sent} records, {} of them twice", twice - stored.len());
    assert_eq!(stored, (0..sent).collect::<Vec<_>>());
}
