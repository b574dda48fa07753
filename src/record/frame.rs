//! The records that frame a log: head, cut and tail.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{LevelCounts, push_json_escaped, push_timestamp};
use crate::ids::{BatchId, DataFileId, LogId, RunId, ServiceName};

/// The first record of a log: everything that recovery needs if only the spool file is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WrittenHead")]
pub struct Head {
    /// Version of the record format.
    pub version: u32,
    /// The log itself.
    pub log: LogId,
    /// Bucket of the archived log.
    pub bucket: String,
    /// Key of the archived log.
    pub log_key: String,
    /// The worker that opened it.
    pub worker: String,
    /// When it was opened: the start of its run.
    pub started: DateTime<Utc>,
    /// The subject. On a line its keys stand beside the others.
    #[serde(flatten)]
    pub subject: Subject,
}

/// The subject of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Subject {
    /// One attempt at parsing a file.
    Run(RunSubject),
    /// A piece of the endless log of a service.
    Segment(SegmentSubject),
}

/// A run, with the columns of its row that belong in its log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSubject {
    /// The run.
    pub run: RunId,
    /// Token of the lease under which the run was claimed.
    pub lease_token: Uuid,
    /// The number of the attempt at the job, from 1.
    pub attempt: i32,
    /// The submitted file.
    pub data_file: DataFileId,
    /// The submission or reparse that asked for the run.
    pub batch: BatchId,
    /// The reparse id, if a reparse asked for the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reparse: Option<BatchId>,
    /// Key of the submitted file; its bucket is the log's.
    pub key: String,
    /// Version of the submitted file; empty if the bucket keeps none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub object_version: String,
}

/// A segment of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentSubject {
    /// The service that owns the stream.
    pub service: ServiceName,
}

/// A head on a line. Before logs had their own ids, a head named only its run, whose id is still the id of
/// its log.
#[derive(Deserialize)]
struct WrittenHead {
    version: u32,
    log: Option<LogId>,
    bucket: String,
    log_key: String,
    worker: String,
    started: DateTime<Utc>,
    #[serde(flatten)]
    subject: Subject,
}

impl TryFrom<WrittenHead> for Head {
    type Error = &'static str;

    fn try_from(written: WrittenHead) -> Result<Self, Self::Error> {
        let WrittenHead { version, log, bucket, log_key, worker, started, subject } = written;
        let of_run = subject.run().map(|subject| LogId::from(subject.run));
        let log = log.or(of_run).ok_or("a log without an id")?;
        Ok(Self { version, log, bucket, log_key, worker, started, subject })
    }
}

impl Subject {
    /// The run, if the subject is one.
    pub fn run(&self) -> Option<&RunSubject> {
        match self {
            Self::Run(run) => Some(run),
            Self::Segment(_) => None,
        }
    }

    /// The service, if the subject is a segment of its stream.
    pub fn service(&self) -> Option<&ServiceName> {
        match self {
            Self::Run(_) => None,
            Self::Segment(segment) => Some(&segment.service),
        }
    }
}

/// Marks where records are missing because the log reached its cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// Events missing from the log up to here.
    pub dropped: u64,
}

/// The last record of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tail {
    /// How the run ended.
    pub ending: LogEnding,
    /// One line on why, without private values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Events in this log, by level.
    pub events: LevelCounts,
    /// Emitted events that are not in this log.
    pub dropped: u64,
}

/// How a log and its run ended; the words of the run's status and of its action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogEnding {
    /// The parser came to a verdict.
    Success,
    /// The parser, or the code around it, could not do its work.
    Fail,
    /// It was stopped: cancelled, timed out or handed back.
    Terminate,
    /// The process died; found and closed by a sweep.
    Crash,
}

impl Head {
    /// The run of the log, if it has one.
    pub fn run(&self) -> Option<RunId> {
        self.subject.run().map(|subject| subject.run)
    }

    /// The time of the log's tail. A segment ends with its last event (microseconds since 1970), however late it is
    /// closed: the next one begins there.
    pub fn ends_at(&self, last_micros: i64) -> DateTime<Utc> {
        let last = self.run().is_none().then(|| DateTime::from_timestamp_micros(last_micros)).flatten();
        last.unwrap_or_else(Utc::now)
    }

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
