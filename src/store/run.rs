//! `run`: one run (`parse_file_meta`), with its file, its batch and its log.

use std::collections::BTreeMap;

use anyhow::Result;
use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};
use sqlx::types::Json;
use sqlx::{FromRow, PgExecutor};
use uuid::Uuid;

use super::failure::DbContext as _;
use super::{BatchKind, LogState, RunStatus};
use crate::ids::{BatchId, DataFileId, LogKey, RunId};
use crate::parser::{CaseTotals, Category, SummaryStatus};
use crate::record::{Head, RunSubject, SCHEMA_VERSION, Subject};

/// Counts of problems by category.
pub type Errors = BTreeMap<Category, u64>;

/// A row of the view `run`: a run with columns of its file, its batch and its log. In JSON the keys are the
/// columns' names and hashes are hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct Run {
    pub id: RunId,
    pub data_file_id: DataFileId,
    pub batch_id: BatchId,
    pub kind: BatchKind,
    /// The batch, if it is a reparse.
    pub reparse_id: Option<BatchId>,
    /// From 1.
    pub attempt: i32,
    pub max_attempts: i32,

    // The file.
    pub bucket: String,
    pub key: String,
    pub version_id: String,
    pub name: String,
    pub program: String,
    pub section: String,
    pub fiscal_year: i32,
    pub fiscal_quarter: i16,
    pub state: Option<String>,
    pub size_bytes: Option<i64>,
    /// Hash of the submitted bytes; `None` until they are first read.
    #[serde(serialize_with = "hexadecimal")]
    pub sha256: Option<[u8; 32]>,

    // The batch.
    pub requested_by: String,
    pub reason: Option<String>,

    // The job.
    pub status: RunStatus,
    /// Lower numbers go first.
    pub priority: i16,
    pub run_after: DateTime<Utc>,
    pub queued_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    pub deadline: Option<DateTime<Utc>>,
    pub worker: Option<String>,
    pub lease_until: Option<DateTime<Utc>>,
    pub heartbeat_at: Option<DateTime<Utc>>,
    pub cancel_requested_at: Option<DateTime<Utc>>,
    pub cancel_requested_by: Option<String>,
    /// Why the run did not succeed.
    pub failure: Option<String>,

    // The outcome, of a success only.
    pub summary_status: Option<SummaryStatus>,
    pub records_in_file: Option<i64>,
    pub records_created: Option<i64>,
    pub created_by_type: Option<Json<BTreeMap<String, u64>>>,
    pub error_counts: Option<Json<Errors>>,
    pub errors_by_month: Option<Json<BTreeMap<String, Errors>>>,
    pub error_count: Option<i64>,
    pub first_error_record: Option<i64>,
    pub first_error: Option<String>,
    /// `None` for a run that ended before cases were counted.
    pub cases: Option<Json<CaseTotals>>,

    // The log.
    pub log_state: LogState,
    /// Set if and only if the log is archived.
    pub logs_uri: Option<String>,
    pub log_raw_bytes: Option<i64>,
    pub log_gzip_bytes: Option<i64>,
    pub log_lines: Option<i64>,
    /// Stored events by level.
    pub log_events: Option<Json<BTreeMap<String, u64>>>,
    /// Events that could not be stored.
    pub log_dropped: Option<i64>,
    #[serde(serialize_with = "hexadecimal")]
    pub log_raw_sha256: Option<[u8; 32]>,
    #[serde(serialize_with = "hexadecimal")]
    pub log_gzip_sha256: Option<[u8; 32]>,
    pub log_archived_at: Option<DateTime<Utc>>,
    /// Why the log is not archived, by the last attempt.
    pub archive_error: Option<String>,
    pub archive_attempts: i32,
}

impl Run {
    /// The verdict of a run that succeeded, else its status.
    pub fn verdict(&self) -> String {
        self.summary_status.map_or_else(|| self.status.to_string(), |summary| summary.to_string())
    }

    /// The head of the run's log, as the worker that holds this lease writes it.
    pub fn head(&self, lease_token: Uuid, worker: &str, started: DateTime<Utc>) -> Head {
        let log_key = LogKey::new(&self.key, self.data_file_id, started, self.reparse_id, self.id);
        Head {
            version: SCHEMA_VERSION,
            log: self.id.into(),
            bucket: self.bucket.clone(),
            log_key: log_key.as_str().to_owned(),
            worker: worker.to_owned(),
            started,
            subject: Subject::Run(self.subject(lease_token)),
        }
    }

    /// What the run's log says whose it is, under this lease.
    pub fn subject(&self, lease_token: Uuid) -> RunSubject {
        RunSubject {
            run: self.id,
            lease_token,
            attempt: self.attempt,
            data_file: self.data_file_id,
            batch: self.batch_id,
            reparse: self.reparse_id,
            key: self.key.clone(),
            object_version: self.version_id.clone(),
        }
    }
}

/// The run with this id.
///
/// # Errors
/// The database fails.
pub async fn get(db: impl PgExecutor<'_>, id: RunId) -> Result<Option<Run>> {
    sqlx::query_as("select * from run where id = $1")
        .bind(id)
        .fetch_optional(db)
        .await
        .with_context(|| format!("failed to read run {id}"))
}

/// The last attempt at the job of this run; of a job that is over, the run that counts.
///
/// # Errors
/// The database fails.
pub async fn last_attempt(db: impl PgExecutor<'_>, id: RunId) -> Result<Option<Run>> {
    sqlx::query_as(
        "select * from run
         where (batch_id, data_file_id) = (select batch_id, data_file_id from parse_file_meta where id = $1)
         order by attempt desc limit 1",
    )
    .bind(id)
    .fetch_optional(db)
    .await
    .with_context(|| format!("failed to read the last attempt at the job of run {id}"))
}

pub(super) fn hexadecimal<S: Serializer>(hash: &Option<[u8; 32]>, serializer: S) -> Result<S::Ok, S::Error> {
    hash.map(hex::encode).serialize(serializer)
}
