//! The names of things: run, log, data file and reparse ids, services, and the keys of logs, reports and Parquet files.

mod key;
mod problems;
mod service;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use self::key::{LogKey, SEGMENTS, SUBMITTED, composed_key, fuller_key, is_ours, report_key};
pub use self::problems::ProblemsKey;
pub use self::service::ServiceName;

/// Names one run: one attempt at parsing one data file. A UUID v7, so runs sort by creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type)]
#[sqlx(transparent)]
#[serde(transparent)]
pub struct RunId(pub Uuid);

/// Names one log (`log.id`), whatever its subject. The log of a run has the run's id, so that a log that lies
/// in a spool tells whose it is while the database is away; any other log has an id of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type)]
#[sqlx(transparent)]
#[serde(transparent)]
pub struct LogId(pub Uuid);

/// Names one submitted file (`data_file.id`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type)]
#[sqlx(transparent)]
#[serde(transparent)]
pub struct DataFileId(pub i64);

/// Names a batch of runs (`parse_meta.id`); for a reparse it is the reparse id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type)]
#[sqlx(transparent)]
#[serde(transparent)]
pub struct BatchId(pub i64);

impl RunId {
    /// A new id, later than every id this process made before.
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }
}

impl Default for RunId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for RunId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self)
    }
}

impl LogId {
    /// A new id for a log whose subject is no run, later than every id this process made before.
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// The run that this log is of, if its subject is a run.
    pub fn as_run(self) -> RunId {
        RunId(self.0)
    }
}

impl Default for LogId {
    fn default() -> Self {
        Self::new()
    }
}

impl From<RunId> for LogId {
    fn from(run: RunId) -> Self {
        Self(run.0)
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for LogId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self)
    }
}

impl fmt::Display for DataFileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
