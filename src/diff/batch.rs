//! A whole reparse against each file's run before it.

use std::collections::BTreeMap;

use anyhow::Result;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use super::{Counts, compare};
use crate::ids::{BatchId, DataFileId, RunId};
use crate::reader::LogSource;
use crate::record::Level;
use crate::store::reparse::{self, Pair};
use crate::store::{self, Run};
use crate::system::System;

/// Files that are compared at once.
const AT_ONCE: usize = 8;

/// One file of a reparse, compared with its run before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileChange {
    pub data_file_id: DataFileId,
    pub name: String,
    /// `None` if the file was never parsed before; then there is nothing to compare.
    pub before: Option<RunId>,
    pub after: RunId,
    /// The verdict, or the status without a verdict.
    pub verdict_before: Option<String>,
    pub verdict_after: String,
    pub records_before: Option<i64>,
    pub records_after: Option<i64>,
    pub problems: Counts,
    /// By category number.
    pub by_category: BTreeMap<u8, Counts>,
    /// Why the problems could not be compared, if so.
    pub unread: Option<String>,
}

impl FileChange {
    /// The size of the change: problems that appeared or disappeared.
    pub fn size(&self) -> u64 {
        self.problems.appeared + self.problems.disappeared
    }

    /// Whether the verdict of the file changed.
    pub fn changed_verdict(&self) -> bool {
        self.verdict_before.as_ref().is_some_and(|before| *before != self.verdict_after)
    }

    /// Whether anything changed, or may have.
    pub fn is_change(&self) -> bool {
        self.before.is_some()
            && (self.size() > 0
                || self.changed_verdict()
                || self.records_before != self.records_after
                || self.unread.is_some())
    }
}

/// Compares the ended runs of a reparse, and calls `each` with every file, in any order.
///
/// # Errors
/// When the database fails. A log that can't be read is the file's [`FileChange::unread`].
pub async fn compare_batch(system: &System, id: BatchId, mut each: impl FnMut(FileChange)) -> Result<()> {
    let pairs = reparse::pairs(&system.pool, id).await?;
    let mut compared = stream::iter(pairs)
        .map(|pair| async move { compare_pair(system, pair).await })
        .buffer_unordered(AT_ONCE);
    while let Some(change) = compared.try_next().await? {
        if let Some(change) = change {
            each(change);
        }
    }
    Ok(())
}

async fn compare_pair(system: &System, pair: Pair) -> Result<Option<FileChange>> {
    let Some(after) = store::run::get(&system.pool, pair.after).await? else { return Ok(None) };
    let before = match pair.before {
        Some(id) => store::run::get(&system.pool, id).await?,
        None => None,
    };
    let mut change = FileChange {
        data_file_id: after.data_file_id,
        name: after.name.clone(),
        before: pair.before,
        after: after.id,
        verdict_before: before.as_ref().map(Run::verdict),
        verdict_after: after.verdict(),
        records_before: before.as_ref().and_then(|run| run.records_created),
        records_after: after.records_created,
        problems: Counts::default(),
        by_category: BTreeMap::new(),
        unread: None,
    };
    let Some(before) = before.filter(|before| !(is_without_problems(before) && is_without_problems(&after)))
    else {
        return Ok(Some(change));
    };
    let compared = async {
        let one = LogSource::find(&before, system).await?;
        let other = LogSource::find(&after, system).await?;
        compare(&system.objects, &one, &other).await
    };
    match compared.await {
        Ok(comparison) => {
            change.problems = comparison.total;
            change.by_category = comparison.by_category;
        }
        Err(error) => change.unread = Some(format!("{error:#}")),
    }
    Ok(Some(change))
}

/// Whether the row says that the log holds no problem: each is logged as a warning or an error.
fn is_without_problems(run: &Run) -> bool {
    run.log_dropped == Some(0)
        && run.log_events.as_ref().is_some_and(|events| {
            [Level::Warn, Level::Error]
                .iter()
                .all(|level| events.get(level.as_str()).copied().unwrap_or_default() == 0)
        })
}
