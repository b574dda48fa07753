//! Reading what was logged: pages, filters, and following with and without interruption.

use std::collections::BTreeSet;
use std::io::{BufRead, Read};
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Client, Served};
use crate::support::Desk;

fn send(address: SocketAddr, messages: impl IntoIterator<Item = String>) {
    let record = |message: String| {
        let level = if message.ends_with('7') { "error" } else { "info" };
        json!({"service": "web", "level": level, "message": message})
    };
    let body: Vec<Value> = messages.into_iter().map(record).collect();
    assert_eq!(Client::to(address).post("/logs", &[], json!(body).to_string().as_bytes()).status, 201);
}

fn get(served: &Served, path: &str) -> Value {
    let answer = Client::to(served.address).get(path, &[]);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

fn messages(page: &Value) -> Vec<&str> {
    page["logs"].as_array().unwrap().iter().map(|record| record["message"].as_str().unwrap()).collect()
}

/// A server whose streams get a new segment every few hundred records.
fn serve_small_segments(desk: &Desk) -> Served {
    Served::start_with(desk, &["--listen", "127.0.0.1:0", "--segment-size", "64KiB"], &[])
}

#[tokio::test]
async fn the_last_records_come_newest_last_and_pages_meet_without_a_gap() {
    let desk = Desk::new().await;
    let served = serve_small_segments(&desk);
    assert_eq!(get(&served, "/logs/web"), json!({"logs": []}));
    for batch in 0..20 {
        send(served.address, (0..100).map(|nth| format!("record {}", batch * 100 + nth)));
    }
    let page = get(&served, "/logs/web?limit=3");
    assert_eq!((&page["service"], &page["count"]), (&json!("web"), &json!(3)));
    assert_eq!(messages(&page), ["record 1997", "record 1998", "record 1999"]);
    assert_eq!(page["logs"][0]["level"], "ERROR");
    // Through all segments, in the spool and archived, to the first record.
    let (mut all, mut before) = (Vec::new(), String::new());
    loop {
        let page = get(&served, &format!("/logs/web?limit=170&before={before}"));
        if page["count"] == 0 {
            break;
        }
        let mut older: Vec<String> = messages(&page).into_iter().map(str::to_owned).collect();
        before = page["logs"][0]["id"].as_str().unwrap().to_owned();
        older.append(&mut all);
        all = older;
    }
    let expected: Vec<String> = (0..2000).map(|nth| format!("record {nth}")).collect();
    assert!(all == expected, "{} records, from {:?} to {:?}", all.len(), all.first(), all.last());
    served.stop();

    // What another process left, and all is archived now.
    let served = Served::start(&desk);
    assert_eq!(messages(&get(&served, "/logs/web?limit=2")), ["record 1998", "record 1999"]);
    let errors = get(&served, "/logs/web?limit=4&level=error");
    assert_eq!(messages(&errors), ["record 1967", "record 1977", "record 1987", "record 1997"]);
    assert_eq!(messages(&get(&served, "/logs/web?grep=record%2012%5Cb")), ["record 12"]);
    assert_eq!(get(&served, "/logs/web?since=2100-01-01T00:00:00Z")["count"], 0);
    assert_eq!(get(&served, "/logs"), json!({"services": ["web"]}));
    let reads: i64 =
        sqlx::query_scalar("select count(*) from log_entry where entry = 'log-read' and actor like 'local%'")
            .fetch_one(&desk.db.pool)
            .await
            .unwrap();
    assert!(reads > 10, "{reads} readings are in the audit log");
    for wrong in ["limit=0", "level=loud", "grep=(", "before=x", "page=1"] {
        assert_eq!(Client::to(served.address).get(&format!("/logs/web?{wrong}"), &[]).status, 400, "{wrong}");
    }
}

/// A connection that follows the stream `web`, after this event or from now on.
struct Follower {
    client: Client,
}

impl Follower {
    fn start(served: &Served, after: Option<&str>) -> Self {
        let mut client = Client::to(served.address);
        let after = after.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        client
            .send(format!("GET /logs/web/stream HTTP/1.1\r\nHost: localhost\r\n{after}\r\n").as_bytes())
            .unwrap();
        let head = client.head().unwrap();
        assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
        let mut follower = Self { client };
        assert_eq!(follower.line(), "retry: 1000");
        follower
    }

    /// The next line of an event; what HTTP puts around chunks is left out.
    fn line(&mut self) -> String {
        loop {
            let mut line = String::new();
            self.client.stream.read_line(&mut line).unwrap();
            assert!(!line.is_empty(), "the stream ended");
            let line = line.trim_end();
            if ["retry:", "id:", "data:"].iter().any(|name| line.starts_with(name)) {
                return line.to_owned();
            }
        }
    }

    /// The next event: its id and its message.
    fn next(&mut self) -> (String, String) {
        let id = self.line().strip_prefix("id: ").unwrap().to_owned();
        let data = self.line();
        let record: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(record["id"], id);
        (id, record["message"].as_str().unwrap().to_owned())
    }
}

#[tokio::test]
async fn a_follower_that_is_cut_off_goes_on_with_nothing_missing_and_nothing_twice() {
    let desk = Desk::new().await;
    let served = serve_small_segments(&desk);
    send(served.address, ["before".to_owned()]);
    let mut follower = Follower::start(&served, None);
    send(served.address, ["record 0".to_owned()]);
    let (mut last, first) = follower.next();
    assert_eq!(first, "record 0", "what was before is not told");
    let mut told = vec![first];
    let address = served.address;
    std::thread::scope(|threads| {
        threads.spawn(move || {
            for batch in 0..40 {
                send(address, (1..=25).map(|nth| format!("record {}", batch * 25 + nth)));
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        while told.len() < 1001 {
            let mut follower = Follower::start(&served, Some(&last));
            for _ in 0..(told.len() % 90 + 10).min(1001 - told.len()) {
                let (id, message) = follower.next();
                last = id;
                told.push(message);
            }
        }
    });
    let expected: Vec<String> = (0..=1000).map(|nth| format!("record {nth}")).collect();
    assert!(told == expected, "{} told, {} of them different", told.len(), BTreeSet::from_iter(&told).len());
    // The server ends its followers when it stops.
    let mut follower = Follower::start(&served, Some(&last));
    served.stop();
    follower.client.stream.read_to_end(&mut Vec::new()).unwrap();
}
