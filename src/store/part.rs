//! `log_upload` and `log_part`: how far the archive of a running log is up, for the case that its machine is lost. The
//! database drops them when the log is archived or let go.

use anyhow::{Result, anyhow};
use sqlx::types::Json;
use sqlx::{FromRow, PgExecutor};

use super::failure::DbContext as _;
use super::fit;
use super::problem::KindCount;
use crate::gzip::ArchiveMark;
use crate::ids::LogId;
use crate::record::{LevelCounts, LogCount};

/// The upload of an archive, and what it takes to go on with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotedUpload {
    /// The store's own name for it.
    pub upload: String,
    /// Its parts that are up, from 1.
    pub parts: u16,
    /// Where to go on: the end of the member in which the last of them ends.
    pub mark: ArchiveMark,
    /// The log up to there.
    pub count: LogCount,
    /// Its problems up to there; `None` if they can't be counted.
    pub problems: Option<Vec<KindCount>>,
    /// The archive between the last part and there.
    pub rest: Vec<u8>,
}

/// A part of an archive that is up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotedPart {
    pub number: u16,
    pub bytes: u64,
    pub sha256: [u8; 32],
    /// What the index of the archive gained with it.
    pub entries: Vec<u8>,
}

#[derive(FromRow)]
struct UploadRow {
    upload: String,
    parts: i32,
    raw_bytes: i64,
    gzip_bytes: i64,
    lines: i64,
    members: i64,
    latest: Option<i64>,
    raw_sha256: Vec<u8>,
    gzip_sha256: Vec<u8>,
    events: Json<LevelCounts>,
    last_event: i64,
    has_cut: bool,
    problems: Option<Json<Vec<KindCount>>>,
    rest: Vec<u8>,
}

#[derive(FromRow)]
struct PartRow {
    number: i32,
    bytes: i64,
    sha256: Vec<u8>,
    entries: Vec<u8>,
}

/// Notes how far the archive of a log is up, with the parts that are new, in one statement. False if nobody may go on
/// with it that way: it is archived by now, another machine has taken it over, or there is an upload of it already.
///
/// It is repeatable.
///
/// # Errors
/// The database fails.
pub async fn note(
    db: impl PgExecutor<'_>,
    log: LogId,
    noted: &NotedUpload,
    parts: &[NotedPart],
) -> Result<bool> {
    let (mark, count) = (&noted.mark, &noted.count);
    sqlx::query_scalar(
        "with mine as (
             select id from log where id = $1 and state not in ('archived', 'pruned') and taken_by is null for share
         ), upload as (
             insert into log_upload as u (log_id, upload, parts, raw_bytes, gzip_bytes, lines, members, latest,
                                          raw_sha256, gzip_sha256, events, last_event, has_cut, problems, rest)
             select id, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15 from mine
             on conflict (log_id) do update
             set parts = excluded.parts, raw_bytes = excluded.raw_bytes, gzip_bytes = excluded.gzip_bytes,
                 lines = excluded.lines, members = excluded.members, latest = excluded.latest,
                 raw_sha256 = excluded.raw_sha256, gzip_sha256 = excluded.gzip_sha256, events = excluded.events,
                 last_event = excluded.last_event, has_cut = excluded.has_cut, problems = excluded.problems,
                 rest = excluded.rest
             where u.upload = excluded.upload and u.parts <= excluded.parts
             returning log_id
         ), part as (
             insert into log_part (log_id, number, bytes, sha256, entries)
             select upload.log_id, part.number, part.bytes, part.sha256, part.entries
             from upload, unnest($16::integer[], $17::bigint[], $18::bytea[], $19::bytea[])
                 as part (number, bytes, sha256, entries)
             on conflict (log_id, number) do nothing
         )
         select exists (select from upload)",
    )
    .bind(log)
    .bind(fit::name(&noted.upload)?)
    .bind(i32::from(noted.parts))
    .bind(fit::count(mark.raw_bytes))
    .bind(fit::count(mark.gzip_bytes))
    .bind(fit::count(mark.lines))
    .bind(fit::count(mark.members))
    .bind(mark.latest)
    .bind(&mark.raw_sha256)
    .bind(&mark.gzip_sha256)
    .bind(fit::json(&count.events))
    .bind(fit::count(count.last))
    .bind(count.has_cut)
    .bind(noted.problems.as_ref().map(fit::json))
    .bind(&noted.rest)
    .bind(parts.iter().map(|part| i32::from(part.number)).collect::<Vec<_>>())
    .bind(parts.iter().map(|part| fit::count(part.bytes)).collect::<Vec<_>>())
    .bind(parts.iter().map(|part| part.sha256.as_slice()).collect::<Vec<_>>())
    .bind(parts.iter().map(|part| part.entries.as_slice()).collect::<Vec<_>>())
    .fetch_one(db)
    .await
    .with_context(|| format!("failed to note how far the archive of log {log} is up"))
}

