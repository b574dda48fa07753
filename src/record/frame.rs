//! The records that frame a log: head, cut and tail.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{LevelCounts, push_json_escaped, push_timestamp};
use crate::ids::{BatchId, DataFileId, RunId};

/// The first record of a log: all that recovery needs when only the spool file is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Version of the record format.
    pub version: u32,
    /// The run this log is of.
    pub run: RunId,
    /// Token of the lease under which the run was claimed.
    pub lease_token: Uuid,
    /// Which attempt of the job it is, from 1.
    pub attempt: i32,
    /// The submitted file.
    pub data_file: DataFileId,
    /// The submission or reparse that asked for the run.
    pub batch: BatchId,
    /// The reparse id, where a reparse asked for the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reparse: Option<BatchId>,
    /// Bucket of the submitted file, where the log goes too.
    pub bucket: String,
    /// Key of the submitted file.
    pub key: String,
    /// Version of the submitted file, empty where the bucket keeps none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub object_version: String,
    /// Key under which the log is archived.
    pub log_key: String,
    /// The worker that runs it.
    pub worker: String,
    /// When the run was started.
    pub started: DateTime<Utc>,
}

/// Stands where records are missing because the log reached its cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// Events that are missing from the log up to here.
    pub dropped: u64,
}

/// The last record of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tail {
    /// How the run ended.
    pub ending: Ending,
    /// One line on why, without private values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Events in this log, by level.
    pub events: LevelCounts,
    /// Events that were emitted and are not in this log.
    pub dropped: u64,
}

/// How a run ended; the words of the run's status and of its action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    /// The parser came to a verdict.
    Success,
    /// The parser, or what surrounds it, could not do its work.
    Fail,
    /// It was stopped: cancelled, timed out or handed back.
    Terminate,
    /// The process died; found and closed by a sweep.
    Crash,
}

impl Head {
    /// The head as a line of the log.
    pub fn to_line(&self) -> Vec<u8> {
        frame_line(self.started, "log opened", "head", self)
    }
}

impl Cut {
    /// The cut as a line of the log.
    pub fn to_line(&self, now: DateTime<Utc>) -> Vec<u8> {
        frame_line(now, "the log reached its cap; records are missing here", "cut", self)
    }
}

impl Tail {
    /// The tail as a line of the log.
    pub fn to_line(&self, now: DateTime<Utc>) -> Vec<u8> {
        frame_line(now, "log closed", "tail", self)
    }
}

fn frame_line(at: DateTime<Utc>, message: &str, key: &str, body: &impl Serialize) -> Vec<u8> {
    let mut line = Vec::with_capacity(512);
    push_timestamp(&mut line, at.timestamp_micros());
    line.extend_from_slice(b",\"seq\":0,\"level\":\"INFO\",\"target\":\"parselog\",\"message\":\"");
    line.extend_from_slice(message.as_bytes());
    line.extend_from_slice(b"\",\"");
    line.extend_from_slice(key.as_bytes());
    line.extend_from_slice(b"\":");
    // Through the encoder's escape, so that no name in a head carries a control or bidi character.
    let body = serde_json::to_string(body).expect("a frame of plain values always serialises");
    push_json_escaped(&mut line, &body);
    line.extend_from_slice(b"}\n");
    line
}
