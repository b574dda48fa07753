//! The changes between two runs: their problems, matched by subject.
//!
//! Two problems are the same when they say the same of the same place: record, record type, item,
//! field, category, month and message. Where they stand in the log and when they were logged does
//! not matter, and a problem that was found twice and now once has disappeared once.
//!
//! Logs of any size are compared in bounded memory: the first pass sorts a digest of each problem,
//! on disk where there are many, and marks those without a partner, one bit each; the second pass
//! reads the marked ones again. Statuses and counts are on the rows; comparing them needs no log.

mod batch;
mod marks;
mod problem;
mod sort;

use std::collections::BTreeMap;
use std::io;

use anyhow::{Context, Result};
use serde::Serialize;

pub use batch::{FileChange, compare_batch};
pub use problem::LoggedProblem;

use self::marks::Marks;
use self::problem::each_problem;
use self::sort::{ProblemDigest, Sorter};
use crate::carry;
use crate::objects::Objects;
use crate::reader::{LogLines, LogSource};

/// Digests of one log that are held in memory, 32 bytes each; more are sorted on disk.
const HELD: usize = 1 << 18;

/// Whether a problem appeared or disappeared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    Disappeared,
    Appeared,
}

/// How many problems appeared, disappeared and stayed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub appeared: u64,
    pub disappeared: u64,
    pub unchanged: u64,
}

/// Two logs compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    pub total: Counts,
    /// By category number.
    pub by_category: BTreeMap<u8, Counts>,
    before: Marks,
    after: Marks,
}

/// Compares the logs of two runs.
///
/// # Errors
/// A log can't be read, or the temporary folder has no room for sorting.
pub async fn compare(objects: &Objects, before: &LogSource, after: &LogSource) -> Result<Comparison> {
    let (before, after) = (before.open(objects).await?, after.open(objects).await?);
    carry::spawn_blocking(move || compare_lines(before, after, HELD)).await.context("comparing panicked")?
}

/// Calls `each` with the problems of the same two logs that appeared or disappeared, in the order of records.
///
/// # Errors
/// When a log can't be read, or `each` fails.
pub async fn changes(
    objects: &Objects,
    comparison: Comparison,
    (before, after): (&LogSource, &LogSource),
    each: impl FnMut(Change, &LoggedProblem<'_>) -> io::Result<()> + Send + 'static,
) -> Result<()> {
    if comparison.total.appeared + comparison.total.disappeared == 0 {
        return Ok(());
    }
    let (before, after) = (before.open(objects).await?, after.open(objects).await?);
    let told = carry::spawn_blocking(move || changed_lines(&comparison, before, after, each));
    told.await.context("comparing panicked")?
}

/// Compares two logs, holding at most `held` digests of each in memory.
///
/// # Errors
/// As [`compare`].
pub fn compare_lines(before: LogLines, after: LogLines, held: usize) -> Result<Comparison> {
    let sort = |lines| -> Result<_> {
        let mut sorter = Sorter::new(held);
        let mut at = 0;
        each_problem(lines, |problem| {
            sorter.push(ProblemDigest { digest: problem.digest(), at, category: problem.category })?;
            at += 1;
            Ok(())
        })?;
        Ok((sorter.finish().context("failed to sort")?, at))
    };
    let ((before, many_before), (after, many_after)) = (sort(before)?, sort(after)?);
    let mut comparison = Comparison {
        total: Counts::default(),
        by_category: BTreeMap::new(),
        before: Marks::new(many_before),
        after: Marks::new(many_after),
    };
    let (mut before, mut after) = (before.peekable(), after.peekable());
    loop {
        let side = match (before.peek(), after.peek()) {
            (None, None) => break,
            (Some(Ok(one)), Some(Ok(other))) => one.digest.cmp(&other.digest),
            (Some(_), None) | (Some(Err(_)), _) => std::cmp::Ordering::Less,
            (None, Some(_)) | (_, Some(Err(_))) => std::cmp::Ordering::Greater,
        };
        // An error is on the side that is taken.
        let was = if side.is_le() { before.next().transpose()? } else { None };
        let is = if side.is_ge() { after.next().transpose()? } else { None };
        comparison.note(was, is);
    }
    Ok(comparison)
}

/// Calls `each` with the problems that appeared or disappeared between the compared logs.
///
/// # Errors
/// As [`changes`].
pub fn changed_lines(
    comparison: &Comparison,
    before: LogLines,
    after: LogLines,
    mut each: impl FnMut(Change, &LoggedProblem<'_>) -> io::Result<()>,
) -> Result<()> {
    let mut gone = comparison.before.lines(before);
    let mut come = comparison.after.lines(after);
    let (mut was, mut is) = (gone.next()?, come.next()?);
    loop {
        let one = was.as_deref().map_or(Ok(None), LoggedProblem::read)?;
        let other = is.as_deref().map_or(Ok(None), LoggedProblem::read)?;
        match (one, other) {
            (None, None) => return Ok(()),
            (Some(one), other) if other.as_ref().is_none_or(|other| one.place() <= other.place()) => {
                each(Change::Disappeared, &one)?;
                was = gone.next()?;
            }
            (_, Some(other)) => {
                each(Change::Appeared, &other)?;
                is = come.next()?;
            }
            (Some(_), None) => unreachable!("a problem without a counterpart goes first"),
        }
    }
}

impl Comparison {
    fn note(&mut self, was: Option<ProblemDigest>, is: Option<ProblemDigest>) {
        let Some(category) = was.as_ref().or(is.as_ref()).map(|entry| entry.category) else { return };
        match (&was, &is) {
            (Some(was), None) => self.before.set(was.at),
            (None, Some(is)) => self.after.set(is.at),
            _ => {}
        }
        for counts in [&mut self.total, self.by_category.entry(category).or_default()] {
            counts.disappeared += u64::from(is.is_none());
            counts.appeared += u64::from(was.is_none());
            counts.unchanged += u64::from(was.is_some() && is.is_some());
        }
    }
}
