//! A claimed run to parse, with all facts that a parse without a database needs; and the handle of the parse
//! under way, which stops it and shows its progress.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::ids::RunId;
use crate::parser::{Cancel, CancelReason, Progress};
use crate::record::{Head, RunSubject};

/// How long a parser may take to stop on request; then the run ends without it.
pub const STOP_GRACE: Duration = Duration::from_secs(15);

/// A claimed run to parse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParseJob {
    /// The first record of its log.
    pub head: Head,
    /// The run, its file and its attempt: the subject of the log.
    pub run: RunSubject,
    /// The file's own name.
    pub name: String,
    /// Program and section code, lower case.
    pub program: String,
    pub section: String,
    pub fiscal_year: i32,
    pub fiscal_quarter: i16,
    /// The size and the hash that the file must have, if they are known.
    pub size_bytes: Option<i64>,
    pub sha256: Option<[u8; 32]>,
    /// Whether somebody named the state that submits; if not, the file's header says it.
    pub has_state: bool,
    /// Earlier runs of the file, whose external parsers must not go on beside this one.
    pub earlier: Vec<RunId>,
    /// How long it may take.
    pub timeout: Duration,
    /// Whether somebody wants the accepted records.
    pub wants_records: bool,
}

/// A parse under way. Cheap to clone; all clones are the same parse.
#[derive(Debug, Clone, Default)]
pub struct Flight {
    /// Cancelled when the parser is asked to stop.
    pub stopping: CancellationToken,
    /// Why it was asked to.
    pub cancel: Arc<Cancel>,
    /// How far it is.
    pub progress: Arc<Progress>,
}

impl Flight {
    /// Asks the parser to stop; the first reason given stands.
    pub fn stop(&self, reason: CancelReason) {
        self.cancel.set(reason);
        self.stopping.cancel();
    }

    /// Waits until the parser is asked to stop; after `timeout` it asks the parser itself.
    pub async fn stopped_or_late(&self, timeout: Duration) {
        if tokio::time::timeout(timeout, self.stopping.cancelled()).await.is_err() {
            self.stop(CancelReason::TimedOut);
        }
    }
}
