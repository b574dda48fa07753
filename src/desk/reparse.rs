//! Parses files again: selects files, previews, queues, and shows the progress.

use std::time::Duration;

use anyhow::Context as _;
use chrono::Utc;
use serde::Serialize;

use super::lookup::find_file;
use super::{DeskError, Result};
use crate::faults;
use crate::ids::BatchId;
use crate::store::PgPool;
use crate::store::reparse::{self, FileSelection, Reparse, ReparseRequest, Selected, Totals};

/// The ordinary priority of a reparse: after all submissions.
pub const PRIORITY: i32 = 200;

/// How often to check while waiting.
const TICK: Duration = Duration::from_millis(500);

/// The progress of a reparse, and the results of its files.
#[derive(Debug, Serialize)]
pub struct Standing {
    #[serde(flatten)]
    pub row: Reparse,
    #[serde(flatten)]
    pub totals: Totals,
}

/// The selection, with the files that these texts name by id, name or key.
///
/// # Errors
/// A text matches no file or several, or the selection restricts nothing and does not ask for all files.
pub async fn selection(pool: &PgPool, files: &[String], rest: FileSelection) -> Result<FileSelection> {
    let (all, every_version) = (rest.all, rest.every_version);
    let mut selection = FileSelection { all: false, ..rest };
    for file in files {
        selection.files.push(find_file(pool, file).await?.id);
    }
    let restricted = selection != FileSelection { every_version, ..FileSelection::default() };
    if restricted == all {
        return Err(DeskError::Invalid(
            "say which files: by id or name, --program, --section, --state, --year, --quarter, --status \
             or --since; or --all, without any of these"
                .to_owned(),
        ));
    }
    Ok(FileSelection { all, ..selection })
}

/// The files that a selection names, by kind.
///
/// # Errors
/// No file matches.
pub async fn preview(pool: &PgPool, selection: &FileSelection) -> Result<Vec<Selected>> {
    let selected = reparse::preview(pool, selection).await?;
    if selected.is_empty() {
        return Err(DeskError::NotFound("no file fits: `parselog runs` lists what there is".to_owned()));
    }
    Ok(selected)
}

/// Queues the runs of a reparse; returns its id and number of files.
///
/// # Errors
/// No file matches, or another reparse with one of them is unfinished; then nothing is queued.
pub async fn queue(
    pool: &PgPool,
    selection: &FileSelection,
    request: &ReparseRequest,
) -> Result<(BatchId, i64)> {
    faults::point("reparse-asked");
    let queued = reparse::enqueue(pool, selection, request).await?;
    faults::point("reparse-queued");
    Ok(queued)
}

/// The progress of a reparse.
///
/// # Errors
/// The database fails.
pub async fn standing(pool: &PgPool, id: BatchId) -> Result<Standing> {
    Ok(Standing { row: get(pool, id).await?, totals: reparse::totals(pool, id).await? })
}

/// Returns once no run of the reparse is queued or running; reports to `progress` now and then.
///
/// # Errors
/// The database fails.
pub async fn wait(pool: &PgPool, id: BatchId, mut progress: impl FnMut(&Reparse)) -> Result<()> {
    loop {
        let row = get(pool, id).await?;
        progress(&row);
        if row.finished_at.is_some() {
            return Ok(());
        }
        tokio::time::sleep(TICK).await;
    }
}

/// The progress in a word.
pub fn state(row: &Reparse) -> &'static str {
    match (row.finished_at, row.started_at) {
        (Some(_), _) => "finished",
        (None, _) if row.deadline.is_some_and(|deadline| deadline < Utc::now()) => "overdue",
        (None, Some(_)) => "running",
        (None, None) => "queued",
    }
}

async fn get(pool: &PgPool, id: BatchId) -> Result<Reparse> {
    let row = reparse::get(pool, id).await?;
    Ok(row.with_context(|| format!("reparse {id} is gone from the database"))?)
}
