//! `problem_day`: the problems of all runs, by day, by what their files are and by kind. The database keeps the days and
//! what each run added to them together, and takes away what a run added when its log is let go.

use anyhow::Result;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize, Serializer};
use sqlx::{FromRow, PgExecutor};

use super::failure::DbContext as _;
use super::fit;
use crate::ids::RunId;

/// What a problem is about: names alone, empty where there is none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProblemKind {
    /// The category's number.
    pub category: i16,
    pub record_type: String,
    pub item: String,
    pub field: String,
    /// Whether the rule is deprecated.
    pub deprecated: bool,
}

/// The problems of one kind in one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KindCount {
    #[serde(flatten)]
    pub kind: ProblemKind,
    #[serde(serialize_with = "fitting")]
    pub problems: u64,
}

fn fitting<S: Serializer>(count: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(fit::count(*count))
}

/// By what to group the problems; with none of them, all are one group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProblemKeys {
    pub kind: bool,
    pub program: bool,
    pub section: bool,
    /// Fiscal year and quarter.
    pub period: bool,
    pub state: bool,
    pub reparse: bool,
}

/// Selects problems; `None` matches any.
#[derive(Debug, Clone, Default)]
pub struct ProblemFilter {
    pub program: Option<String>,
    pub section: Option<String>,
    pub fiscal_year: Option<i32>,
    pub fiscal_quarter: Option<i16>,
    pub state: Option<String>,
    /// The reparse; 0 for submissions.
    pub reparse: Option<i64>,
    /// The first and the last day, in UTC, on which their runs began.
    pub since: Option<NaiveDate>,
    pub until: Option<NaiveDate>,
}

/// A group of problems. What it is not grouped by is `None`.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct CountedProblems {
    pub problems: i64,
    /// Runs with such problems; without a kind, all runs that are counted here.
    pub runs: i64,
    /// The first and the last day, in UTC, of a run with such a problem.
    pub first_seen: NaiveDate,
    pub last_seen: NaiveDate,
    pub category: Option<i16>,
    /// Empty where there is none; so are the following.
    pub record_type: Option<String>,
    pub item: Option<String>,
    pub field: Option<String>,
    pub deprecated: Option<bool>,
    pub program: Option<String>,
    pub section: Option<String>,
    pub fiscal_year: Option<i32>,
    pub fiscal_quarter: Option<i16>,
    /// Empty where nobody names one.
    pub state: Option<String>,
    /// 0 for submissions.
    pub reparse_id: Option<i64>,
    /// How many groups there are.
    #[serde(skip)]
    pub groups: i64,
}

/// Counts the problems of a run whose log is archived; false if its log is not, or was let go. Repeatable: a run counts
/// once, as it was counted last.
///
/// # Errors
/// The database fails.
pub async fn count(db: impl PgExecutor<'_>, run: RunId, found: &[KindCount]) -> Result<bool> {
    sqlx::query_scalar("select count_problems($1, $2)")
        .bind(run)
        .bind(fit::json(&found))
        .fetch_one(db)
        .await
        .with_context(|| format!("failed to count the problems of run {run}"))
}

/// The runs with an archived log whose problems nobody counted yet, after this run, in order.
///
/// # Errors
/// The database fails.
pub async fn uncounted(db: impl PgExecutor<'_>, after: Option<RunId>, limit: i64) -> Result<Vec<RunId>> {
    sqlx::query_scalar(
        "select id from log
         where state = 'archived' and run_id is not null and not is_counted and ($1::uuid is null or id > $1)
         order by id limit $2",
    )
    .bind(after)
    .bind(limit)
    .fetch_all(db)
    .await
    .context("failed to look for runs whose problems are not counted")
}

/// How many runs with an archived log are not counted yet.
///
/// # Errors
/// The database fails.
pub async fn count_uncounted(db: impl PgExecutor<'_>) -> Result<i64> {
    sqlx::query_scalar(
        "select count(*) from log where state = 'archived' and run_id is not null and not is_counted",
    )
    .fetch_one(db)
    .await
    .context("failed to count the runs whose problems are not counted")
}

/// The most frequent problems, at most `top` groups.
///
/// # Errors
/// The database fails.
pub async fn top(
    db: impl PgExecutor<'_>,
    keys: ProblemKeys,
    filter: &ProblemFilter,
    top: i64,
) -> Result<Vec<CountedProblems>> {
    // First by numbers alone, and no finer than is asked for, which makes few rows of many.
    let by_scope = keys.program || keys.section || keys.period || keys.state || keys.reparse;
    sqlx::query_as(
        "with chosen as materialized (
             select * from problem_scope
             where ($1::text is null or program = $1) and ($2::text is null or section = $2)
               and ($3::integer is null or fiscal_year = $3) and ($4::smallint is null or fiscal_quarter = $4)
               and ($5::text is null or state = $5) and ($6::bigint is null or reparse_id = $6)
         ), counted as (
             select case when $16 then d.scope_id end as scope_id, d.kind_id, sum(d.problems) as problems, sum(d.runs) as runs,
                    min(d.day) filter (where d.problems > 0) as first_seen,
                    max(d.day) filter (where d.problems > 0) as last_seen
             from problem_day d
             where d.scope_id in (select id from chosen) and (d.kind_id <> 0) = $9
               and ($7::date is null or d.day >= $7) and ($8::date is null or d.day <= $8)
             group by 1, 2
         )
         select sum(c.problems)::bigint as problems, sum(c.runs)::bigint as runs,
                min(c.first_seen) as first_seen, max(c.last_seen) as last_seen,
                case when $9 then k.category end as category, case when $9 then k.record_type end as record_type,
                case when $9 then k.item end as item, case when $9 then k.field end as field,
                case when $9 then k.deprecated end as deprecated,
                case when $10 then s.program end as program, case when $11 then s.section end as section,
                case when $12 then s.fiscal_year end as fiscal_year,
                case when $12 then s.fiscal_quarter end as fiscal_quarter,
                case when $13 then s.state end as state, case when $14 then s.reparse_id end as reparse_id,
                count(*) over () as groups
         from counted c left join chosen s on s.id = c.scope_id join problem_kind k on k.id = c.kind_id
         group by 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
         having sum(c.problems) > 0
         order by 1 desc, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 limit $15",
    )
    .bind(&filter.program)
    .bind(&filter.section)
    .bind(filter.fiscal_year)
    .bind(filter.fiscal_quarter)
    .bind(&filter.state)
    .bind(filter.reparse)
    .bind(filter.since)
    .bind(filter.until)
    .bind(keys.kind)
    .bind(keys.program)
    .bind(keys.section)
    .bind(keys.period)
    .bind(keys.state)
    .bind(keys.reparse)
    .bind(top)
    .bind(by_scope)
    .fetch_all(db)
    .await
    .context("failed to count the problems")
}
