//! `parselog diff --reparse`: a whole reparse against each file's run before it.

use std::fmt::Write as _;

use anyhow::Result;

use super::table::Table;
use super::{Exit, show};
use crate::desk::compare_reparse::{ReparseDifference, compare_reparse};
use crate::desk::words::{category_name, counted};
use crate::diff::{Counts, FileChange};
use crate::store::reparse::Reparse;
use crate::system::System;

/// Compares and prints; the text names at most `limit` files.
pub(super) async fn diff_reparse(
    system: &System,
    row: &Reparse,
    limit: usize,
    json: bool,
    exit_code: bool,
) -> Result<Exit> {
    let (all, changes) = compare_reparse(system, row).await?;
    if json {
        show::json(&all)?;
        changes.iter().try_for_each(show::json)?;
    } else {
        show::line(text(&all))?;
        if !changes.is_empty() {
            show::line(format_args!("\n{}", files(&changes, limit)))?;
            if changes.len() > limit {
                show::line(format_args!("and {} more: see -n", changes.len() - limit))?;
            }
        }
    }
    Ok(if exit_code && all.changed > 0 { Exit::Failed } else { Exit::Ok })
}

fn text(all: &ReparseDifference) -> String {
    let mut text = format!(
        "reparse {}  {}: {} changed, {} unchanged, {} new, {} unfinished",
        all.reparse,
        counted(all.files, "file"),
        all.changed,
        all.unchanged,
        all.new,
        all.unfinished
    );
    if all.unread > 0 {
        let _ = write!(text, "\n  {} could not be compared: see below", counted(all.unread, "file"));
    }
    let _ = write!(text, "\n  records   {} before, {} after", all.records_before, all.records_after);
    for (verdicts, files) in &all.verdicts {
        let _ = write!(text, "\n  {}: {verdicts}", counted(*files, "file"));
    }
    let columns = ["PROBLEMS", ">APPEARED", ">DISAPPEARED", ">UNCHANGED"];
    let mut table = Table::new(columns).within([20, 9, 11, 9]);
    let together = ("all".to_owned(), &all.problems);
    let by_category = all.categories.iter().map(|(category, counts)| (category_name(*category), counts));
    for (name, counts) in by_category.chain([together]) {
        table.row([&name, &counts.appeared, &counts.disappeared, &counts.unchanged]);
    }
    let _ = write!(text, "\n\n{table}");
    text
}

fn files(changes: &[FileChange], limit: usize) -> Table<5> {
    let mut table = Table::new([">APPEARED", ">DISAPPEARED", "#RUN", "~FILE", "~"]);
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
