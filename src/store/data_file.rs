//! `data_file`: the submitted files, and the only way to submit them.

use anyhow::Result;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgExecutor};

use super::failure::DbContext as _;
use super::fit;
use super::run::hexadecimal;
use crate::ids::{DataFileId, RunId};

/// A row of `data_file`: one submission of exactly one version of one object or, if its bucket keeps no
/// versions, of exactly these bytes.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct DataFile {
    pub id: DataFileId,
    pub bucket: String,
    pub key: String,
    /// Empty if the bucket keeps no versions.
    pub version_id: String,
    /// The submitter's name for it.
    pub name: String,
    pub program: String,
    pub section: String,
    pub fiscal_year: i32,
    pub fiscal_quarter: i16,
    /// Code of the state, tribe or territory.
    pub state: Option<String>,
    /// Its owner: the state or, if unknown, the submitter.
    pub owner: String,
    pub size_bytes: Option<i64>,
    /// Hash of its bytes; `None` until they are first read.
    #[serde(serialize_with = "hexadecimal")]
    pub sha256: Option<[u8; 32]>,
    pub submitted_by: String,
    pub submitter_emails: Vec<String>,
    /// Protects its logs from pruning.
    pub legal_hold: bool,
    pub created_at: DateTime<Utc>,
}

/// A file to submit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct NewFile {
    pub bucket: String,
    pub key: String,
    /// Empty if the bucket keeps no versions.
    pub version_id: String,
    /// The submitter's name for it.
    pub name: String,
    /// Lower-case code, such as `tanf`.
    pub program: String,
    /// Lower-case code, such as `active`.
    pub section: String,
    pub fiscal_year: i32,
    /// 1 to 4.
    pub fiscal_quarter: i16,
    pub state: Option<String>,
    pub size_bytes: Option<i64>,
    #[serde(serialize_with = "hexadecimal")]
    pub sha256: Option<[u8; 32]>,
    pub submitter_emails: Vec<String>,
    /// The identity: submissions with the same one and the same state (or, without a state, the same
    /// submitter) are one file. Defaults to the key.
    pub identity: Option<String>,
}

/// The facts of a fetched file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstSeen {
    /// Empty if the store names none.
    pub version_id: String,
    pub size_bytes: i64,
    pub sha256: [u8; 32],
    /// From its header.
    pub state: Option<String>,
}

/// The terms of a submission's runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Who submits.
    pub submitted_by: String,
    pub reason: Option<String>,
    /// Lower numbers go first.
    pub priority: i32,
    /// Most attempts at a file.
    pub max_attempts: i32,
    /// Not before this moment; `None` for at once.
    pub run_after: Option<DateTime<Utc>>,
    /// When the batch should be done.
    pub deadline: Option<DateTime<Utc>>,
}

/// A run that was queued, and its file.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct Queued {
    pub run_id: RunId,
    pub data_file_id: DataFileId,
    pub bucket: String,
    pub key: String,
    pub version_id: String,
}

/// Queues one run for each file, all in one batch and one statement; returns them in that order.
///
/// # Errors
/// A file is named twice, is already known as something else, or breaks a rule of the table; the text says
/// which. Then nothing is registered.
pub async fn submit(db: impl PgExecutor<'_>, files: &[NewFile], request: &Request) -> Result<Vec<Queued>> {
    for name in files.iter().flat_map(|file| [&file.bucket, &file.key, &file.version_id]) {
        fit::name(name).map_err(|error| error.context("failed to submit"))?;
    }
    sqlx::query_as(
        "select * from enqueue_parse_many($1, submitted_by => $2, reason => $3, priority => $4,
             max_attempts => $5, run_after => coalesce($6, now()), deadline => $7)",
    )
    .bind(fit::json(&files))
    .bind(fit::label(&request.submitted_by))
    .bind(request.reason.as_deref().map(fit::text))
    .bind(request.priority)
    .bind(request.max_attempts)
    .bind(request.run_after)
    .bind(request.deadline)
    .fetch_all(db)
    .await
    .context("failed to submit")
}

/// Fills the gaps of a row about the submitted bytes. False, without a change, if the row has neither version nor
/// hash and the object was submitted again since: the fetched bytes may be the later ones.
///
/// # Errors
/// The database fails.
pub async fn first_seen(db: impl PgExecutor<'_>, id: DataFileId, seen: &FirstSeen) -> Result<bool> {
    let noted = sqlx::query(
        "update data_file f
         set version_id = case f.version_id when '' then $2 else f.version_id end,
             size_bytes = coalesce(f.size_bytes, $3), sha256 = coalesce(f.sha256, $4),
             state = coalesce(f.state, $5)
         where f.id = $1 and not (
             f.sha256 is null and f.version_id in ('', 'null') and exists (
                 select from data_file newer
                 where (newer.bucket, newer.key) = (f.bucket, f.key) and newer.id > f.id
                   and newer.version_id in ('', 'null', $2)))",
    )
    .bind(id)
    .bind(fit::name(&seen.version_id)?)
    .bind(seen.size_bytes)
    .bind(seen.sha256.as_slice())
    .bind(seen.state.as_deref().map(fit::label))
    .execute(db)
    .await
    .with_context(|| format!("failed to note what data file {id} is"))?;
    Ok(noted.rows_affected() == 1)
}

