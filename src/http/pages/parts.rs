//! What pages are made of: facts, tables and links, as the templates show them. Every text from outside is made safe
//! here: what could move or reorder it is visible. The templates escape what HTML would read.

use std::fmt::Display;

use chrono::{DateTime, SecondsFormat, Utc};

use crate::clock;
use crate::desk::words::grouped;
use crate::parser::SummaryStatus;
use crate::record::Safe;
use crate::store::{Run, RunStatus};

/// A value: a text, perhaps a time or a link.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct PageCell {
    pub(super) text: String,
    pub(super) href: Option<String>,
    /// For machines, in RFC 3339 and UTC.
    pub(super) time: Option<String>,
    /// How it looks, by a name of the style sheet.
    pub(super) look: &'static str,
}

/// A column's heading.
#[derive(Debug, Clone)]
pub(in super::super) struct GridColumn {
    pub(super) heading: &'static str,
    pub(super) look: &'static str,
}

/// A table.
#[derive(Debug, Clone)]
pub(in super::super) struct Grid {
    pub(super) caption: String,
    pub(super) columns: Vec<GridColumn>,
    pub(super) rows: Vec<Vec<PageCell>>,
}

/// A part of a page under a heading of its own.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct PageSection {
    /// For links to it; no two on a page are alike.
    pub(super) id: &'static str,
    pub(super) heading: String,
    pub(super) text: Vec<String>,
    pub(super) facts: Vec<(&'static str, PageCell)>,
    pub(super) grid: Option<Grid>,
    pub(super) links: Vec<PageCell>,
}

impl PageCell {
    pub(super) fn text(text: impl Display) -> Self {
        Self { text: Safe(text).to_string(), ..Self::default() }
    }

    pub(super) fn link(text: impl Display, href: impl Into<String>) -> Self {
        Self { href: Some(href.into()), ..Self::text(text) }
    }

    pub(super) fn number(count: u64) -> Self {
        Self { look: "number", ..Self::text(grouped(count)) }
    }

    /// A count that may be unknown.
    pub(super) fn count(count: Option<i64>) -> Self {
        count.map_or_else(Self::nothing, |count| Self::number(count.unsigned_abs()))
    }

    pub(super) fn nothing() -> Self {
        Self { look: "number", ..Self::text("–") }
    }

    /// A moment, to the second, with its zone.
    pub(super) fn time(time: DateTime<Utc>) -> Self {
        Self {
            time: Some(time.to_rfc3339_opts(SecondsFormat::Millis, true)),
            ..Self::text(clock::exact_moment(time))
        }
    }

    pub(super) fn times(time: Option<DateTime<Utc>>) -> Self {
        time.map_or_else(|| Self::text("–"), Self::time)
    }

    /// The outcome of a run, by a sign and a word.
    pub(super) fn outcome(run: &Run) -> Self {
        let (sign, look) = outcome_look(run.status, run.summary_status);
        Self { look, ..Self::text(format_args!("{sign} {}", run.verdict())) }
    }

    pub(super) fn looking(self, look: &'static str) -> Self {
        Self { look, ..self }
    }
}

/// The sign and the look of an outcome.
fn outcome_look(status: RunStatus, verdict: Option<SummaryStatus>) -> (&'static str, &'static str) {
    match (status, verdict) {
        (RunStatus::Queued, _) => ("○", "waiting"),
        (RunStatus::Running, _) => ("▶", "waiting"),
        (RunStatus::Success, Some(SummaryStatus::Accepted)) => ("✓", "good"),
        (RunStatus::Success, Some(SummaryStatus::Rejected)) => ("✕", "bad"),
        (RunStatus::Success, Some(SummaryStatus::NoVerdict) | None) => ("?", "partly"),
        (RunStatus::Success, Some(_)) => ("!", "partly"),
        (RunStatus::Inaction, _) => ("–", "waiting"),
        (RunStatus::Fail | RunStatus::Crash | RunStatus::Terminate, _) => ("✕", "bad"),
    }
}

impl Grid {
    /// A table; `>` before a heading makes a column of numbers.
    pub(super) fn new(caption: impl Into<String>, headings: &[&'static str]) -> Self {
        let column = |heading: &&'static str| match heading.strip_prefix('>') {
            Some(heading) => GridColumn { heading, look: "number" },
            None => GridColumn { heading, look: "" },
        };
        Self { caption: caption.into(), columns: headings.iter().map(column).collect(), rows: Vec::new() }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = PageCell>) {
        let mut row: Vec<PageCell> = cells.into_iter().collect();
        for (cell, column) in row.iter_mut().zip(&self.columns) {
            if cell.look.is_empty() {
                cell.look = column.look;
            }
        }
        self.rows.push(row);
    }
}

impl PageSection {
    pub(super) fn new(id: &'static str, heading: impl Into<String>) -> Self {
        Self { id, heading: heading.into(), ..Self::default() }
    }

    /// With a sentence from parselog or from outside.
    pub(super) fn say(mut self, text: impl Display) -> Self {
        self.text.push(Safe(text).to_string());
        self
    }

    /// With a table, or a sentence where it has no row.
    pub(super) fn list(mut self, grid: Grid, nothing: &str) -> Self {
        match grid.rows.is_empty() {
            true => self.say(nothing),
            false => {
                self.grid = Some(grid);
                self
            }
        }
    }
}
