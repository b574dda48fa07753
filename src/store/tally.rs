//! `run_tally`: how many runs ended in each status, up to a moment. What ended is counted once, so that a count of all
//! runs costs as much as a count of the latest.

use std::time::Duration;

use anyhow::Result;
use sqlx::PgExecutor;

use super::failure::DbContext as _;
use super::load::CodeCount;

/// Longest time from the end of a run to the moment at which all see it.
const SETTLING: Duration = Duration::from_secs(10 * 60);

/// The runs, by their status.
///
/// # Errors
/// The database fails.
pub async fn runs(db: impl PgExecutor<'_>) -> Result<Vec<CodeCount>> {
    sqlx::query_as(
        "with open as (
             select status, count(*) as rows from parse_file_meta where finished_at is null group by 1
         ), lately as (
             select status, count(*) as rows from parse_file_meta
             where finished_at > (select through from run_tally) group by 1
         ), before as (
             select e.key as status, e.value::bigint as rows from run_tally, jsonb_each_text(runs) as e
         )
         select status as code, sum(rows)::bigint as rows
         from (select * from open union all select * from lately union all select * from before) as counted
         group by 1",
    )
    .fetch_all(db)
    .await
    .context("failed to count the runs")
}

/// Counts the next `most` ended runs, for good; one process does so at a time.
///
/// # Errors
/// The database fails.
pub async fn advance(db: impl PgExecutor<'_>, most: i64) -> Result<()> {
    sqlx::query(
        "with was as (
             select through from run_tally for update skip locked
         ), until as (
             select coalesce(
                 (select finished_at from parse_file_meta
                  where finished_at > (select through from was) and finished_at <= now() - $1
                  order by finished_at offset $2 - 1 limit 1),
                 greatest(now() - $1, was.through)) as through
             from was
         ), ended as (
             select status, count(*) as rows from parse_file_meta
             where finished_at > (select through from was) and finished_at <= (select through from until)
             group by 1
         )
         update run_tally t
         set through = until.through,
             runs = t.runs || coalesce(
                 (select jsonb_object_agg(status, rows + coalesce((t.runs ->> status)::bigint, 0)) from ended), '{}')
         from until",
    )
    .bind(SETTLING)
    .bind(most)
    .execute(db)
    .await
    .context("failed to count ended runs")?;
    Ok(())
}
