//! Comparing a whole reparse with each file's run before it.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::Serialize;

use super::Result;
use crate::diff::{Counts, FileChange, compare_batch};
use crate::store::reparse::Reparse;
use crate::system::System;

/// The totals of a reparse.
#[derive(Debug, Default, Serialize)]
pub struct ReparseDifference {
    pub reparse: i64,
    pub files: u64,
    /// Files that have not ended yet.
    pub unfinished: i64,
    /// Files that were never parsed before.
    pub new: u64,
    pub changed: u64,
    pub unchanged: u64,
    /// Files with an unreadable log.
    pub unread: u64,
    pub records_before: i64,
    pub records_after: i64,
    pub problems: Counts,
    pub categories: BTreeMap<u8, Counts>,
    /// Files by verdict before and after, for files whose verdict changed.
    pub verdicts: BTreeMap<String, u64>,
}

/// Compares each file of a reparse; returns the totals and the changed files, the most changed first.
///
/// # Errors
/// The database fails. An unreadable log is named with its file instead.
pub async fn compare_reparse(system: &System, row: &Reparse) -> Result<(ReparseDifference, Vec<FileChange>)> {
    let mut all = ReparseDifference {
        reparse: row.id.0,
        unfinished: row.files - row.finished(),
        ..ReparseDifference::default()
    };
    let mut changes = Vec::new();
    compare_batch(&system.patient(), row.id, |change| {
        all.add(&change);
        if change.is_change() {
            changes.push(change);
        }
    })
    .await?;
    changes.sort_by_key(|change| (Reverse((change.size(), change.changed_verdict())), change.data_file_id));
    Ok((all, changes))
}

impl ReparseDifference {
    fn add(&mut self, change: &FileChange) {
        self.files += 1;
        self.new += u64::from(change.before.is_none());
        self.changed += u64::from(change.is_change());
        self.unchanged += u64::from(change.before.is_some() && !change.is_change());
        self.unread += u64::from(change.unread.is_some());
        self.records_before += change.records_before.unwrap_or_default();
        self.records_after += change.records_after.unwrap_or_default();
        add(&mut self.problems, change.problems);
        for (category, counts) in &change.by_category {
            add(self.categories.entry(*category).or_default(), *counts);
        }
        if let Some(before) = change.verdict_before.as_ref().filter(|_| change.changed_verdict()) {
            *self.verdicts.entry(format!("{before} -> {}", change.verdict_after)).or_default() += 1;
        }
    }
}

fn add(to: &mut Counts, counts: Counts) {
    to.appeared += counts.appeared;
    to.disappeared += counts.disappeared;
    to.unchanged += counts.unchanged;
}
