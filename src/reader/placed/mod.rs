//! Reads the stream of a service: its segments in the spool of this machine and in the object store, as one log.
//!
//! Several processes may write to one stream at once, each to a segment of its own. Its records are in the order
//! of their times; among records of one time, segment and number decide. So each record has one place, and whoever
//! has read up to a place reads on from there.

mod back;
mod live;
mod segment;

use std::fmt;
use std::str::FromStr;

pub use back::StreamPage;
pub use live::{PlacedFollower, StreamNext};

use crate::ids::{LogId, ServiceName};
use crate::record::{seq_of, timestamp_of};
use crate::system::System;

/// The place of a record in its stream. As a text: `<microseconds since 1970>-<number>-<segment>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamPlace {
    micros: i64,
    log: LogId,
    seq: u64,
}

/// A line of a stream, newline included, and its place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlacedLine {
    pub place: StreamPlace,
    pub line: Vec<u8>,
}

/// The stream of a service.
#[derive(Debug, Clone)]
pub struct PlacedStream {
    system: System,
    service: ServiceName,
}

impl StreamPlace {
    /// Before all records of this time (microseconds since 1970) and later.
    pub fn before_time(micros: i64) -> Self {
        Self { micros, log: LogId(uuid::Uuid::nil()), seq: 0 }
    }

    /// Directly behind it: the records before there are those up to it.
    pub fn behind(self) -> Self {
        Self { seq: self.seq.saturating_add(1), ..self }
    }
}

impl fmt::Display for StreamPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.micros, self.seq, self.log.0.simple())
    }
}

impl FromStr for StreamPlace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.splitn(3, '-');
        let mut next = || parts.next().unwrap_or_default();
        let place = (next().parse(), next().parse(), next().parse());
        let (Ok(micros), Ok(seq), Ok(log)) = place else {
            return Err(format!("'{text}' is not the place of a record"));
        };
        Ok(Self { micros, log, seq })
    }
}

impl PlacedLine {
    /// The record on a line of a segment; `None` for its head and its tail.
    pub fn of(log: LogId, line: &[u8]) -> Option<Self> {
        let (micros, seq) = (timestamp_of(line)?, seq_of(line)?);
        (seq > 0).then(|| Self { place: StreamPlace { micros, log, seq }, line: line.to_owned() })
    }
}

impl PlacedStream {
    /// The stream of this service.
    pub fn new(system: &System, service: &ServiceName) -> Self {
        Self { system: system.clone(), service: service.clone() }
    }
}
