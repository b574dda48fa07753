//! Many who follow the log of one run while it grows fast, over real sockets: some are cut off at random and go on where
//! they were; nobody misses a line, and nobody gets one twice.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::Site;
use crate::http::wait_until;

/// Who follows, how many of them are cut off, and the lines that the parser writes, about a thousand a second.
const FOLLOWERS: usize = 200;
const CUTS: usize = 100;
const LINES: usize = 3_000;

/// Writes lines once a file is there, in steps of a few.
const PARSER: &str = "
import os, sys, time
print('the first line', flush=True)
while not os.path.exists(sys.argv[1]):
    time.sleep(0.02)
for line in range(int(sys.argv[2])):
    print('line', line, flush=True)
    if line % 10 == 9:
        time.sleep(0.01)
";

/// Follows a log from its first line to its end; cut off behind this line, if at all. Returns its last line.
async fn follow(site: (std::net::SocketAddr, String), path: String, mut cut: Option<u64>) -> u64 {
    let (address, token) = site;
    let mut last = 0;
    loop {
        let mut stream = BufReader::new(TcpStream::connect(address).await.unwrap());
        let resumed = if last > 0 { format!("Last-Event-ID: {last}\r\n") } else { String::new() };
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n{resumed}\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut line = String::new();
        loop {
            line.clear();
            assert!(
                stream.read_line(&mut line).await.unwrap() > 0,
                "it ended without a word behind line {last}"
            );
            if let Some(id) = line.strip_prefix("id: ") {
                let id: u64 = id.trim().parse().unwrap();
                assert_eq!(id, last + 1, "a line is missing, or came twice");
                last = id;
            } else if line.starts_with("data: {\"n\":") {
                assert!(line.starts_with(&format!("data: {{\"n\":{last},")), "{line}");
                if cut.is_some_and(|cut| last >= cut) {
                    break;
                }
            } else if line.trim() == "event: end" {
                return last;
            }
        }
        cut = None;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_follow_a_log_and_those_who_are_cut_off_miss_nothing_and_get_nothing_twice() {
    let site = Site::new().await;
    let go = site.desk.path("go");
    let script = site.desk.file("lines.py", PARSER);
    let file = site.desk.file("many.txt", "x");
    let what =
        ["--program", "tanf", "--section", "active", "--year", "2021", "--quarter", "1", "--state", "WI"];
    let said = site.desk.ok(&[&["submit", "--json", &file], &what[..]].concat()).json();
    let run = said[0]["run_id"].as_str().unwrap().to_owned();
    let rule = format!("tanf/*=python3 {script} {go} {LINES}");
    let mut worker = site.desk.command(&["worker", "--drain", "--parser-for", &rule]);
    let mut worker = worker.stderr(Stdio::null()).spawn().unwrap();
    wait_until("the log begins", || {
        let answer = site.get(&format!("/runs/{run}/log/lines"));
        answer.status == 200 && answer.text().contains("the first line")
    });
    let mut followers = JoinSet::new();
    // Any odd multiplier goes around: each is cut somewhere else.
    let mut seed: u64 = 0x5eed;
    for follower in 0..FOLLOWERS {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let cut = (follower < CUTS).then_some(1 + (seed >> 33) % LINES as u64);
        let path = match follower % 10 {
            // The same lines, by a condition that all of them have.
            9 => format!("/runs/{run}/log/events?from=1&level=trace"),
            _ => format!("/runs/{run}/log/events?from=1"),
        };
        followers.spawn(follow((site.served.address, site.token.clone()), path, cut));
    }
    std::fs::write(&go, "").unwrap();
    let ends = followers.join_all().await;
    assert!(worker.wait().unwrap().success());
    let total = site.json(&format!("/runs/{run}/log/lines"))["total"].as_u64().unwrap();
    assert!(total > LINES as u64, "{total}");
    assert!(ends.iter().all(|last| *last == total), "{total} lines, and some ended at {ends:?}");
    site.served.stop();
}
