//! `run_action`: what happened to runs and other tasks, append-only.
//!
//! The database itself writes the actions of a parse, with the change of status; only other tasks, such as an
//! archive, record theirs here.

use anyhow::Result;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, PgExecutor, Postgres, QueryBuilder};

use super::Action;
use super::failure::DbContext as _;
use crate::ids::RunId;

/// A row of `run_action`.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct RunAction {
    pub id: i64,
    pub run_id: Option<RunId>,
    /// `parse`, `reparse`, or another task's code.
    pub task: String,
    pub action: Action,
    pub at: DateTime<Utc>,
    pub worker: Option<String>,
    pub detail: Option<String>,
}

/// How often a task had an action, and when last.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct ActionCount {
    pub task: String,
    pub action: Action,
    pub count: i64,
    pub latest_at: DateTime<Utc>,
}

/// Selects actions; `None` matches any.
#[derive(Debug, Clone, Default)]
pub struct ActionFilter {
    pub run: Option<RunId>,
    pub task: Option<String>,
    pub action: Option<Action>,
    /// At this moment or later.
    pub since: Option<DateTime<Utc>>,
    /// Before this moment.
    pub until: Option<DateTime<Utc>>,
    /// At most so many.
    pub limit: Option<i64>,
}

/// The actions that match `filter`, the latest first.
///
/// # Errors
/// The database fails.
pub async fn list(db: impl PgExecutor<'_>, filter: &ActionFilter) -> Result<Vec<RunAction>> {
    let mut query = QueryBuilder::new("select * from run_action where true");
    restrict(&mut query, filter);
    query.push(" order by id desc limit ").push_bind(filter.limit);
    query.build_query_as().fetch_all(db).await.context("failed to list actions")
}

/// How often each task had each action, among the actions that match `filter`.
///
/// # Errors
/// The database fails.
pub async fn counts(db: impl PgExecutor<'_>, filter: &ActionFilter) -> Result<Vec<ActionCount>> {
    let mut query = QueryBuilder::new(
        "select task, action, count(*) as count, max(at) as latest_at from run_action where true",
    );
    restrict(&mut query, filter);
    query.push(" group by task, action order by task, action limit ").push_bind(filter.limit);
    query.build_query_as().fetch_all(db).await.context("failed to count actions")
}

fn restrict(query: &mut QueryBuilder<Postgres>, filter: &ActionFilter) {
    if let Some(run) = filter.run {
        query.push(" and run_id = ").push_bind(run);
    }
    if let Some(task) = &filter.task {
        query.push(" and task = ").push_bind(task.clone());
    }
    if let Some(action) = filter.action {
        query.push(" and action = ").push_bind(action);
    }
    if let Some(since) = filter.since {
        query.push(" and at >= ").push_bind(since);
    }
    if let Some(until) = filter.until {
        query.push(" and at < ").push_bind(until);
    }
}
