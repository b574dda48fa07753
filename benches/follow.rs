//! How long a line of a growing log takes to those who follow it in a browser:
//!
//! ```text
//! make bench BENCH="follow -- 1000 10"    so many followers over sockets, of a log with 1,000 lines a second, for 10 s
//! ```
//!
//! Without arguments 1,000 followers for 5 s. Each line has the time at which an external parser wrote it, so a figure
//! is the whole way: from its pipe through the log and the server to each follower, all on this machine.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a bench's own tasks belong to no run")]

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail, ensure};
use parselog_benches::{Served, peak_memory, program};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Lines a second.
const PACE: u64 = 1_000;

/// The longest time that is told apart.
const LONGEST: usize = 10_000;

/// Writes lines with their times at a pace, once a file is there.
const PARSER: &str = "
import os, sys, time
print('begins', flush=True)
while not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
pace, lines = int(sys.argv[2]), int(sys.argv[3])
began = time.monotonic()
for line in range(lines):
    wait = began + line / pace - time.monotonic()
    if wait > 0:
        time.sleep(wait)
    print('sent', time.time_ns() // 1000, flush=True)
";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        [] => follow(1_000, 5),
        [followers, seconds] => follow(followers.parse()?, seconds.parse()?),
        _ => bail!("FOLLOWERS SECONDS?"),
    }
}

/// How many lines took how many milliseconds.
struct Delays(Vec<AtomicU64>);

impl Delays {
    /// The delay that so many of a hundred have at most, in milliseconds.
    fn percentile(&self, percent: u64) -> usize {
        let counts: Vec<u64> = self.0.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        let wanted = (counts.iter().sum::<u64>() * percent).div_ceil(100);
        let mut sum = 0;
        counts
            .iter()
            .position(|count| {
                sum += count;
                sum >= wanted
            })
            .unwrap_or(LONGEST)
    }
}

fn follow(followers: usize, seconds: u64) -> Result<()> {
    let served = Served::start(&[])?;
    let home = served.home.path();
    let token = said(run(home, &["token", "create", "bench", "--role", "staff"])?)?;
    let (script, go, file) = (home.join("lines.py"), home.join("go"), home.join("file.txt"));
    std::fs::write(&script, PARSER)?;
    std::fs::write(&file, "x")?;
    let file = file.to_string_lossy();
    let what =
        ["--program", "tanf", "--section", "active", "--year", "2021", "--quarter", "1", "--state", "WI"];
    let submitted = said(run(home, &[&["submit", "--json", &file], &what[..]].concat())?)?;
    let lines = PACE * seconds;
    let rule = format!("tanf/*=python3 {} {} {PACE} {lines}", script.display(), go.display());
    let mut worker = command(home, &["worker", "--drain", "--parser-for", &rule]);
    let mut worker = worker.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (_, rest) = submitted.split_once("\"run_id\"").context("no run")?;
    let path = format!("/runs/{}/log/events?from=1", rest.split('"').nth(1).unwrap_or_default());
    let delays = Arc::new(Delays((0..=LONGEST).map(|_| AtomicU64::new(0)).collect()));
    let heard = runtime.block_on(async {
        let (mut tasks, began) = (JoinSet::new(), Arc::new(tokio::sync::Barrier::new(followers + 1)));
        for _ in 0..followers {
            let one = Follower {
                address: served.address,
                token: token.trim().to_owned(),
                path: path.clone(),
                began: Arc::clone(&began),
                delays: Arc::clone(&delays),
            };
            tasks.spawn(one.follow());
        }
        began.wait().await;
        std::fs::write(&go, "")?;
        let mut heard = 0;
        while let Some(one) = tasks.join_next().await {
            heard += one??;
        }
        anyhow::Ok(heard)
    })?;
    ensure!(worker.wait()?.success(), "the worker failed");
    ensure!(heard == lines * followers as u64, "{heard} of {} lines came", lines * followers as u64);
    let memory = peak_memory(&served.child.id().to_string()).unwrap_or_default() / 1000;
    println!(
        "follow     {followers} followers of {PACE} lines/s: median {} ms, 99th percentile {} ms, longest {} ms, peak \
         memory {memory} MB",
        delays.percentile(50),
        delays.percentile(99),
        delays.percentile(100),
    );
    Ok(())
}

/// Somebody who follows a log.
struct Follower {
    address: SocketAddr,
    token: String,
    path: String,
    /// Everybody waits until all have heard something.
    began: Arc<tokio::sync::Barrier>,
    delays: Arc<Delays>,
}

impl Follower {
    /// Follows the log to its end; how many lines came that have a time.
    async fn follow(self) -> Result<u64> {
        let (mut heard, mut last, mut has_begun) = (0, 0, false);
        loop {
            let mut stream = BufReader::new(TcpStream::connect(self.address).await?);
            let head = format!(
                "GET {} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nLast-Event-ID: {last}\r\n\r\n",
                self.path, self.token
            );
            stream.write_all(head.as_bytes()).await?;
            let mut line = String::new();
            loop {
                line.clear();
                if stream.read_line(&mut line).await? == 0 {
                    break;
                }
                if let Some(id) = line.strip_prefix("id: ") {
                    last = id.trim().parse::<u64>()?;
                } else if line.trim() == "event: end" {
                    return Ok(heard);
                } else if line.starts_with("data: ") {
                    if let Some((_, sent)) = line.split_once("sent ") {
                        self.note(sent);
                        heard += 1;
                    } else if !has_begun && line.contains("begins") {
                        has_begun = true;
                        self.began.wait().await;
                    }
                }
            }
        }
    }

    fn note(&self, sent: &str) {
        let digits = sent.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        let sent = Duration::from_micros(digits.parse().unwrap_or_default());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let delay = now.saturating_sub(sent).as_millis() as usize;
        self.delays.0[delay.min(LONGEST)].fetch_add(1, Ordering::Relaxed);
    }
}

fn command(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(arguments).env("PARSELOG_HOME", home);
    command
}

fn run(home: &Path, arguments: &[&str]) -> Result<Output> {
    let output = command(home, arguments).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(output)
}

fn said(output: Output) -> Result<String> {
    Ok(String::from_utf8(output.stdout)?)
}
