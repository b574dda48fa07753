//! Requests that are too large, too slow or too many: refused in time, and no harm to others.

use std::fs;
use std::io::{Read, Write};
use std::time::Instant;

use flate2::Compression;
use flate2::write::GzEncoder;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

use super::{Client, Served, spooled};
use crate::support::Desk;

const JSON: &str = "application/json";

/// The most memory that a process had, in MiB.
pub(super) fn most_memory(served: &Served) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", served.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_it_comes_and_a_bomb_before_it_is_unpacked() {
    let desk = Desk::new().await;
    let served = Served::start_with(&desk, &["--listen", "127.0.0.1:0", "--largest-body", "1MiB"], &[]);
    let mut client = Client::to(served.address);
    client.send(b"POST /logs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048577\r\n\r\n").unwrap();
    assert_eq!(client.answer().unwrap().status, 413);

    let mut client = Client::to(served.address);
    client.send(b"POST /logs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    let chunk = [&b"10000\r\n"[..], &[b' '; 0x10000], b"\r\n"].concat();
    // The server may close as soon as it has seen enough.
    while client.send(&chunk).is_ok() {}

    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![0; 1 << 20];
    for _ in 0..256 {
        bomb.write_all(&zeros).unwrap();
    }
    let bombs =
        [("gzip", bomb.finish().unwrap()), ("zstd", zstd::encode_all(&vec![0; 256 << 20][..], 3).unwrap())];
    for (coding, bomb) in &bombs {
        let answer = Client::to(served.address).post("/logs", &[("Content-Encoding", coding)], bomb);
        assert_eq!(answer.status, 413, "{coding}: {answer:?}");
    }
    let good = json!({"service": "web", "message": "good"}).to_string();
    assert_eq!(served.post("/logs", JSON, good).status, 201);
    assert_eq!(spooled(&desk, "web").len(), 1);
    assert!(most_memory(&served) < 128, "{} MiB", most_memory(&served));
}

#[tokio::test]
async fn whoever_is_slow_is_cut_off_and_holds_up_nobody() {
    let desk = Desk::new().await;
    let served = Served::start(&desk);
    let mut slow: Vec<Client> = (0..100).map(|_| Client::to(served.address)).collect();
    for (nth, client) in slow.iter_mut().enumerate() {
        let whole = nth % 2 == 0;
        let head: &[u8] = b"POST /logs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{";
        client.send(if whole { head } else { &head[..30] }).unwrap();
    }
    let began = Instant::now();
    let good = json!({"service": "web", "message": "good"}).to_string();
    assert_eq!(served.post("/logs", JSON, good).status, 201);
    assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
    for (nth, client) in slow.iter_mut().enumerate() {
        if nth % 2 == 0 {
            assert_eq!(client.answer().unwrap().status, 408);
        } else {
            // Closed, with or without a word.
            let _ = client.stream.read_to_end(&mut Vec::new()).unwrap();
        }
    }
}

#[tokio::test]
async fn connections_beyond_the_bound_are_told_so_at_once() {
    // This process needs a file for each connection.
    let files = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files }).unwrap();
    let desk = Desk::new().await;
    let served = Served::start(&desk);
    let mut clients = Vec::new();
    let refused = loop {
        assert!(clients.len() < 2000, "none was refused");
        let mut client = Client::to(served.address);
        client.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let answer = client.answer().unwrap();
        match answer.status {
            200 => clients.push(client),
            _ => break answer,
        }
    };
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert!(refused.json()["error"].is_string());
    clients.pop();
    let again = || Client::to(served.address).request("GET", "/health", &[], b"").map(|answer| answer.status);
    super::wait_until("there is room again", || again().is_ok_and(|status| status == 200));
}

#[tokio::test]
async fn a_page_of_another_origin_may_neither_send_nor_read() {
    let desk = Desk::new().await;
    let options = ["--listen", "127.0.0.1:0", "--origins", "https://app.example.org"];
    let served = Served::start_with(&desk, &options, &[]);
    let record = json!({"service": "web", "message": "x"}).to_string();
    let from = |origin| Client::to(served.address).post("/logs", &[("Origin", origin)], record.as_bytes());
    let known = from("https://app.example.org");
    assert_eq!(
        (known.status, known.header("access-control-allow-origin")),
        (201, Some("https://app.example.org"))
    );
    let other = from("https://evil.example");
    assert_eq!((other.status, other.header("access-control-allow-origin")), (403, None));
    let asks = |origin| {
        let headers = [("Origin", origin), ("Access-Control-Request-Method", "POST")];
        Client::to(served.address).request("OPTIONS", "/logs", &headers, b"").unwrap()
    };
    assert_eq!(asks("https://app.example.org").header("access-control-allow-methods"), Some("GET, POST"));
    assert_eq!(asks("https://evil.example").header("access-control-allow-methods"), None);
    // A name that somebody made point here.
    let mut client = Client::to(served.address);
    client.send(b"GET /logs HTTP/1.1\r\nHost: evil.example\r\n\r\n").unwrap();
    assert_eq!(client.answer().unwrap().status, 403);
    assert_eq!(spooled(&desk, "web").len(), 1);
}
