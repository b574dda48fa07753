//! Reads one of a program's files as it grows, and passes its lines on to be logged.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::file::OutputFile;
use super::line::{Listener, LoggedUpTo};
use super::lines::Lines;
use super::tally::Tally;

/// Bytes read at a time.
pub(super) const CHUNK: usize = 64 << 10;
/// Text that may go on is held until the file has not grown for this long.
const QUIET: Duration = Duration::from_millis(50);

/// The reader of one file.
pub(super) struct OutputReader {
    file: Arc<OutputFile>,
    lines: Lines,
    listener: Listener,
    /// The next byte to read.
    at: u64,
    /// The size of the file at the last look.
    seen: u64,
    last_grown: Instant,
    /// How often the program emptied it, as the file counts.
    emptied: u64,
    was_emptied: bool,
}

impl OutputReader {
    /// Reads from where everything is `logged`.
    pub(super) fn new(file: Arc<OutputFile>, tally: Tally, logged: &LoggedUpTo) -> Self {
        let at = logged[file.stream() as usize].get();
        Self {
            lines: Lines::starting(at, false),
            listener: Listener::new(file.stream(), tally, Rc::clone(logged)),
            at,
            seen: at,
            last_grown: Instant::now(),
            emptied: file.times_emptied(),
            was_emptied: false,
            file,
        }
    }

    /// The same reader, beginning in the middle of a line.
    pub(super) fn in_a_line(self) -> Self {
        Self { lines: Lines::starting(self.at, true), ..self }
    }

    /// The first byte of the file that is still needed.
    pub(super) fn kept_from(&self) -> u64 {
        self.listener.holds_from().unwrap_or(u64::MAX).min(self.lines.kept_from())
    }

    /// Bytes in the file.
    pub(super) fn size(&self) -> u64 {
        self.file.size().unwrap_or(self.seen)
    }

    /// Whether the program emptied the file before.
    pub(super) fn was_emptied(&self) -> bool {
        self.was_emptied
    }

    /// Whether everything up to here was read.
    pub(super) fn is_at(&self, end: u64) -> bool {
        self.at >= end
    }

    /// Reads the next bytes, at most a buffer; calls `each` with every line. Returns whether there were any.
    pub(super) fn look(&mut self, buffer: &mut [u8], mut each: impl FnMut()) -> bool {
        let emptied = self.file.times_emptied();
        let size = self.size();
        if size < self.seen || emptied != self.emptied {
            self.begin_anew(emptied);
        }
        self.seen = size;
        let most = usize::try_from(size.saturating_sub(self.at)).unwrap_or(CHUNK).min(buffer.len());
        let read = match self.file.read(self.at, &mut buffer[..most]) {
            _ if most == 0 => 0,
            Ok((from, read)) => {
                if from > self.at {
                    self.at = from;
                    self.lines.skip_to(from);
                }
                read
            }
            Err(error) => {
                self.listener.pass_over(size, &error);
                self.lines = Lines::starting(size, false);
                self.at = size;
                0
            }
        };
        if read == 0 {
            if self.last_grown.elapsed() > QUIET {
                self.listener.settle();
            }
            return false;
        }
        if self.file.times_emptied() != emptied {
            // These bytes may be from before and after the file was emptied.
            return true;
        }
        self.last_grown = Instant::now();
        self.at += read as u64;
        let listener = &mut self.listener;
        self.lines.push(&buffer[..read], &mut |line| {
            listener.hear(line);
            each();
        });
        true
    }

    /// Logs the open line and the held text, since nothing more comes.
    pub(super) fn end(&mut self) {
        let listener = &mut self.listener;
        self.lines.end(&mut |line| listener.hear(line));
        self.listener.settle();
    }

    /// The program cut its own file; opening it anew can do that.
    fn begin_anew(&mut self, emptied: u64) {
        let unread = self.seen.saturating_sub(self.at);
        let listener = &mut self.listener;
        self.lines.end(&mut |line| listener.hear(line));
        self.lines = Lines::default();
        self.at = 0;
        self.emptied = emptied;
        let is_first = !std::mem::replace(&mut self.was_emptied, true);
        self.listener.begin_anew(unread, is_first);
    }
}
