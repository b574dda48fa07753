//! Cancelling a run.

use anyhow::Result;

use super::finish::close;
use crate::faults;
use crate::ids::{BatchId, RunId};
use crate::store::DbContext as _;
use crate::store::{PgPool, RunStatus, entry, fit};

/// The result of a cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// The run was queued; it will never start, and its action is `inaction`.
    BeforeStart,
    /// The run is running; its worker learns of the request at the next heartbeat.
    Requested,
    /// The run had already ended.
    HadEnded(RunStatus),
    /// The run does not exist.
    Unknown,
}

/// Cancels a run on behalf of `by`; a second request changes nothing.
///
/// # Errors
/// The database fails.
pub async fn cancel(pool: &PgPool, run: RunId, by: &str) -> Result<Cancelled> {
    let failure = || format!("failed to cancel run {run}");
    let mut transaction = pool.begin().await.with_context(failure)?;
    let changed: Option<(RunStatus, BatchId)> = sqlx::query_as(
        "update parse_file_meta
         set cancel_requested_at = now(), cancel_requested_by = $2,
             status = case status when 'queued' then 'inaction' else status end,
             finished_at = case status when 'queued' then now() end,
             failure = case status when 'queued' then 'cancelled by ' || $2 || ' before it started' end
         where id = $1 and status in ('queued', 'running') and cancel_requested_at is null
         returning status, batch_id",
    )
    .bind(run)
    .bind(fit::label(by))
    .fetch_optional(&mut *transaction)
    .await
    .with_context(failure)?;
    if changed.is_some() {
        entry::about_run(&mut *transaction, run, Some(by), "cancel-requested", None).await?;
    }
    let status = match changed {
        Some((status, _)) => Some((status, true)),
        None => sqlx::query_scalar("select status from parse_file_meta where id = $1")
            .bind(run)
            .fetch_optional(&mut *transaction)
            .await
            .with_context(failure)?
            .map(|status| (status, false)),
    };
    transaction.commit().await.with_context(failure)?;
    faults::point("cancel-on-row");
    if let Some((RunStatus::Inaction, batch)) = changed {
        close(pool, batch).await;
    }
    Ok(match status {
        None => Cancelled::Unknown,
        Some((RunStatus::Inaction, true)) => Cancelled::BeforeStart,
        Some((RunStatus::Running, _)) => Cancelled::Requested,
        Some((status, _)) => Cancelled::HadEnded(status),
    })
}
