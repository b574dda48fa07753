//! Redis gets each stored record, and a Redis that is slow or away costs nobody anything.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::{Served, spooled, wait_until};
use crate::support::skip::skip;
use crate::support::{Desk, KeptPort, PATIENCE};

/// A Redis of this test's own.
struct Redis {
    process: Child,
    port: KeptPort,
}

impl Redis {
    /// `None` where it is not installed and may be missing.
    fn start() -> Option<Self> {
        let Some(program) = program() else {
            skip("Redis is missing; scripts/setup test installs it");
            return None;
        };
        let port = KeptPort::new();
        let mut command = Command::new(program);
        command.arg0("redis-server").args([
            "--save",
            "",
            "--bind",
            "127.0.0.1",
            "--requirepass",
            "hush",
            "--port",
        ]);
        let process = command.arg(port.number().to_string()).stdout(Stdio::null()).spawn().unwrap();
        wait_until("Redis listens", || TcpStream::connect(port.address()).is_ok());
        Some(Self { process, port })
    }

    fn url(&self) -> String {
        format!("redis://:hush@{}", self.port.address())
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    /// Listens to the channel.
    fn subscribe(&self) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(self.port.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"AUTH hush\r\nSUBSCRIBE logs:all\r\n").unwrap();
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        while line != ":1\r\n" {
            line.clear();
            reader.read_line(&mut line).unwrap();
        }
        reader
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The installed Redis. Debian's redis-tools has the server under another name, which it goes by.
fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let places = ["redis-server", "redis-check-rdb"]
        .iter()
        .flat_map(|name| folders.iter().map(move |dir| dir.join(name)));
    places.into_iter().find(|program| program.is_file())
}

/// The next record on the channel.
fn next(subscription: &mut BufReader<TcpStream>) -> Value {
    loop {
        let mut line = String::new();
        subscription.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "Redis closed the connection");
        if line.starts_with('{') {
            return serde_json::from_str(&line).unwrap();
        }
    }
}

fn serve(desk: &Desk, url: &str) -> Served {
    Served::start_with(desk, &["--listen", "127.0.0.1:0"], &[("PARSELOG_REDIS_URL", url)])
}

/// How long most of fifty records take. Now and then one waits for a machine that is busy, and not for Redis.
fn fifty(served: &Served, message: &str) -> Duration {
    let mut took: Vec<Duration> = (0..50).map(|_| send(served, message)).collect();
    took.sort_unstable();
    took[took.len() / 2]
}

fn send(served: &Served, message: &str) -> Duration {
    let began = Instant::now();
    let record = json!({"service": "web", "level": "error", "message": message, "row": 3});
    assert_eq!(served.post("/logs", "application/json", record.to_string()).status, 201);
    began.elapsed()
}

#[tokio::test]
async fn each_stored_record_is_published() {
    let Some(redis) = Redis::start() else { return };
    let desk = Desk::new().await;
    let mut subscription = redis.subscribe();
    let served = serve(&desk, &redis.url());
    for message in ["one", "two\nlines"] {
        send(&served, message);
        let record = next(&mut subscription);
        assert_eq!((&record["service"], &record["message"]), (&json!("web"), &json!(message)));
        assert_eq!((&record["level"], &record["fields"]["row"]), (&json!("ERROR"), &json!(3)));
    }
    // What is stored is published even if the server is stopped at once.
    send(&served, "three");
    served.stop();
    assert_eq!(next(&mut subscription)["message"], "three");
}

#[tokio::test]
async fn a_redis_that_hangs_or_is_away_holds_up_nobody_and_its_losses_are_said() {
    let Some(redis) = Redis::start() else { return };
    let desk = Desk::new().await;
    let mut served = serve(&desk, &redis.url());
    let mut subscription = redis.subscribe();
    send(&served, "before");
    assert_eq!(next(&mut subscription)["message"], "before");
    redis.signal(Signal::STOP);
    let took = fifty(&served, "while it hangs");
    assert!(took < Duration::from_secs(2), "{took:?}");
    served.wait_for("Redis missed records");
    redis.signal(Signal::CONT);
    let mut subscription = redis.subscribe();
    send(&served, "again");
    while next(&mut subscription)["message"] != "again" {}
    drop(redis);
    let took = fifty(&served, "while it is away");
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!(spooled(&desk, "web").len() > 100);
    assert!(served.said().iter().all(|line| !line.contains("hush")));
}
