//! What `parselog serve` takes and answers:
//!
//! ```text
//! make bench BENCH="http -- send 5"       records a second in batches of 100, with and without sync, 5 s each
//! make bench BENCH="http -- read 1GiB"    `GET ?limit=100` on a stream of this size
//! ```
//!
//! Without arguments both, at 5 s and 100 MiB. It starts the program itself, with the embedded database.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a bench's own threads belong to no run")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use bytesize::ByteSize;
use parselog_benches::{Served, peak_memory};

/// Connections that send at once, and records of a request.
const SENDERS: usize = 4;
const BATCH: usize = 100;

/// Readings to measure.
const READINGS: usize = 500;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        [] => send(5).and_then(|()| read(ByteSize::mib(100))),
        ["send", seconds] => send(seconds.parse()?),
        ["read", size] => read(size.parse().map_err(anyhow::Error::msg)?),
        _ => bail!("send SECONDS or read SIZE?"),
    }
}

fn send(seconds: u64) -> Result<()> {
    for sync in ["off", "on"] {
        let served = Served::start(&["--intake-sync", sync])?;
        let end = Instant::now() + Duration::from_secs(seconds);
        let send = || -> Result<u64> {
            let (mut client, body, mut sent) = (Client::to(served.address)?, batch(BATCH), 0);
            while Instant::now() < end {
                let answer = client.ask("POST", "/logs", &body)?;
                ensure!(
                    answer.starts_with(b"{\"status\":\"logged\"}"),
                    "{}",
                    String::from_utf8_lossy(&answer)
                );
                sent += BATCH as u64;
            }
            Ok(sent)
        };
        let sent: u64 = std::thread::scope(|threads| {
            let senders: Vec<_> = (0..SENDERS).map(|_| threads.spawn(send)).collect();
            senders.into_iter().map(|sender| sender.join().expect("it does not panic")).sum::<Result<u64>>()
        })?;
        let pace = sent / seconds;
        let memory = peak_memory(&served.child.id().to_string()).unwrap_or_default() / 1000;
        println!(
            "send       {pace} records/s in batches of {BATCH} over {SENDERS} connections, sync {sync}, peak memory {memory} MB"
        );
    }
    Ok(())
}

fn read(size: ByteSize) -> Result<()> {
    let served = Served::start(&[])?;
    let (mut client, body) = (Client::to(served.address)?, batch(10_000));
    let mut sent = 0;
    while sent < size.as_u64() {
        client.ask("POST", "/logs", &body)?;
        sent += body.len() as u64;
    }
    let mut times = Vec::new();
    for _ in 0..READINGS {
        let began = Instant::now();
        let answer = client.ask("GET", "/logs/web?limit=100", b"")?;
        times.push(began.elapsed());
        ensure!(
            answer.starts_with(b"{\"service\":\"web\",\"count\":100,"),
            "{}",
            String::from_utf8_lossy(&answer)
        );
    }
    times.sort();
    let (median, late) = (times[READINGS / 2], times[READINGS * 99 / 100]);
    println!("read       the last 100 records of {size}: median {median:.2?}, 99th percentile {late:.2?}");
    Ok(())
}

/// So many records in an array.
fn batch(records: usize) -> Vec<u8> {
    let record = |nth| {
        format!(
            "{{\"service\":\"web\",\"levelname\":\"INFO\",\"name\":\"app.views\",\"created\":1764237600.123456,\
             \"pathname\":\"/app/views.py\",\"lineno\":{nth},\"process\":77,\"threadName\":\"MainThread\",\
             \"message\":\"GET /files/{nth} was answered with 200 in 12 ms\",\"user\":\"ann\"}}"
        )
    };
    format!("[{}]", (0..records).map(record).collect::<Vec<_>>().join(",")).into_bytes()
}

/// A connection.
struct Client(BufReader<TcpStream>);

impl Client {
    fn to(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> Result<Vec<u8>> {
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
        self.0.get_mut().write_all(&[head.as_bytes(), body].concat())?;
        let mut length = 0;
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line)?;
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(said) = line.strip_prefix("content-length: ") {
                length = said.parse()?;
            }
            if line.is_empty() {
                break;
            }
        }
        let mut answer = vec![0; length];
        self.0.read_exact(&mut answer)?;
        Ok(answer)
    }
}