/// How far the archive of a log was noted to be up, with all parts in order; `None` if nothing was, or what is noted is
/// not whole.
///
/// # Errors
/// The database fails, or has what can't be true.
pub async fn noted(
    db: impl PgExecutor<'_> + Copy,
    log: LogId,
) -> Result<Option<(NotedUpload, Vec<NotedPart>)>> {
    let row: Option<UploadRow> = sqlx::query_as("select * from log_upload where log_id = $1")
        .bind(log)
        .fetch_optional(db)
        .await
        .with_context(|| format!("failed to ask how far the archive of log {log} is up"))?;
    let Some(row) = row else { return Ok(None) };
    let parts: Vec<PartRow> = sqlx::query_as(
        "select number, bytes, sha256, entries from log_part where log_id = $1 and number <= $2 order by number",
    )
    .bind(log)
    .bind(row.parts)
    .fetch_all(db)
    .await
    .with_context(|| format!("failed to fetch the parts of the archive of log {log}"))?;
    let parts: Option<Vec<NotedPart>> = parts.into_iter().map(PartRow::checked).collect();
    let noted = row.checked().zip(parts);
    let (upload, parts) =
        noted.ok_or_else(|| anyhow!("what is noted of the upload of log {log} can't be true"))?;
    let is_whole = parts.iter().map(|part| part.number).eq(1..=upload.parts);
    Ok(is_whole.then_some((upload, parts)))
}

/// Whether this upload of the log's archive is noted, so that another machine may go on with it.
///
/// # Errors
/// The database fails.
pub async fn is_noted(db: impl PgExecutor<'_>, log: LogId, upload: &str) -> Result<bool> {
    sqlx::query_scalar("select exists (select from log_upload where log_id = $1 and upload = $2)")
        .bind(log)
        .bind(fit::text(upload))
        .fetch_one(db)
        .await
        .with_context(|| format!("failed to ask whether the archive of log {log} is up in part"))
}

impl UploadRow {
    fn checked(self) -> Option<NotedUpload> {
        let number = |number: i64| u64::try_from(number).ok();
        Some(NotedUpload {
            upload: self.upload,
            parts: u16::try_from(self.parts).ok()?,
            mark: ArchiveMark {
                raw_bytes: number(self.raw_bytes)?,
                gzip_bytes: number(self.gzip_bytes)?,
                lines: number(self.lines)?,
                members: number(self.members)?,
                latest: self.latest,
                raw_sha256: self.raw_sha256,
                gzip_sha256: self.gzip_sha256,
            },
            count: LogCount {
                events: self.events.0,
                last: number(self.last_event)?,
                has_cut: self.has_cut,
                has_tail: false,
            },
            problems: self.problems.map(|problems| problems.0),
            rest: self.rest,
        })
    }
}

impl PartRow {
    fn checked(self) -> Option<NotedPart> {
        Some(NotedPart {
            number: u16::try_from(self.number).ok()?,
            bytes: u64::try_from(self.bytes).ok()?,
            sha256: self.sha256.try_into().ok()?,
            entries: self.entries,
        })
    }
}
