//! One parse process, as its worker sees it: a thread starts it, listens to it, and learns how it died.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::death::{Death, LastWords, killed_for_memory};
use crate::carry;
use crate::parse::{Order, ParseNews, Received, Wire};

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
    heard: UnboundedReceiver<Heard>,
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
        let (wire, plan) = (Arc::new(wire), plan.clone());
        let (tell, heard) = unbounded_channel();
        let listening = Arc::clone(&wire);
        // The system ends the process together with the thread that started it.
        carry::thread(move || {
            let death = keep(&plan, theirs, &listening, &tell);
            // After the process was dropped, nobody listens any more.
            let _ = tell.send(Heard::Died(death));
        });
        Ok(Self { wire, heard, runs: 0 })
    }

    /// Sends it a message. If it is dead, [`Self::hear`] says so.
    pub(super) fn tell(&self, order: &Order) {
        let _ = self.wire.send(order, None);
    }

    /// Waits for the next news of it.
    pub(super) async fn hear(&mut self) -> Heard {
        let nothing = || Heard::Died(Death::NotStarted("its thread panicked".to_owned()));
        self.heard.recv().await.unwrap_or_else(nothing)
    }

    /// Its death, if it died without a job in hand.
    pub(super) fn died(&mut self) -> Option<Death> {
        std::iter::from_fn(|| self.heard.try_recv().ok()).find_map(|heard| match heard {
            Heard::Died(death) => Some(death),
            Heard::Said(..) => None,
        })
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

/// Starts the process, passes on what it says, and returns how it died.
fn keep(plan: &ProcessPlan, theirs: OwnedFd, wire: &Wire, tell: &UnboundedSender<Heard>) -> Death {
    let killed_before = killed_for_memory();
    // The command goes with its share in the socket, so that the end of the process ends the connection.
    let spawned = command(plan, theirs).spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => return Death::NotStarted(error.to_string()),
    };
    let words = pass_stderr(plan, &mut child);
    while let Ok(Some(Received { message, file })) = wire.receive() {
        let _ = tell.send(Heard::Said(message, file));
    }
    // The connection has ended, or its messages can't be understood.
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
