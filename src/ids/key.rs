//! The keys of logs and reports in the object store.

use std::fmt;

use chrono::{DateTime, Utc};

use super::{BatchId, DataFileId, LogId, ProblemsKey, RunId, ServiceName};

/// The folder of a bucket in which `parselog submit` stores files; other programs have folders of their own.
pub const SUBMITTED: &str = "data_files";

/// The folder of a bucket in which the segments of streams lie.
pub const SEGMENTS: &str = "service_logs";

/// What the name of a log has that was composed on another machine.
const COMPOSED: &str = ".remote";

/// What the name of a log has whose machine came back when another had taken it over.
const FULLER: &str = ".fuller";

/// A moment in a key.
const MOMENT: &str = "%Y%m%dT%H%M%SZ";

/// Bytes of a folder's name beside which there is room for the name of a log or report, in a key of 1,024.
const LONGEST_FOLDER: usize = 850;

/// The key of an archived log; the only place that builds one. That of a run's lies beside the submitted file,
/// that of a segment in the folder of its service:
///
/// ```text
/// <folder of the data file>/parsing_logs/parse-datafile-<id>-<started>[-reparse-<id>]-<run>.log.gz
/// service_logs/<service>/<yyyy>/<mm>/<dd>/<service>-<opened>-<log>.log.gz
/// ```
///
/// Nothing of it is user text beyond the data file's own folder and the checked name of a service, and the id
/// makes it unique, so no log ever overwrites another. A folder whose name leaves no room for the log's own is left for
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
        let started = started.format(MOMENT);
        let reparse = reparse.map(|id| format!("-reparse-{id}")).unwrap_or_default();
        Self(format!("{logs}/parse-datafile-{data_file}-{started}{reparse}-{run}.log.gz"))
    }

    /// Builds the key of a segment of a service's stream.
    pub fn of_segment(service: &ServiceName, opened: DateTime<Utc>, log: LogId) -> Self {
        let (day, opened) = (opened.format("%Y/%m/%d"), opened.format(MOMENT));
        Self(format!("{SEGMENTS}/{service}/{day}/{service}-{opened}-{log}.log.gz"))
    }

    /// The log of the segment that has this key; `None` when it is the key of no segment.
    pub fn segment_of(key: &str) -> Option<LogId> {
        let stem = key.strip_prefix(SEGMENTS)?.strip_prefix('/')?.strip_suffix(".log.gz")?;
        let log: LogId = stem.get(stem.len().checked_sub(36)?..)?.parse().ok()?;
        let (service, rest) = stem.split_once('/')?;
        let name = rest.rsplit_once('/')?.1;
        name.strip_prefix(service).is_some_and(|rest| rest.starts_with('-')).then_some(log)
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
        let stem = [COMPOSED, FULLER].iter().find_map(|name| stem.strip_suffix(name)).unwrap_or(stem);
        let run = stem.get(stem.len().checked_sub(36)?..)?;
        (folder == "parsing_logs" || folder.ends_with("/parsing_logs")).then(|| run.parse().ok())?
    }

    /// The key as S3 takes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a key is one that parselog stores under: of a log, of a report on one, of a file that `parselog submit`
/// stored, or of a file of problems.
pub fn is_ours(key: &str) -> bool {
    let log = key.rsplit_once(".report.").map(|(stem, _)| format!("{stem}.log.gz"));
    let submitted = key.strip_prefix(SUBMITTED).is_some_and(|rest| rest.starts_with('/'));
    let of_log = LogKey::run_of(key).is_some() || LogKey::segment_of(key).is_some();
    submitted || of_log || ProblemsKey::is_one(key) || log.is_some_and(|log| LogKey::run_of(&log).is_some())
}

fn above(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The key of the error report of a run, beside its log: the same name, but for the ending
/// `.report.<extension>`. `log_key` is a [`LogKey`] as text, which is how a log's head has it.
pub fn report_key(log_key: &str, extension: &str) -> String {
    format!("{}.report.{extension}", log_key.strip_suffix(".log.gz").unwrap_or(log_key))
}

/// The key of a log that another machine composed of what had left its own, beside that of the log itself.
/// `log_key` is a [`LogKey`] as text.
pub fn composed_key(log_key: &str) -> String {
    format!("{}{COMPOSED}.log.gz", log_key.strip_suffix(".log.gz").unwrap_or(log_key))
}

/// The key of the whole log of a machine that came back, when another had taken the log over and may have completed its
/// upload under the log's own key. `log_key` is a [`LogKey`] as text.
pub fn fuller_key(log_key: &str) -> String {
    format!("{}{FULLER}.log.gz", log_key.strip_suffix(".log.gz").unwrap_or(log_key))
}

impl fmt::Display for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
