//! Segments of a service's stream that are archived: rows of `log` with a service.

use anyhow::Result;
use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgExecutor};

use super::failure::DbContext as _;
use crate::ids::{LogId, ServiceName};

/// An archived segment.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct ArchivedSegment {
    pub id: LogId,
    pub uri: String,
    pub raw_bytes: i64,
    pub first_at: DateTime<Utc>,
    pub last_at: DateTime<Utc>,
}

/// Archived segments of a stream with records before a time, those that end last first: so many, after so many.
///
/// # Errors
/// The database fails.
pub async fn before(
    db: impl PgExecutor<'_>,
    service: &ServiceName,
    before: DateTime<Utc>,
    skip: usize,
    limit: usize,
) -> Result<Vec<ArchivedSegment>> {
    sqlx::query_as(
        "select id, uri, raw_bytes, first_at, last_at from log
         where service = $1 and state = 'archived' and first_at < $2
         order by last_at desc, id desc offset $3 limit $4",
    )
    .bind(service.as_str())
    .bind(before)
    .bind(skip as i64)
    .bind(limit as i64)
    .fetch_all(db)
    .await
    .with_context(|| format!("failed to look for the archived segments of '{service}'"))
}

/// Archived segments of a stream with records at a time or later, those that begin first first.
///
/// # Errors
/// The database fails.
pub async fn since(
    db: impl PgExecutor<'_>,
    service: &ServiceName,
    since: DateTime<Utc>,
) -> Result<Vec<ArchivedSegment>> {
    sqlx::query_as(
        "select id, uri, raw_bytes, first_at, last_at from log
         where service = $1 and state = 'archived' and last_at >= $2
         order by first_at, id",
    )
    .bind(service.as_str())
    .bind(since)
    .fetch_all(db)
    .await
    .with_context(|| format!("failed to look for the archived segments of '{service}'"))
}
