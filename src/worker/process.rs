//! One parse process, as its worker sees it: a thread starts it, and learns how it died.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use tokio::sync::oneshot;

use super::death::{Death, LastWords, killed_for_memory};
use crate::carry;
use crate::parse::{Ear, Order, ParseNews, Received, Wire};

/// The program of this process, even where its file has been replaced since.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// How long to wait for the last words of a dead process, since a child of it may hold its stderr open.
const WORDS: Duration = Duration::from_secs(2);

/// The longest line of its stderr that is passed on in one piece, in bytes.
const LONGEST_LINE: u64 = 64 << 10;

/// How parse processes are started and bounded.
#[derive(Clone)]
pub struct ProcessPlan {
    /// The arguments with which this program is a parse process.
    pub arguments: Vec<OsString>,
    /// How many runs one parses before a new one takes its place.
    pub runs_each: u32,
    /// The most memory that one may have, in bytes; it sets that limit for itself.
    pub memory: u64,
    /// Takes what one says on stderr, line by line.
    pub said: Arc<dyn Fn(&str) + Send + Sync>,
}

/// A parse process; ended when dropped.
pub(super) struct ParseProcess {
    wire: Arc<Wire>,
    ear: Ear,
    death: oneshot::Receiver<Death>,
    /// Runs that it was given.
    pub(super) runs: u32,
}

/// News of a parse process.
#[derive(Debug)]
pub(super) enum Heard {
    Said(ParseNews, Option<File>),
    /// The last news.
    Died(Death),
}

impl ParseProcess {
    /// Starts one without waiting for it: it finds early messages when it is ready.
    ///
    /// # Errors
    /// This process has too many open files. A process that can't be started is a [`Death`].
    pub(super) fn start(plan: &ProcessPlan) -> io::Result<Self> {
        let (wire, theirs) = Wire::pair()?;
        let ear = wire.ear()?;
        let (wire, plan) = (Arc::new(wire), plan.clone());
        let (tell, death) = oneshot::channel();
        let watched = Arc::clone(&wire);
        // The system ends the process together with the thread that started it.
        carry::thread(move || {
            // After the process was dropped, nobody asks any more.
            let _ = tell.send(keep(&plan, theirs, &watched));
        });
        Ok(Self { wire, ear, death, runs: 0 })
    }

    /// Sends it a message. If it is dead, [`Self::hear`] says so.
    pub(super) fn tell(&self, order: &Order) {
        let _ = self.wire.send(order, None);
    }

    /// Waits for the next news of it. Its death is the last.
    pub(super) async fn hear(&mut self) -> Heard {
        match self.ear.receive().await {
            Ok(Some(Received { message, file })) => Heard::Said(message, file),
            Ok(None) | Err(_) => {
                // What can't be understood ends the connection too, and with it the process.
                self.wire.close();
                let death = (&mut self.death).await;
                Heard::Died(death.unwrap_or_else(|_| Death::NotStarted("its thread panicked".to_owned())))
            }
        }
    }

    /// Its death, if it died without a job in hand.
    pub(super) fn died(&mut self) -> Option<Death> {
        self.death.try_recv().ok()
    }

    /// A handle that ends it.
    pub(super) fn ender(&self) -> Ender {
        Ender(Arc::clone(&self.wire))
    }
}

impl Drop for ParseProcess {
    fn drop(&mut self) {
        self.wire.close();
    }
}

/// Ends a parse process at once, and sends it messages while another part of the worker listens to it.
pub(super) struct Ender(Arc<Wire>);

impl Ender {
    /// As [`ParseProcess::tell`].
    pub(super) fn tell(&self, order: &Order) {
        let _ = self.0.send(order, None);
    }

    /// Ends it.
    pub(super) fn end(&self) {
        self.0.close();
    }
}

/// Starts the process, and returns how it died.
fn keep(plan: &ProcessPlan, theirs: OwnedFd, wire: &Wire) -> Death {
    let killed_before = killed_for_memory();
    // The command goes with its share in the socket, so that the end of the process ends the connection.
    let spawned = command(plan, theirs).spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => return Death::NotStarted(error.to_string()),
    };
    let words = pass_stderr(plan, &mut child);
    // Where the system can't wait for the end, it is now.
    let _ = wire.ended();
    let _ = child.kill();
    let status = match child.wait() {
        Ok(status) => status,
        Err(error) => return Death::NotStarted(format!("nobody knows how it ended: {error}")),
    };
    let mut words = words();
    words.memory_was_short = killed_for_memory() > killed_before;
    Death::Ended { status, words }
}

fn command(plan: &ProcessPlan, socket: OwnedFd) -> Command {
    let mut command = Command::new(THIS_PROGRAM);
    if let Some(name) = std::env::args_os().next() {
        command.arg0(name);
    }
    command.args(&plan.arguments).stdin(socket).stderr(Stdio::piped());
    command
}

/// Passes on the stderr of the process; the returned function waits for its end, and returns what it said.
fn pass_stderr(plan: &ProcessPlan, child: &mut Child) -> impl FnOnce() -> LastWords + use<> {
    let words = Arc::new(Mutex::new(LastWords::default()));
    let (ended, at_end) = mpsc::channel::<()>();
    if let Some(stderr) = child.stderr.take() {
        let (pass, words) = (Arc::clone(&plan.said), Arc::clone(&words));
        carry::thread(move || {
            let _ended = ended;
            for_each_line(stderr, |line| {
                words.lock().unwrap_or_else(PoisonError::into_inner).hear(line);
                pass(line);
            });
        });
    }
    move || {
        // Either result ends the wait: the process hung up, or the time is over.
        let _ = at_end.recv_timeout(WORDS);
        *words.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn for_each_line(from: impl Read, mut each: impl FnMut(&str)) {
    let mut reader = BufReader::new(from);
    let mut line = Vec::new();
    while reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        each(String::from_utf8_lossy(&line).trim_end_matches('\n'));
        line.clear();
    }
}
