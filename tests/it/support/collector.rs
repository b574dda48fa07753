//! `parselog collect`, and stock handlers of Python that send to it.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{Desk, KeptPort, PATIENCE};

/// Sends numbered records through a stock handler until its stdin ends, at least a hundred, now and then a large one. Then it says how
/// many records there were, how long the longest log call took (ms), how many connections the handler made, and which
/// records it gave up itself.
const SENDER: &str = r#"
import logging, logging.handlers, select, sys, time
name, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3]) or None
log = logging.getLogger(name)
log.setLevel("DEBUG")
handler = logging.handlers.SocketHandler(host, port)
connect, connections = handler.makeSocket, 0
def counted():
    global connections
    connections += 1
    return connect(300)  # a stock handler gives a record up when this machine stands still for a second
handler.makeSocket = counted
log.addHandler(handler)
number, longest, dropped = 0, 0.0, []
while number < 100 or not select.select([sys.stdin], [], [], 0)[0]:
    for _ in range(10):
        size = 300_000 if number % 1000 == 999 else number % 200
        begun = time.perf_counter()
        log.info("%d", number, extra={"filler": "x" * size})
        longest = max(longest, time.perf_counter() - begun)
        if handler.sock is None:  # it lost the connection, and gave the record up
            dropped.append(number)
        number += 1
    time.sleep(0.02)
handler.close()
print(number, int(longest * 1000), connections, *dropped)
"#;

/// A running collector: its holder, and what that started.
pub(crate) struct Collector {
    pub(crate) desk: Desk,
    pub(crate) holder: Child,
    pub(crate) address: SocketAddr,
    /// That address is its own even while all of its processes are killed.
    _port: KeptPort,
    /// The receivers that [`Self::kill_receiver`] has killed; its holder may not have missed them yet.
    killed: Vec<Pid>,
}

/// What a sender has sent.
#[derive(Debug)]
pub(crate) struct SentBy {
    pub(crate) records: usize,
    pub(crate) longest_ms: u64,
    pub(crate) connections: u64,
    /// What the handler itself gave up.
    pub(crate) dropped: Vec<usize>,
}

impl Collector {
    /// Starts it at a free port, with these options, and waits until it listens.
    pub(crate) async fn start(options: &[&str]) -> Self {
        Self::start_as(&["collect"], options).await
    }

    /// Starts this command as one.
    pub(crate) async fn start_as(command: &[&str], options: &[&str]) -> Self {
        let (desk, port) = (Desk::new().await, KeptPort::new());
        let address = port.address();
        let holder = Self::holder(&desk, address, command, options);
        let collector = Self { desk, holder, address, _port: port, killed: Vec::new() };
        collector.listens();
        collector
    }

    /// Kills all of its processes at once, and starts it again at the same address.
    pub(crate) fn kill_and_start(&mut self) {
        let receivers = self.receivers();
        self.holder.kill().unwrap();
        // They end by themselves too, once their holder is gone.
        for receiver in receivers {
            let _ = kill_process(receiver, Signal::KILL);
        }
        self.holder.wait().unwrap();
        self.holder = Self::holder(&self.desk, self.address, &["collect"], &[]);
        self.listens();
    }

    fn holder(desk: &Desk, address: SocketAddr, command: &[&str], options: &[&str]) -> Child {
        let listen = address.to_string();
        let mut command = desk.command(&[command, &["--collect-listen", &listen], options].concat());
        let said = fs::File::create(desk.home.path().join("said")).unwrap();
        command.stderr(said).spawn().unwrap()
    }

    fn listens(&self) {
        self.wait("it listens", || self.said().contains(&format!("address={}", self.address)));
    }

