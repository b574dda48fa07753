//! Turns one line of an external parser's output into one event.
//!
//! A JSON record, or a line that says its level, is read as such; any other line is text.

use std::cell::Cell;
use std::fmt::Write as _;
use std::rc::Rc;

use super::entry::Entry;
use super::stream::Stream;
use super::tally::Tally;
use super::text;
use super::traceback::Gathering;
use crate::record::event::EXTERNAL;
use crate::record::{Foreign, Level};

/// The byte of each stream up to which everything is logged. Each event of a program carries it, so the log
/// alone says where to continue. The listeners of one program share it.
pub(super) type LoggedUpTo = Rc<[Cell<u64>; 2]>;

/// A line as it came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Raw<'a> {
    pub(super) bytes: &'a [u8],
    /// The number of this piece of a line that was too long, from 1.
    pub(super) piece: Option<u64>,
    /// How often the text of the line was overwritten before, as a progress bar does.
    pub(super) overwritten: u64,
    /// The byte of the stream behind the line.
    pub(super) end: u64,
}

/// Turns the lines of one stream into events and counts its problems.
#[derive(Debug)]
pub(super) struct Listener {
    stream: Stream,
    tally: Tally,
    gathering: Gathering,
    /// The end of the last line.
    heard: u64,
    logged: LoggedUpTo,
}

impl Listener {
    pub(super) fn new(stream: Stream, tally: Tally, logged: LoggedUpTo) -> Self {
        let heard = logged[stream as usize].get();
        Self { stream, tally, gathering: Gathering::default(), heard, logged }
    }

    /// The beginning of the text that it holds, if any.
    pub(super) fn holds_from(&self) -> Option<u64> {
        self.gathering.is_holding().then(|| self.logged[self.stream as usize].get())
    }

    /// The program emptied its file, so the file begins anew. At least `unread` bytes were lost with it; the
    /// first time, the event says that there may have been more.
    pub(super) fn begin_anew(&mut self, unread: u64, is_first: bool) {
        self.settle();
        self.heard = 0;
        let [stdout, stderr] = self.log_up_to_heard();
        let name = self.stream.name();
        if is_first {
            tracing::warn!(
                target: EXTERNAL,
                parselog_stdout = stdout,
                parselog_stderr = stderr,
                "the parser empties its own {name} by opening it anew (`>/dev/{name}`), which loses what it wrote just \
                 before: let it append (`>>/dev/{name}`)"
            );
        }
        if unread > 0 {
            tracing::warn!(
                target: EXTERNAL,
                parselog_stdout = stdout,
                parselog_stderr = stderr,
                parselog_lost = lines_in(unread),
                "the parser emptied its own {name}, and {unread} bytes or more that nobody had read"
            );
        }
    }

    /// Says that the output up to byte `end` can't be read.
    pub(super) fn pass_over(&mut self, end: u64, error: &std::io::Error) {
        self.settle();
        let (lost, name) = (end - self.heard.min(end), self.stream.name());
        self.heard = end;
        let [stdout, stderr] = self.log_up_to_heard();
        tracing::warn!(
            target: EXTERNAL,
            parselog_stdout = stdout,
            parselog_stderr = stderr,
            parselog_lost = lines_in(lost),
            "{lost} bytes of the parser's {name} can't be read: {error}"
        );
    }

    /// Everything is logged up to the last line that was heard.
    fn log_up_to_heard(&self) -> [u64; 2] {
        self.logged[self.stream as usize].set(self.heard);
        self.logged.each_ref().map(Cell::get)
    }

    /// Logs one line, or holds it until its other lines are known.
    pub(super) fn hear(&mut self, raw: Raw<'_>) {
        let line = readable(raw.bytes);
        let is_whole_or_first = raw.piece.is_none_or(|piece| piece == 1);
        if let Some(mut record) = Foreign::read(&line).filter(|_| is_whole_or_first) {
            self.settle();
            self.heard = raw.end;
            if raw.piece.is_some() {
                record.damage = Some(format!("it is longer than {} bytes", raw.bytes.len()));
            }
            return self.say(record);
        }
        if raw.piece.is_some() {
            self.settle();
            self.heard = raw.end;
            return self.text(&line, raw);
        }
        let read = text::read(&line);
        let was_holding = self.gathering.is_holding();
        let gathered = self.gathering.take(&line, read.as_ref());
        if let Some(before) = gathered.before {
            self.say(before);
        } else if !was_holding {
            self.log_up_to_heard();
        }
        self.heard = raw.end;
        match read {
            _ if gathered.held => {}
            Some(record) => self.say(record),
            None => self.text(&line, raw),
        }
    }

    /// Logs the held text, since nothing more comes for now.
    pub(super) fn settle(&mut self) {
        match self.gathering.flush() {
            Some(held) => self.say(held),
            None => drop(self.log_up_to_heard()),
        }
    }

    fn text(&self, line: &str, raw: Raw<'_>) {
        let (piece, overwritten) = (raw.piece, (raw.overwritten > 0).then_some(raw.overwritten));
        let [stdout, stderr] = self.log_up_to_heard();
        macro_rules! emit {
            ($level:ident) => {
                tracing::$level!(
                    target: EXTERNAL,
                    parselog_stdout = stdout,
                    parselog_stderr = stderr,
                    piece,
                    overwritten,
                    "{line}"
                )
            };
        }
        match self.stream {
            Stream::Stderr if overwritten.is_none() => {
                self.tally.complaint(line);
                emit!(warn);
            }
            _ => emit!(info),
        }
    }

    fn say(&self, record: Foreign) {
        let fallback = match self.stream {
            Stream::Stderr => Level::Warn,
            Stream::Stdout if record.damage.is_some() => Level::Warn,
            Stream::Stdout => Level::Info,
        };
        let level = record.level.unwrap_or(fallback);
        if matches!(self.stream, Stream::Stderr) && level >= Level::Warn {
            self.tally.complaint(&record.message);
        }
        Entry { level, record }.log(&self.tally, self.log_up_to_heard());
    }
}

/// How many lines are known to be lost with unread bytes: at least one, and nobody can know more.
fn lines_in(bytes: u64) -> u64 {
    bytes.min(1)
}

/// Whether a line says its level; such a line must not be skipped.
pub(super) fn says_its_level(bytes: &[u8]) -> bool {
    let line = String::from_utf8_lossy(bytes);
    Foreign::read(&line).is_some() || text::read(&line).is_some()
}

/// The bytes as text, with invalid UTF-8 as `\xNN`.
fn readable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}
