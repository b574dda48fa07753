//! Finds runs: by subject, by ending, by part of their id.

use std::str::FromStr;

use anyhow::{Result, anyhow};
use chrono::{DateTime, Utc};
use sqlx::{PgExecutor, Postgres, QueryBuilder};
use uuid::Uuid;

use super::failure::DbContext as _;
use super::{LogState, Run, RunStatus};
use crate::ids::{BatchId, DataFileId, RunId};
use crate::parser::SummaryStatus;

/// Selects runs; a `None` or empty field does not restrict.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// Any of these, or of the verdicts.
    pub status: Vec<RunStatus>,
    /// Any of these, or of the statuses.
    pub verdict: Vec<SummaryStatus>,
    /// Any of these.
    pub log_state: Vec<LogState>,
    pub data_file: Option<DataFileId>,
    /// Any submission of the same file over time as this one.
    pub same_file_as: Option<DataFileId>,
    /// A submission's batch, or a reparse id.
    pub batch: Option<BatchId>,
    pub program: Option<String>,
    /// Any of these.
    pub programs: Vec<String>,
    pub section: Option<String>,
    pub fiscal_year: Option<i32>,
    pub fiscal_quarter: Option<i16>,
    pub state: Option<String>,
    /// A part of the file's name, whatever its case.
    pub name: Option<String>,
    /// Who asked for the run.
    pub requested_by: Option<String>,
    /// Queued at this moment or later.
    pub since: Option<DateTime<Utc>>,
    /// Ended at this moment or later.
    pub ended_since: Option<DateTime<Utc>>,
    /// Older than this run: the previous run of a file.
    pub before: Option<RunId>,
    pub order: RunOrder,
    /// Behind this run, in the order: the next page.
    pub after: Option<RunId>,
    /// At most so many.
    pub limit: Option<i64>,
}

/// The order of a list of runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RunOrder {
    pub by: RunSort,
    /// The other way round.
    pub reversed: bool,
}

/// What a list of runs is sorted by: names from A to Z, all else from the latest, longest or largest on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RunSort {
    #[default]
    Queued,
    Started,
    Finished,
    Took,
    Size,
    Errors,
    Name,
}

impl FromStr for RunSort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "queued" => Self::Queued,
            "started" => Self::Started,
            "finished" => Self::Finished,
            "took" => Self::Took,
            "size" => Self::Size,
            "errors" => Self::Errors,
            "name" => Self::Name,
            _ => return Err("expected queued, started, finished, took, size, errors or name".to_owned()),
        })
    }
}

impl RunSort {
    /// What the rows have of it, as SQL; never null, so that a page can begin behind any row.
    fn key(self) -> &'static str {
        match self {
            Self::Queued => "queued_at",
            Self::Started => "coalesce(started_at, '-infinity')",
            Self::Finished => "coalesce(finished_at, '-infinity')",
            Self::Took => "coalesce(coalesce(finished_at, now()) - started_at, '0')",
            Self::Size => "coalesce(size_bytes, -1)",
            Self::Errors => "coalesce(error_count, -1)",
            Self::Name => "lower(name)",
        }
    }
}

/// The runs that match `filter`, in its order.
///
/// # Errors
/// The database fails.
pub async fn find(db: impl PgExecutor<'_>, filter: &RunFilter) -> Result<Vec<Run>> {
    let mut query = QueryBuilder::new("select * from run where true");
    restrict(&mut query, filter);
    let key = filter.order.by.key();
    let ascends = (filter.order.by == RunSort::Name) != filter.order.reversed;
    let (direction, behind) = if ascends { ("asc", ">") } else { ("desc", "<") };
    match (filter.order.by, filter.after) {
        (_, None) => {}
        (RunSort::Queued, Some(run)) => {
            query.push(format!(" and id {behind} ")).push_bind(run);
        }
        (_, Some(run)) => {
            query.push(format!(" and ({key}, id) {behind} (select {key}, id from run where id = "));
            query.push_bind(run).push(")");
        }
    }
    // Ids are in the order of queuing, and have an index.
    let by = if filter.order.by == RunSort::Queued { String::new() } else { format!("{key} {direction}, ") };
    query.push(format!(" order by {by}id {direction} limit ")).push_bind(filter.limit);
    query.build_query_as().fetch_all(db).await.context("failed to list runs")
}

/// How many runs match `filter`, of all its pages; it stops to count at `most`.
///
/// # Errors
/// The database fails.
pub async fn count(db: impl PgExecutor<'_>, filter: &RunFilter, most: i64) -> Result<i64> {
    let mut query = QueryBuilder::new("select count(*) from (select from run where true");
    restrict(&mut query, filter);
    query.push(" limit ").push_bind(most).push(") counted");
    query.build_query_scalar().fetch_one(db).await.context("failed to count runs")
}

fn restrict(query: &mut QueryBuilder<Postgres>, filter: &RunFilter) {
    if !filter.status.is_empty() || !filter.verdict.is_empty() {
        let codes: Vec<_> = filter.status.iter().map(|status| status.as_str()).collect();
        let verdicts: Vec<_> = filter.verdict.iter().map(|verdict| verdict.as_str()).collect();
        query.push(" and (status = any(").push_bind(codes);
        query.push(") or summary_status = any(").push_bind(verdicts).push("))");
    }
    if !filter.log_state.is_empty() {
        let codes: Vec<_> = filter.log_state.iter().map(|state| state.as_str()).collect();
        query.push(" and log_state = any(").push_bind(codes).push(")");
    }
    if !filter.programs.is_empty() {
        query.push(" and program = any(").push_bind(filter.programs.clone()).push(")");
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
    let texts = [
        ("program", &filter.program),
        ("section", &filter.section),
        ("state", &filter.state),
        ("requested_by", &filter.requested_by),
    ];
    for (column, value) in texts {
        if let Some(value) = value {
            query.push(format!(" and {column} = ")).push_bind(value.clone());
        }
    }
    if let Some(name) = &filter.name {
        query.push(" and position(lower(").push_bind(name.clone()).push(") in lower(name)) > 0");
    }
    if let Some(year) = filter.fiscal_year {
        query.push(" and fiscal_year = ").push_bind(year);
    }
    if let Some(quarter) = filter.fiscal_quarter {
        query.push(" and fiscal_quarter = ").push_bind(quarter);
    }
    if let Some(since) = filter.since {
        query.push(" and queued_at >= ").push_bind(since);
    }
    if let Some(since) = filter.ended_since {
        query.push(" and finished_at >= ").push_bind(since);
    }
    if let Some(run) = filter.before {
        query.push(" and id < ").push_bind(run);
    }
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