    pub(crate) fn wait(&self, what: &str, mut is_there: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !is_there() {
            assert!(begun.elapsed() < PATIENCE, "{what}: {}", self.said());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// What its processes said.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.desk.home.path().join("said")).unwrap()
    }

    /// The receivers, the oldest first: that is the one in charge.
    pub(crate) fn receivers(&self) -> Vec<Pid> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.holder.id())).unwrap().flatten();
        let children = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
        let mut pids: Vec<i32> = children
            .flat_map(|all| all.split(' ').filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
            .collect();
        pids.sort_unstable();
        pids.into_iter().filter_map(Pid::from_raw).collect()
    }

    /// Kills the oldest receiver that lives, and waits for one before.
    pub(crate) fn kill_receiver(&mut self) {
        // One look: between two of them the holder may miss one that was killed before.
        let living = || self.receivers().into_iter().find(|receiver| !self.killed.contains(receiver));
        let mut found = None;
        self.wait("a receiver", || {
            found = living();
            found.is_some()
        });
        let receiver = found.expect("the wait has ended");
        kill_process(receiver, Signal::KILL).unwrap();
        self.killed.push(receiver);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.holder), signal).unwrap();
    }

    pub(crate) fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).unwrap()
    }

    /// Starts a stock handler that logs as `name`.
    pub(crate) fn sender(&self, name: &str) -> Child {
        Self::sender_to(name, "127.0.0.1", self.address.port())
    }

    /// Starts one that sends to this host, or without a port to a Unix socket at this path.
    pub(crate) fn sender_to(name: &str, host: &str, port: u16) -> Child {
        let mut command = Command::new("python3");
        command.args(["-c", SENDER, name, host, &port.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
    }

    /// Ends it as a service manager does, and returns the messages of these streams.
    pub(crate) fn end(&mut self, streams: &[&str]) -> Vec<Vec<String>> {
        self.signal(Signal::TERM);
        assert!(self.holder.wait().unwrap().success(), "{}", self.said());
        let message = |line: &Value| line["message"].as_str().unwrap().to_owned();
        let read = |stream: &&str| {
            let said = self.desk.ok(&["logs", &format!("service:{stream}"), "--json"]).json();
            // What parselog itself says of a segment has no number.
            said.iter().filter(|line| line["seq"] != 0).map(message).collect()
        };
        streams.iter().map(read).collect()
    }

    /// Ends these senders and the collector. Each record that a log call handed over is stored, once and in order, as
    /// far as it came by one connection.
    pub(crate) fn compare(&mut self, senders: &mut [(&str, Child)]) -> Vec<SentBy> {
        let sent: Vec<SentBy> = senders.iter_mut().map(|(_, sender)| SentBy::end(sender)).collect();
        let names: Vec<&str> = senders.iter().map(|(name, _)| *name).collect();
        for ((name, sent), mut stored) in names.iter().zip(&sent).zip(self.end(&names)) {
            if sent.connections > 1 {
                stored.sort_by_key(|message| message.parse::<usize>().unwrap());
            }
            let handed_over = (0..sent.records).filter(|number| !sent.dropped.contains(number));
            let expected: Vec<String> = handed_over.map(|number| number.to_string()).collect();
            let differs = stored.iter().zip(&expected).position(|(stored, expected)| stored != expected);
            let near = differs.map(|at| &stored[at.saturating_sub(3)..(at + 3).min(stored.len())]);
            assert_eq!(
                (stored.len(), differs),
                (expected.len(), None),
                "{name}, {sent:?}, near {near:?}: {}",
                self.said()
            );
        }
        sent
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

impl SentBy {
    fn end(sender: &mut Child) -> Self {
        drop(sender.stdin.take().map(|mut stdin| stdin.write_all(b"\n")));
        let mut line = String::new();
        BufReader::new(sender.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(sender.wait().unwrap().success());
        let said: Vec<u64> = line.split_whitespace().map(|number| number.parse().unwrap()).collect();
        let dropped = said[3..].iter().map(|number| *number as usize).collect();
        Self { records: said[0] as usize, longest_ms: said[1], connections: said[2], dropped }
    }
}
