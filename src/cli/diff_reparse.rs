//! `parselog diff --reparse`: a whole reparse against each file's run before it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Result;
use serde::Serialize;

use super::diff::category_name;
use super::table::Table;
use super::{Exit, show};
use crate::diff::{Counts, FileChange, compare_batch};
use crate::store::reparse::Reparse;
use crate::system::System;

/// All files of a reparse together.
#[derive(Debug, Default, Serialize)]
struct Totals {
    reparse: i64,
    files: u64,
    /// Files that have not ended yet.
    unfinished: i64,
    /// Files that were never parsed before.
    new: u64,
    changed: u64,
    unchanged: u64,
    /// Files of which a log can't be read.
    unread: u64,
    records_before: i64,
    records_after: i64,
    problems: Counts,
    categories: BTreeMap<u8, Counts>,
    /// Files by verdict before and after, where they differ.
    verdicts: BTreeMap<String, u64>,
}

/// Compares and prints; `limit` is the most files that text names.
pub(super) async fn diff_reparse(
    system: &System,
    row: &Reparse,
    limit: usize,
    json: bool,
    exit_code: bool,
) -> Result<Exit> {
    let mut totals =
        Totals { reparse: row.id.0, unfinished: row.files - row.finished(), ..Totals::default() };
    let mut changes = Vec::new();
    compare_batch(&system.pool.patient(), &system.objects, &system.spool, row.id, |change| {
        totals.add(&change);
        if change.is_change() {
            changes.push(change);
        }
    })
    .await?;
    changes.sort_by_key(|change| {
        (std::cmp::Reverse((change.size(), change.changed_verdict())), change.data_file_id)
    });
    if json {
        show::json(&totals)?;
        changes.iter().try_for_each(show::json)?;
    } else {
        show::line(totals.text())?;
        if !changes.is_empty() {
            show::line(format_args!("\n{}", files(&changes, limit)))?;
            if changes.len() > limit {
                show::line(format_args!("and {} more: see -n", changes.len() - limit))?;
            }
        }
    }
    Ok(if exit_code && totals.changed > 0 { Exit::Failed } else { Exit::Ok })
}

impl Totals {
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

    fn text(&self) -> String {
        let mut text = format!(
            "reparse {}  {} files: {} changed, {} unchanged, {} new, {} unfinished",
            self.reparse, self.files, self.changed, self.unchanged, self.new, self.unfinished
        );
        if self.unread > 0 {
            let _ = write!(text, "\n  {} files could not be compared: see below", self.unread);
        }
        let _ = write!(text, "\n  records   {} before, {} after", self.records_before, self.records_after);
        for (verdicts, files) in &self.verdicts {
            let _ = write!(text, "\n  {files} {}: {verdicts}", if *files == 1 { "file" } else { "files" });
        }
        let _ = write!(
            text,
            "\n\n  {:20}  {:>9}  {:>11}  {:>9}",
            "PROBLEMS", "APPEARED", "DISAPPEARED", "UNCHANGED"
        );
        let all = ("all".to_owned(), &self.problems);
        let by_category = self.categories.iter().map(|(category, counts)| (category_name(*category), counts));
        for (name, Counts { appeared, disappeared, unchanged }) in by_category.chain([all]) {
            let _ = write!(text, "\n  {name:20}  {appeared:>9}  {disappeared:>11}  {unchanged:>9}");
        }
        text
    }
}

fn files(changes: &[FileChange], limit: usize) -> Table<5> {
    let mut table = Table::new([">APPEARED", ">DISAPPEARED", "RUN", "FILE", ""]);
    for change in changes.iter().take(limit) {
        let mut more = String::new();
        if let Some(before) = change.verdict_before.as_ref().filter(|_| change.changed_verdict()) {
            let _ = write!(more, "{before} -> {}  ", change.verdict_after);
        }
        if change.records_before != change.records_after {
            let count = |records: Option<i64>| records.map_or_else(|| "none".to_owned(), |n| n.to_string());
            let (before, after) = (count(change.records_before), count(change.records_after));
            let _ = write!(more, "{before} -> {after} records  ");
        }
        more += change.unread.as_deref().unwrap_or_default();
        let Counts { appeared, disappeared, .. } = &change.problems;
        table.row([appeared, disappeared, &change.after, &change.name, &more]);
    }
    table
}

fn add(to: &mut Counts, counts: Counts) {
    to.appeared += counts.appeared;
    to.disappeared += counts.disappeared;
    to.unchanged += counts.unchanged;
}
