//! `run_action`: what happened to runs and other tasks, append-only.
//!
//! The database itself writes the actions of a parse, with the change of status; those of other processes' tasks
//! are recorded here.

use anyhow::Result;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value};
use sqlx::{FromRow, PgExecutor, Postgres, QueryBuilder};

use super::failure::DbContext as _;
use super::{Action, PgPool, fit};
use crate::ids::{LogId, RunId, ServiceName};

/// A row of `run_action`.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct RunAction {
    pub id: i64,
    pub run_id: Option<RunId>,
    /// `parse`, `reparse`, or another task's code.
    pub task: String,
    pub action: Action,
    pub at: DateTime<Utc>,
    /// The worker of a run, or the service of another task.
    pub worker: Option<String>,
    pub detail: Option<String>,
}

/// What a record of a stream says that happened to a task.
#[derive(Debug, Clone, PartialEq)]
pub struct ForeignAction {
    /// The segment and the number of the record in it.
    pub log: LogId,
    pub seq: u64,
    pub service: ServiceName,
    pub task: String,
    pub action: Action,
    pub at: DateTime<Utc>,
    pub detail: Option<String>,
    /// All else that the record says.
    pub record: Map<String, Value>,
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

/// Records what happened to a task of another process; repeatable. A task that runs again without having ended has
/// crashed before: that is recorded too.
///
/// # Errors
/// The database fails, or does not know the segment.
pub async fn happened(pool: &PgPool, action: &ForeignAction) -> Result<()> {
    let (task, service) = (fit::label(&action.task), action.service.as_str());
    let note = async {
        let mut transaction = pool.begin().await?;
        // A segment has its row a moment after its file. Until then this passes by itself, and is no refusal.
        sqlx::query("select 1 from log where id = $1 for key share")
            .bind(action.log)
            .fetch_one(&mut *transaction)
            .await?;
        if action.action == Action::Run {
            sqlx::query(
                "insert into run_action (task, action, at, worker, detail, log_id, seq)
                 select $1, 'crash', $2, $3, 'it never ended: the task runs again', last.log_id, last.seq
                 from (select log_id, seq, action from run_action
                       where task = $1 and worker = $3 and log_id is not null and at <= $2
                         and (log_id, seq) <> ($4, $5)
                       order by at desc, id desc limit 1) as last
                 where last.action = 'run'
                 on conflict (log_id, seq, action) where log_id is not null do nothing",
            )
            .bind(&*task)
            .bind(action.at)
            .bind(service)
            .bind(action.log)
            .bind(fit::count(action.seq))
            .execute(&mut *transaction)
            .await?;
        }
        sqlx::query(
            "insert into run_action (task, action, at, worker, detail, log_id, seq, record)
             values ($1, $2, $3, $4, $5, $6, $7, $8)
             on conflict (log_id, seq, action) where log_id is not null do nothing",
        )
        .bind(&*task)
        .bind(action.action)
        .bind(action.at)
        .bind(service)
        .bind(action.detail.as_deref().map(fit::text))
        .bind(action.log)
        .bind(fit::count(action.seq))
        .bind(fit::json(&action.record))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok::<_, sqlx::Error>(())
    };
    note.await.with_context(|| format!("failed to record an action of task {:?}", action.task))
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
