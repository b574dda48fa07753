//! HTTP: real requests over sockets, to the real program.

mod access;
mod bounds;
mod client;
mod killed;
mod overload;
mod publishing;
mod python;
mod reading;
mod sending;
mod tokens;

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use flate2::read::MultiGzDecoder;
use parselog::record::Record;
use rustix::process::{Pid, Signal, kill_process};

pub(crate) use client::{Answer, Client};

use crate::support::{Desk, PATIENCE};

/// `parselog serve`, and what it says.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) child: Child,
    said: Receiver<String>,
    so_far: Vec<String>,
}

impl Served {
    /// Starts it at a free port of the loopback address.
    pub(crate) fn start(desk: &Desk) -> Self {
        Self::start_with(desk, &["--listen", "127.0.0.1:0"], &[])
    }

    /// Starts it with these options and variables, and waits until it listens.
    pub(crate) fn start_with(desk: &Desk, options: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = desk.command(&[&["serve"], options].concat());
        command.envs(variables.iter().copied()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, said) = mpsc::channel();
        std::thread::spawn(move || {
            // Nobody listens any more once the test is over.
            for line in stderr.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut served = Self { address: ([127, 0, 0, 1], 0).into(), child, said, so_far: Vec::new() };
        let line = served.wait_for("listening for HTTP");
        let address = line.rsplit_once("address=").unwrap().1.split_whitespace().next().unwrap();
        let port = address.parse::<SocketAddr>().unwrap().port();
        served.address.set_port(port);
        served
    }

    /// Waits until it says this, and returns the line.
    pub(crate) fn wait_for(&mut self, words: &str) -> String {
        loop {
            match self.said.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.so_far.push(line.clone());
                    if line.contains(words) {
                        return line;
                    }
                }
                Err(_) => panic!("it never said '{words}': {:#?}", self.so_far),
            }
        }
    }

    /// What it said so far.
    pub(crate) fn said(&mut self) -> &[String] {
        self.so_far.extend(self.said.try_iter());
        &self.so_far
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Ends it in order.
    pub(crate) fn stop(mut self) {
        self.signal(Signal::TERM);
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {:#?}", self.said());
    }

    pub(crate) fn post(&self, path: &str, kind: &str, body: impl AsRef<[u8]>) -> Answer {
        Client::to(self.address).post(path, &[("Content-Type", kind)], body.as_ref())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The records of a stream in the spool of a desk, as any process left them: by their files, and in each file
/// in order.
pub(crate) fn spooled(desk: &Desk, service: &str) -> Vec<Record> {
    let mut logs: Vec<_> = desk.files("spool").iter().filter_map(|path| segment(path, service)).collect();
    logs.sort_by(|one, other| one.0.cmp(&other.0));
    logs.into_iter().flat_map(|(_, records)| records).collect()
}

/// The name of a segment of this stream, and its records.
fn segment(path: &str, service: &str) -> Option<(String, Vec<Record>)> {
    let path = Path::new(path);
    path.extension().and_then(OsStr::to_str).filter(|ending| ["open", "log"].contains(ending))?;
    let bytes = fs::read(path).ok()?;
    let content = bytes.split(|byte| *byte == 0).next()?;
    let mut lines = content.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
    let head = String::from_utf8_lossy(lines.next()?).into_owned();
    let is_its = head.contains(&format!("\"service\":\"{service}\""));
    let records = lines.filter_map(Record::decode).filter(|record| record.seq > 0);
    is_its.then(|| (path.file_stem().unwrap().to_string_lossy().into_owned(), records.collect()))
}

/// The messages of a stream once nobody serves any more: in the spool and in archives.
pub(crate) fn all_messages(desk: &Desk, service: &str) -> Vec<String> {
    let mut messages: Vec<String> = spooled(desk, service).into_iter().map(|record| record.message).collect();
    let archives = desk.files("objects").into_iter().filter(|path| path.ends_with(".log.gz"));
    for path in archives.filter(|path| path.contains(&format!("/service_logs/{service}/"))) {
        let mut log = Vec::new();
        MultiGzDecoder::new(fs::File::open(path).unwrap()).read_to_end(&mut log).unwrap();
        let records = log.split_inclusive(|byte| *byte == b'\n').filter_map(Record::decode);
        messages.extend(records.filter(|record| record.seq > 0).map(|record| record.message));
    }
    messages
}

/// Waits until something holds.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "waited for too long until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
