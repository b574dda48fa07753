//! Streams as the database knows them: the segments of each, which are rows of `log`.

use anyhow::Result;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, PgExecutor};

use super::LogState;
use super::failure::DbContext as _;
use crate::ids::LogId;

/// A segment of a stream.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct SegmentRow {
    pub id: LogId,
    pub state: LogState,
    pub uri: Option<String>,
    pub raw_bytes: Option<i64>,
    /// The process in whose spool it is, or was.
    pub worker: Option<String>,
    pub first_at: Option<DateTime<Utc>>,
    pub last_at: Option<DateTime<Utc>>,
    /// Why it is not archived.
    pub error: Option<String>,
}

/// A stream, summed up over its segments; an open one is not counted but for its number.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct StreamTotals {
    pub service: String,
    pub segments: i64,
    /// Segments that are still written to.
    pub open: i64,
    /// Segments that were pruned.
    pub pruned: i64,
    pub records: i64,
    pub errors: i64,
    pub dropped: i64,
    pub raw_bytes: i64,
    /// Bytes in the object store.
    pub gzip_bytes: i64,
    pub first_at: Option<DateTime<Utc>>,
    /// Of the last record; unknown while a segment is open.
    pub last_at: Option<DateTime<Utc>>,
}

/// The segments of a stream with records between these times, in the order in which they began; those that were
/// pruned are left out.
///
/// # Errors
/// The database fails.
pub async fn segments(
    db: impl PgExecutor<'_>,
    service: &str,
    since: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
) -> Result<Vec<SegmentRow>> {
    sqlx::query_as(
        "select id, state, uri, raw_bytes, worker, first_at, last_at, error from log
         where service = $1 and state <> 'pruned'
           and ($2::timestamptz is null or last_at is null or last_at >= $2)
           and ($3::timestamptz is null or first_at is null or first_at < $3)
         order by first_at, id",
    )
    .bind(service)
    .bind(since)
    .bind(until)
    .fetch_all(db)
    .await
    .with_context(|| format!("failed to look for the segments of stream {service}"))
}

/// The names of all streams.
///
/// # Errors
/// The database fails.
pub async fn names(db: impl PgExecutor<'_>) -> Result<Vec<String>> {
    sqlx::query_scalar("select distinct service from log where service is not null")
        .fetch_all(db)
        .await
        .context("failed to list the names of streams")
}

/// All streams by name.
///
/// # Errors
/// The database fails.
pub async fn list(db: impl PgExecutor<'_>) -> Result<Vec<StreamTotals>> {
    sqlx::query_as(
        "select service, count(*) as segments, count(*) filter (where state in ('none', 'open')) as open,
                count(*) filter (where state = 'pruned') as pruned,
                coalesce(sum((select sum(value::bigint) from jsonb_each_text(events))), 0)::bigint as records,
                coalesce(sum((events ->> 'ERROR')::bigint), 0)::bigint as errors,
                coalesce(sum(dropped), 0)::bigint as dropped,
                coalesce(sum(raw_bytes), 0)::bigint as raw_bytes,
                coalesce(sum(gzip_bytes) filter (where state = 'archived'), 0)::bigint as gzip_bytes,
                min(first_at) as first_at, max(last_at) as last_at
         from log where service is not null
         group by service order by service",
    )
    .fetch_all(db)
    .await
    .context("failed to list streams")
}
