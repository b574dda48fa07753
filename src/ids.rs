//! The names of things: run, log, data file and reparse ids, and the keys of a run's log and report.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

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
    /// The run that this log is of, if its subject is a run.
    pub fn as_run(self) -> RunId {
        RunId(self.0)
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

/// The folder of a bucket in which `parselog submit` stores files; other programs have folders of their own.
pub const SUBMITTED: &str = "data_files";

/// Bytes of a folder's name beside which there is room for the name of a log or report, in a key of 1,024.
const LONGEST_FOLDER: usize = 850;

/// The key of a run's archived log, beside the submitted file; the only place that builds one.
///
/// `<folder of the data file>/parsing_logs/parse-datafile-<id>-<started>[-reparse-<id>]-<run>.log.gz`
///
/// Nothing of it is user text beyond the data file's own folder, and the run id makes it unique,
/// so no log ever overwrites another. A folder whose name leaves no room for the log's own is left for
/// the nearest one above that does: a log that no store can take would be lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogKey(String);

impl LogKey {
    /// Builds the key of the log of `run`.
    pub fn new(
        data_file_key: &str,
        data_file: DataFileId,
        started: DateTime<Utc>,
        reparse: Option<BatchId>,
        run: RunId,
    ) -> Self {
        let mut folder = above(data_file_key);
        while folder.len() > LONGEST_FOLDER {
            folder = above(folder);
        }
        let logs = Self::folder(folder);
        let started = started.format("%Y%m%dT%H%M%SZ");
        let reparse = reparse.map(|id| format!("-reparse-{id}")).unwrap_or_default();
        Self(format!("{logs}/parse-datafile-{data_file}-{started}{reparse}-{run}.log.gz"))
    }

    /// The folder in which the logs of the files in a folder lie; the files' folder may be empty.
    pub fn folder(of_files: &str) -> String {
        let slash = if of_files.is_empty() { "" } else { "/" };
        format!("{of_files}{slash}parsing_logs")
    }

    /// The run whose log has this key; `None` when it is the key of no log.
    pub fn run_of(key: &str) -> Option<RunId> {
        let (folder, name) = key.rsplit_once('/')?;
        let stem = name.strip_prefix("parse-datafile-")?.strip_suffix(".log.gz")?;
        let run = stem.get(stem.len().checked_sub(36)?..)?;
        (folder == "parsing_logs" || folder.ends_with("/parsing_logs")).then(|| run.parse().ok())?
    }

    /// The key as S3 takes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a key is one that parselog stores under: of a log, of a report on one, or of a file that
/// `parselog submit` stored.
pub fn is_ours(key: &str) -> bool {
    let log = key.rsplit_once(".report.").map(|(stem, _)| format!("{stem}.log.gz"));
    let submitted = key.strip_prefix(SUBMITTED).is_some_and(|rest| rest.starts_with('/'));
    submitted || LogKey::run_of(key).is_some() || log.is_some_and(|log| LogKey::run_of(&log).is_some())
}

fn above(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The key of the error report of a run, beside its log: the same name, but for the ending
/// `.report.<extension>`. `log_key` is a [`LogKey`] as text, which is how a log's head has it.
pub fn report_key(log_key: &str, extension: &str) -> String {
    format!("{}.report.{extension}", log_key.strip_suffix(".log.gz").unwrap_or(log_key))
}

impl fmt::Display for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
