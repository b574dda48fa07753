//! Another attempt at jobs that ended without a verdict, because a person asks for it.

use anyhow::Result;
use serde::Serialize;
use sqlx::FromRow;

use crate::ids::{BatchId, RunId};
use crate::store::DbContext as _;
use crate::store::{PgPool, fit};

/// A job that got another attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow, Serialize)]
pub struct Retried {
    /// The attempt that failed.
    pub before: RunId,
    /// The one that is queued.
    pub run: RunId,
    pub batch: BatchId,
}

/// Queues the next attempt of each of these runs that failed, crashed, was stopped or never started, and is the last
/// attempt of its job; the others stay as they are. A finished batch is open again.
///
/// # Errors
/// The database fails; then nothing is queued.
pub async fn retry(pool: &PgPool, runs: &[RunId], by: &str) -> Result<Vec<Retried>> {
    sqlx::query_as(
        "with chosen as (
             select r.* from parse_file_meta r
             where r.id = any($1) and r.status in ('fail', 'crash', 'terminate', 'inaction')
               and not exists (select 1 from parse_file_meta later
                               where (later.batch_id, later.data_file_id) = (r.batch_id, r.data_file_id)
                                 and later.attempt > r.attempt)
             order by r.id for update of r
         ), next as (
             insert into parse_file_meta (data_file_id, batch_id, kind, attempt, max_attempts, priority)
             select data_file_id, batch_id, kind, attempt + 1, greatest(max_attempts, attempt + 1), priority
             from chosen
             on conflict (batch_id, data_file_id, attempt) do nothing
             returning id, data_file_id, batch_id
         ), reopened as (
             update parse_meta set finished_at = null where id in (select batch_id from next)
         ), entry as (
             insert into log_entry (actor, entry, data_file_id, batch_id, run_id, detail)
             select $2, 'retry-queued', c.data_file_id, c.batch_id, c.id, format('the next attempt is run %s', n.id)
             from next n join chosen c on (c.batch_id, c.data_file_id) = (n.batch_id, n.data_file_id)
         ), told as (
             select pg_notify('parselog_queue', '') from next limit 1
         )
         select c.id as before, n.id as run, n.batch_id as batch
         from next n join chosen c on (c.batch_id, c.data_file_id) = (n.batch_id, n.data_file_id)
         cross join (select count(*) from told) as every
         order by c.id",
    )
    .bind(runs.iter().map(|run| run.0).collect::<Vec<_>>())
    .bind(fit::label(by))
    .fetch_all(pool)
    .await
    .context("failed to queue the retries")
}
