//! What a worker and its parse process say to each other.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::ParseJob;
use crate::parser::CancelReason;
use crate::queue::Ending;
use crate::record::Tail;
use crate::store::FirstSeen;

/// From the worker to its parse process.
#[derive(Debug, Serialize, Deserialize)]
pub enum Order {
    /// Parse this. The next job comes after [`ParseNews::Done`].
    Parse(Box<ParseJob>),
    /// Ask the parser to stop.
    Stop(CancelReason),
    /// The row's answer to [`ParseNews::FirstSeen`], or why there is none.
    Noted(Result<bool, String>),
}

/// From a parse process to its worker, about the job in hand.
#[derive(Debug, Serialize, Deserialize)]
pub enum ParseNews {
    /// The log is open; its file comes along, and with it the log's lock.
    Opened,
    /// The log misses events.
    Lost { reason: String, dropped: Option<u64> },
    /// The file is here; the process waits for [`Order::Noted`].
    FirstSeen(FirstSeen),
    /// How far the parse is; see [`crate::parser::Progress`].
    Progress { bytes: u64, total_bytes: u64, records: u64, problems: u64 },
    /// The parse is over; the log is not complete yet.
    Ended(Ending),
    /// The process is ready for the next job, or leaves.
    Done {
        /// The log is complete, and its file comes along; `None` without a log.
        sealed: Option<Sealed>,
        /// The process leaves.
        spent: bool,
    },
}

/// The facts of a complete log that only its writer knows without reading it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    pub tail: Tail,
    /// When the tail was written.
    pub closed_at: DateTime<Utc>,
    /// Lines of the log, frame records included.
    pub lines: u64,
}
