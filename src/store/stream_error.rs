//! `stream_error`: the errors that a logger of a stream wrote within an hour, counted.

use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgExecutor};

use super::failure::DbContext as _;
use super::{PgPool, fit};

/// How long errors of one condition count as one.
pub const EPISODE: Duration = Duration::from_secs(3600);

/// Errors to add to the count of their condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewErrors {
    pub service: String,
    pub logger: String,
    pub count: u64,
}

/// Errors of one condition, from the first of its hour on.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct StreamErrors {
    pub id: i64,
    pub service: String,
    /// Who wrote them; empty if the records do not say.
    pub logger: String,
    pub began_at: DateTime<Utc>,
    pub last_at: DateTime<Utc>,
    pub errors: i64,
    /// Those of the same condition in the hour before, which may have gone on after the operators were told.
    pub before: Option<i64>,
}

/// Adds these to their conditions; a condition whose hour is over begins anew.
///
/// # Errors
/// The database fails; then nothing was added.
pub async fn add(pool: &PgPool, errors: &[NewErrors]) -> Result<()> {
    let doing = "failed to count errors of streams";
    let mut transaction = pool.begin().await.context(doing)?;
    // Of two processes only one begins an hour. Readers go on.
    sqlx::query("lock table stream_error in share row exclusive mode")
        .execute(&mut *transaction)
        .await
        .context(doing)?;
    for NewErrors { service, logger, count } in errors {
        sqlx::query(
            "with known as (
                 update stream_error set errors = errors + $3, last_at = greatest(last_at, now())
                 where id = (select id from stream_error
                             where service = $1 and logger = $2 and began_at > now() - $4
                             order by began_at desc limit 1)
                 returning id
             )
             insert into stream_error (service, logger, errors)
             select $1, $2, $3 where not exists (select from known)",
        )
        .bind(fit::label(service))
        .bind(fit::label(logger))
        .bind(fit::count(*count))
        .bind(EPISODE)
        .execute(&mut *transaction)
        .await
        .context(doing)?;
    }
    transaction.commit().await.context(doing)
}

/// Errors by their id; `None` if there are none.
///
/// # Errors
/// The database fails.
pub async fn get(db: impl PgExecutor<'_>, id: i64) -> Result<Option<StreamErrors>> {
    sqlx::query_as(
        "select e.*, (select before.errors from stream_error before
                      where before.service = e.service and before.logger = e.logger
                        and before.began_at < e.began_at and before.began_at > e.began_at - 2 * $2
                      order by before.began_at desc limit 1) as before
         from stream_error e where id = $1",
    )
    .bind(id)
    .bind(EPISODE)
    .fetch_optional(db)
    .await
    .context("failed to read the errors of a stream")
}
