//! The intake: records of other processes become lines of their services' streams.
//!
//! A record that names a run is in the log of that run, as long as that is open on this machine.
//!
//! A stream is the endless log of one service, cut into segments by size and age. A segment is a log like any
//! other: a file of the spool, sealed, archived, recovered and read as a run's. This room knows neither sockets
//! nor wire formats: the doors bring records, and hear whether each is stored.

mod commit;
mod errors;
mod inherit;
mod keeper;
mod rules;
mod runs;
mod stream;
mod streams;

use std::io;

use crate::ids::{LogId, ServiceName};

pub use self::inherit::Inheritance;
pub use self::rules::Rules;
pub use self::streams::Streams;

/// Why a record was not stored in every stream that it belongs to.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Only errors are stored until the disk has space again.
    #[error("the disk of the spool is nearly full, so only errors are kept")]
    NearlyFull,
    /// The disk does not take it.
    #[error("the spool does not take the record: {0}")]
    Disk(#[source] io::Error),
}

/// A record that is in a stream, for whoever listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// The stream.
    pub stream: ServiceName,
    /// The segment of the stream.
    pub log: LogId,
    /// The line as it is stored, newline included.
    pub line: Vec<u8>,
    /// Whether the record is in another stream too, which was told before.
    pub is_copy: bool,
}
