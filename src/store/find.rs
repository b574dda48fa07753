//! Finds runs: by subject, by ending, by part of their id.

use anyhow::{Result, anyhow};
use sqlx::{PgExecutor, QueryBuilder};
use uuid::Uuid;

use super::Run;
use super::failure::DbContext as _;
use super::filter::RunFilter;
use super::narrow::Narrow;
use crate::ids::RunId;

/// The runs that match `filter`, in its order.
///
/// # Errors
/// The database fails.
pub async fn find(db: impl PgExecutor<'_> + Copy, filter: &RunFilter) -> Result<Vec<Run>> {
    let narrow = Narrow::of(db, filter).await?;
    // First the ids of the page, from as few tables as they need, then their rows.
    let mut query = QueryBuilder::new("select run.* from run where run.id in (");
    narrow.push_page(&mut query, filter);
    let direction = if filter.order.ascends() { "asc" } else { "desc" };
    query.push(") order by ");
    if let Some(key) = filter.order.by.key("run", "run") {
        query.push(format!("{key} {direction}, "));
    }
    query.push(format!("run.id {direction}"));
    query.build_query_as().fetch_all(db).await.context("failed to list runs")
}

/// How many runs match `filter`, of all its pages; it stops to count at `most`.
///
/// # Errors
/// The database fails.
pub async fn count(db: impl PgExecutor<'_> + Copy, filter: &RunFilter, most: i64) -> Result<i64> {
    let narrow = Narrow::of(db, filter).await?;
    let mut query = QueryBuilder::new("select count(*) from (");
    narrow.push_ids(&mut query, filter, None);
    query.push(" limit ").push_bind(most).push(") counted");
    query.build_query_scalar().fetch_one(db).await.context("failed to count runs")
}

/// The newest run that matches `filter`.
///
/// # Errors
/// The database fails.
pub async fn latest(db: impl PgExecutor<'_> + Copy, filter: &RunFilter) -> Result<Option<Run>> {
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
