//! The port of one run, to which the log handlers of its program send records.
//!
//! The thread that reads the program's output reads the port too, at once and at all times: a handler that can't
//! send for a second loses a record, so nobody is ever pushed back. Nothing is written to a connection: its sender
//! would not read it.

use std::io::{self, ErrorKind, Read as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::super::{Category, Problem};
use super::entry::Entry;
use super::line::LoggedUpTo;
use super::tally::Tally;
use crate::frames::{Arrived, Decoder, FrameReader};
use crate::record::event::EXTERNAL;

/// The host that the port is on.
pub(super) const HOST: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// Longer frames (bytes) are skipped.
const CAP: usize = 1 << 20;
/// Most memory (bytes) that the unfinished frames of all connections take; beyond it they are given up.
const MOST_HELD: usize = 64 << 20;
/// When the program is over, a connection that neither ends nor sends for so long is of somebody else.
const PATIENCE: Duration = Duration::from_secs(1);

/// Reads what arrives at the port, and logs it in the current span.
pub(super) struct PortReader {
    listener: TcpListener,
    connections: Vec<LogConnection>,
    decoder: Decoder,
    tally: Tally,
    logged: LoggedUpTo,
    /// Bytes of unfinished frames.
    held: usize,
    /// No connection could be accepted, which the log says once.
    is_short: bool,
}

struct LogConnection {
    socket: TcpStream,
    frames: FrameReader,
    /// Frames without a record.
    lost: u64,
}

/// Opens a port for one run.
pub(super) fn open() -> io::Result<TcpListener> {
    let listener = TcpListener::bind((HOST, 0))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

impl PortReader {
    /// A reader that counts problems in `tally`; its events speak for the streams up to `logged`.
    pub(super) fn new(listener: TcpListener, tally: Tally, logged: &LoggedUpTo) -> Self {
        Self {
            listener,
            connections: Vec::new(),
            decoder: Decoder::default(),
            tally,
            logged: Rc::clone(logged),
            held: 0,
            is_short: false,
        }
    }

    /// Waits at most `patience` for something to arrive, and logs it. Returns whether anything arrived.
    pub(super) fn look(&mut self, patience: Duration, buffer: &mut [u8]) -> bool {
        let sockets =
            self.connections.iter().map(|connection| PollFd::new(&connection.socket, PollFlags::IN));
        let listener = std::iter::once(PollFd::new(&self.listener, PollFlags::IN));
        let mut polled: Vec<PollFd<'_>> = sockets.chain(listener).collect();
        let timeout = Timespec::try_from(patience).ok();
        if !poll(&mut polled, timeout.as_ref()).is_ok_and(|ready| ready > 0) {
            return false;
        }
        let mut ready: Vec<bool> = polled.iter().map(|polled| !polled.revents().is_empty()).collect();
        let someone_knocks = ready.pop().unwrap_or_default();
        let mut found = false;
        for at in (0..ready.len()).rev().filter(|at| ready[*at]) {
            found |= self.read(at, buffer);
        }
        found | (someone_knocks && self.accept())
    }

    /// Reads everything that arrived until now, to the end of each connection.
    pub(super) fn end(mut self, buffer: &mut [u8]) {
        let mut last = Instant::now();
        loop {
            let patience = if self.connections.is_empty() {
                Duration::ZERO
            } else {
                PATIENCE.saturating_sub(last.elapsed())
            };
            if self.look(patience, buffer) {
                last = Instant::now();
            } else if self.connections.is_empty() || last.elapsed() >= PATIENCE {
                break;
            }
        }
        while !self.connections.is_empty() {
            self.close(0);
        }
    }

    fn accept(&mut self) -> bool {
        match self.listener.accept().and_then(|(socket, _)| socket.set_nonblocking(true).map(|()| socket)) {
            Ok(socket) => {
                self.connections.push(LogConnection { socket, frames: FrameReader::new(CAP), lost: 0 });
                true
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(error) => {
                if !std::mem::replace(&mut self.is_short, true) {
                    self.warn(0, &format!("connections to the run's log port have to wait: {error}"));
                }
                // They stay in the queue until others end.
                std::thread::sleep(Duration::from_millis(1));
                false
            }
        }
    }

    /// Reads once from a connection; returns whether anything came, its end included.
    fn read(&mut self, at: usize, buffer: &mut [u8]) -> bool {
        let connection = &mut self.connections[at];
        let read = match connection.socket.read(buffer) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return false;
            }
            Err(_) | Ok(0) => {
                self.close(at);
                return true;
            }
            Ok(read) => read,
        };
        let mut heard = Hearing {
            decoder: &mut self.decoder,
            tally: &self.tally,
            logged: &self.logged,
            lost: &mut connection.lost,
        };
        self.held -= connection.frames.held();
        connection.frames.take(&buffer[..read], &mut |arrived, _| heard.hear(&arrived));
        if self.held + connection.frames.held() > MOST_HELD {
            connection.frames.give_up();
            heard.refuse("too many unfinished frames are held");
        }
        self.held += connection.frames.held();
        true
    }

    /// Ends a connection; the end may stand within a frame.
    fn close(&mut self, at: usize) {
        let mut connection = self.connections.swap_remove(at);
        self.held -= connection.frames.held();
        let mut heard = Hearing {
            decoder: &mut self.decoder,
            tally: &self.tally,
            logged: &self.logged,
            lost: &mut connection.lost,
        };
        if connection.frames.end(&mut |arrived, _| heard.hear(&arrived)) {
            heard.refuse("the connection ends within it");
        }
        if connection.lost > 0 {
            self.warn(
                connection.lost,
                &format!(
                    "a connection to the run's log port had {} frames without a record",
                    connection.lost
                ),
            );
        }
    }

    fn warn(&self, lost: u64, message: &str) {
        let [stdout, stderr] = self.logged.each_ref().map(std::cell::Cell::get);
        tracing::warn!(
            target: EXTERNAL,
            parselog_stdout = stdout,
            parselog_stderr = stderr,
            parselog_lost = lost,
            "{message}"
        );
    }
}

/// What a connection says becomes events.
struct Hearing<'a> {
    decoder: &'a mut Decoder,
    tally: &'a Tally,
    logged: &'a LoggedUpTo,
    lost: &'a mut u64,
}

impl Hearing<'_> {
    fn hear(&mut self, arrived: &Arrived<'_>) {
        match arrived {
            Arrived::Frame(body) => match self.decoder.decode(body) {
                Ok(record) => {
                    let level = record.level;
                    Entry { level, record: record.into() }.log(self.tally, self.output());
                }
                Err(reason) => self.refuse(&reason),
            },
            Arrived::TooLong => self.refuse(&format!("it is longer than {CAP} bytes")),
            Arrived::Strange(stranger) => self.refuse(&format!("it is {}", stranger.describe())),
        }
    }

    /// Counts a frame without a record. The first one of a connection is a problem of the submission, since nobody
    /// knows what it would have said.
    fn refuse(&mut self, reason: &str) {
        *self.lost += 1;
        if *self.lost == 1 {
            let message = format!("a frame at the run's log port can't be read: {reason}");
            let problem = Problem { message: &message, ..Problem::new(Category::Record) };
            problem.event().log(false, None, Some(self.output()));
            self.tally.problem(&problem);
        }
    }

    fn output(&self) -> [u64; 2] {
        self.logged.each_ref().map(std::cell::Cell::get)
    }
}