/// Whether anybody submitted this version of an object.
///
/// # Errors
/// The database fails.
pub async fn is_submitted(db: impl PgExecutor<'_>, bucket: &str, key: &str, version: &str) -> Result<bool> {
    sqlx::query_scalar("select exists (select from data_file where (bucket, key, version_id) = ($1, $2, $3))")
        .bind(bucket)
        .bind(key)
        .bind(version)
        .fetch_one(db)
        .await
        .with_context(|| format!("failed to look whether {key} was submitted"))
}

/// The keys, all in one bucket, without any submitted version.
///
/// # Errors
/// The database fails.
pub async fn never_submitted(db: impl PgExecutor<'_>, bucket: &str, keys: &[&str]) -> Result<Vec<String>> {
    sqlx::query_scalar(
        "select key from unnest($2::text[]) as listed (key)
         where not exists (select from data_file f where f.bucket = $1 and f.key = listed.key)
         order by key",
    )
    .bind(bucket)
    .bind(keys)
    .fetch_all(db)
    .await
    .context("failed to look which objects were submitted")
}

/// The file with this id.
///
/// # Errors
/// The database fails.
pub async fn get(db: impl PgExecutor<'_>, id: DataFileId) -> Result<Option<DataFile>> {
    sqlx::query_as("select * from data_file where id = $1")
        .bind(id)
        .fetch_optional(db)
        .await
        .with_context(|| format!("failed to read data file {id}"))
}

/// The files that a person may mean by `text`: an id, a name, a key, or `bucket/key`, with or without
/// `s3://` in front. Each file over time counts with its newest submission; the newest first, at
/// most `limit`.
///
/// # Errors
/// The database fails.
pub async fn matching(db: impl PgExecutor<'_>, text: &str, limit: i64) -> Result<Vec<DataFile>> {
    let object = text.strip_prefix("s3://").unwrap_or(text);
    let (bucket, key) = object.split_once('/').unwrap_or(("", ""));
    sqlx::query_as(
        "with exactly as (select * from data_file where id = $1)
         select * from exactly
         union all
         select * from (
             select distinct on (bucket, identity, owner) * from data_file
             where (name = $2 or key = $2 or (bucket = $3 and key = $4)) and not exists (select from exactly)
             order by bucket, identity, owner, id desc
         ) newest
         order by id desc limit $5",
    )
    .bind(text.parse::<i64>().ok())
    .bind(text)
    .bind(bucket)
    .bind(key)
    .bind(limit)
    .fetch_all(db)
    .await
    .context("failed to look for data files")
}

/// As [`matching`], the files stored at this place: a path that ends with bucket and key. With a version, that one.
///
/// # Errors
/// The database fails.
pub async fn stored_at(
    db: impl PgExecutor<'_>,
    place: &str,
    version: Option<&str>,
    limit: i64,
) -> Result<Vec<DataFile>> {
    sqlx::query_as(
        "select * from (
             select distinct on (bucket, identity, owner) * from data_file
             where right($1, length(bucket) + length(key) + 2) = '/' || bucket || '/' || key
               and version_id = coalesce($2, version_id)
             order by bucket, identity, owner, id desc
         ) newest
         order by id desc limit $3",
    )
    .bind(place)
    .bind(version)
    .bind(limit)
    .fetch_all(db)
    .await
    .context("failed to look for data files by their place")
}

/// As [`matching`], the files with this name in any case.
///
/// # Errors
/// The database fails.
pub async fn named_in_any_case(db: impl PgExecutor<'_>, name: &str, limit: i64) -> Result<Vec<DataFile>> {
    sqlx::query_as(
        "select * from (
             select distinct on (bucket, identity, owner) * from data_file
             where lower(name) = lower($1) order by bucket, identity, owner, id desc
         ) newest
         order by id desc limit $2",
    )
    .bind(name)
    .bind(limit)
    .fetch_all(db)
    .await
    .context("failed to look for data files by name")
}

/// The names of the latest submissions, each once.
///
/// # Errors
/// The database fails.
pub async fn latest_names(db: impl PgExecutor<'_>, submissions: i64) -> Result<Vec<String>> {
    sqlx::query_scalar(
        "select distinct name from (select name from data_file order by id desc limit $1) latest order by name",
    )
    .bind(submissions)
    .fetch_all(db)
    .await
    .context("failed to list the names of data files")
}
