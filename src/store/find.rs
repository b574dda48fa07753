//! Finds runs: by subject, by ending, by part of their id.

use anyhow::{Result, anyhow};
use chrono::{DateTime, Utc};
use sqlx::{PgExecutor, QueryBuilder};
use uuid::Uuid;

use super::failure::DbContext as _;
use super::{LogState, Run, RunStatus};
use crate::ids::{BatchId, DataFileId, RunId};

/// Selects runs; a `None` or empty field does not restrict.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// Any of these.
    pub status: Vec<RunStatus>,
    /// Any of these.
    pub log_state: Vec<LogState>,
    pub data_file: Option<DataFileId>,
    /// Any submission of the same file over time as this one.
    pub same_file_as: Option<DataFileId>,
    /// A submission's batch, or a reparse id.
    pub batch: Option<BatchId>,
    pub program: Option<String>,
    pub section: Option<String>,
    pub fiscal_year: Option<i32>,
    pub fiscal_quarter: Option<i16>,
    pub state: Option<String>,
    /// Queued at this moment or later.
    pub since: Option<DateTime<Utc>>,
    /// Older than this run: the page before it, or the previous run of a file.
    pub before: Option<RunId>,
    /// At most so many.
    pub limit: Option<i64>,
}

/// The runs that match `filter`, the newest first.
///
/// # Errors
/// The database fails.
pub async fn find(db: impl PgExecutor<'_>, filter: &RunFilter) -> Result<Vec<Run>> {
    let mut query = QueryBuilder::new("select * from run where true");
    if !filter.status.is_empty() {
        let codes: Vec<_> = filter.status.iter().map(|status| status.as_str()).collect();
        query.push(" and status = any(").push_bind(codes).push(")");
    }
    if !filter.log_state.is_empty() {
        let codes: Vec<_> = filter.log_state.iter().map(|state| state.as_str()).collect();
        query.push(" and log_state = any(").push_bind(codes).push(")");
    }
    if let Some(data_file) = filter.data_file {
        query.push(" and data_file_id = ").push_bind(data_file);
    }
    if let Some(data_file) = filter.same_file_as {
        query
            .push(" and data_file_id in (select id from data_file where (bucket, identity, owner) =")
            .push(" (select bucket, identity, owner from data_file where id = ")
            .push_bind(data_file)
            .push("))");
    }
    if let Some(batch) = filter.batch {
        query.push(" and batch_id = ").push_bind(batch);
    }
    if let Some(program) = &filter.program {
        query.push(" and program = ").push_bind(program);
    }
    if let Some(section) = &filter.section {
        query.push(" and section = ").push_bind(section);
    }
    if let Some(year) = filter.fiscal_year {
        query.push(" and fiscal_year = ").push_bind(year);
    }
    if let Some(quarter) = filter.fiscal_quarter {
        query.push(" and fiscal_quarter = ").push_bind(quarter);
    }
    if let Some(state) = &filter.state {
        query.push(" and state = ").push_bind(state);
    }
    if let Some(since) = filter.since {
        query.push(" and queued_at >= ").push_bind(since);
    }
    if let Some(run) = filter.before {
        query.push(" and id < ").push_bind(run);
    }
    query.push(" order by id desc limit ").push_bind(filter.limit);
    query.build_query_as().fetch_all(db).await.context("failed to list runs")
}

/// The newest run that matches `filter`.
///
/// # Errors
/// The database fails.
pub async fn latest(db: impl PgExecutor<'_>, filter: &RunFilter) -> Result<Option<Run>> {
    let one = RunFilter { limit: Some(1), ..filter.clone() };
    Ok(find(db, &one).await?.pop())
}

/// The runs whose id begins or ends with `piece`, the newest first, at most `limit`.
///
/// Upper case and hyphens don't matter. Text that can't be part of an id, or has fewer than four digits,
/// matches nothing.
///
/// # Errors
/// The database fails.
pub async fn matching(db: impl PgExecutor<'_>, piece: &str, limit: i64) -> Result<Vec<RunId>> {
    let digits: String = piece.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect();
    if !(4..=32).contains(&digits.len()) || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Ok(Vec::new());
    }
    let filled = |filler: &str| {
        let id = Uuid::parse_str(&format!("{digits}{}", filler.repeat(32 - digits.len())));
        id.map_err(|error| anyhow!(error).context("failed to read the piece of a run id"))
    };
    // The index over the reversed ids has the hyphens in them.
    let reversed: String = hyphenated_end(&digits).chars().rev().collect();
    sqlx::query_scalar(
        "select id from parse_file_meta where id between $1 and $2 or reverse(id::text) like $3 || '%'
         order by id desc limit $4",
    )
    .bind(filled("0")?)
    .bind(filled("f")?)
    .bind(reversed)
    .bind(limit)
    .fetch_all(db)
    .await
    .context("failed to look for runs")
}

/// Puts the hyphens where they are when `digits` are the last of an id.
fn hyphenated_end(digits: &str) -> String {
    let mut text = String::new();
    for (index, digit) in digits.char_indices() {
        if [24, 20, 16, 12].contains(&(digits.len() - index)) && index > 0 {
            text.push('-');
        }
        text.push(digit);
    }
    text
}
