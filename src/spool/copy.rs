//! A log that is written anew from the lines that are left of it: each event once, in order, between a head and a
//! tail that counts them.

use std::io::{self, BufWriter, Write};

use chrono::{DateTime, Utc};

use super::Closed;
use super::missing::MissingEvents;
use crate::record::{Cut, Head, LogCount, LogEnding, Record, Tail};

/// The copy while it is written.
pub(super) struct LogCopy<W: Write> {
    to: BufWriter<W>,
    /// The time of what it says itself.
    at: DateTime<Utc>,
    lines: u64,
    count: LogCount,
    head: Option<Head>,
    /// The log's own tail, as a line and decoded.
    tail: Option<(Vec<u8>, Closed)>,
}

/// How a copy ends, as far as the lines do not say it.
pub(super) struct CopyEnd<'a> {
    pub(super) head: Option<&'a Head>,
    /// Events that are known to be missing.
    pub(super) missing: MissingEvents,
    pub(super) ending: LogEnding,
    pub(super) reason: Option<String>,
}

impl<W: Write> LogCopy<W> {
    /// Writes to `to`; what it says itself has this time.
    pub(super) fn new(to: W, at: DateTime<Utc>) -> Self {
        Self {
            to: BufWriter::with_capacity(1 << 20, to),
            at,
            lines: 0,
            count: LogCount::default(),
            head: None,
            tail: None,
        }
    }

    /// Writes only what comes behind the lines that are counted, of which another place has the log.
    pub(super) fn behind(to: W, at: DateTime<Utc>, head: Head, count: LogCount) -> Self {
        Self { count, head: Some(head), ..Self::new(to, at) }
    }

    pub(super) fn lines(&self) -> u64 {
        self.lines
    }

    /// The highest number of an event so far.
    pub(super) fn last(&self) -> u64 {
        self.count.last
    }

    /// Whether an event before this one is missing so far.
    pub(super) fn lacks_before(&self, seq: u64) -> bool {
        self.count.lacks_before(seq)
    }

    /// Whether it has the log's own tail.
    pub(super) fn has_tail(&self) -> bool {
        self.tail.is_some()
    }

    /// Adds an event, unless it is there.
    pub(super) fn event(&mut self, seq: u64, line: &[u8], head: Option<&Head>) -> io::Result<()> {
        if seq <= self.count.last {
            return Ok(());
        }
        self.begin(head)?;
        self.count.event(seq, line);
        self.write(line)
    }

    /// Adds a head, a cut or a tail.
    pub(super) fn frame(&mut self, line: &[u8], head: Option<&Head>) -> io::Result<()> {
        let Some(record) = Record::decode(line) else { return Ok(()) };
        if let (Some(found), None) = (record.head, &self.head) {
            self.head = Some(*found);
            return self.write(line);
        }
        if record.cut.is_some() && !self.count.has_cut {
            self.begin(head)?;
            self.count.has_cut = true;
            return self.write(line);
        }
        if let Some((tail, at)) = record.tail.zip(record.timestamp) {
            self.tail = Some((line.to_owned(), Closed { tail, at }));
        }
        Ok(())
    }

    /// Marks that events are missing before the event `seq`.
    pub(super) fn mark_cut(&mut self, seq: u64, head: Option<&Head>) -> io::Result<()> {
        if std::mem::replace(&mut self.count.has_cut, true) {
            return Ok(());
        }
        self.begin(head)?;
        let cut = Cut { dropped: (seq - 1).saturating_sub(self.count.events.total()) };
        self.write(&cut.to_line(self.at))
    }

    /// Completes it: with its own tail if that counts what is there, else with one that does.
    pub(super) fn finish(&mut self, end: &CopyEnd<'_>) -> io::Result<(Head, Closed)> {
        self.begin(end.head)?;
        let said =
            self.tail.as_ref().map_or(0, |(_, closed)| closed.tail.events.total() + closed.tail.dropped);
        let emitted = end.missing.emitted_in_all(said.max(self.count.last));
        if emitted > 0 && self.count.last == 0 {
            return Err(io::Error::other("none of its events can be read any more"));
        }
        let (line, closed) = match self.tail.take() {
            Some((line, closed)) if closed.tail.events == self.count.events => (line, closed),
            found => {
                let (ending, reason) = found.map_or_else(
                    || (end.ending, end.reason.clone()),
                    |(_, Closed { tail, .. })| (tail.ending, tail.reason),
                );
                let dropped = emitted - self.count.events.total();
                let tail = Tail { ending, reason, events: self.count.events, dropped };
                (tail.to_line(self.at), Closed { tail, at: self.at })
            }
        };
        self.write(&line)?;
        self.to.flush()?;
        let head = self.head.clone().expect("it begins with a head");
        Ok((head, closed))
    }

    /// Begins with the known head, where the log's own can't be read.
    fn begin(&mut self, head: Option<&Head>) -> io::Result<()> {
        if self.head.is_none() {
            let head = head.ok_or_else(|| io::Error::other("its head can't be read"))?;
            self.write(&head.to_line())?;
            self.head = Some(head.clone());
        }
        Ok(())
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        self.lines += 1;
        self.to.write_all(line)
    }
}
