//! `/files/{id}`: a file over time, in all its versions. Every parse: when, why, with what outcome, and its log.

use std::collections::BTreeMap;

use axum::Extension;
use axum::extract::{Path, State};
use bytesize::ByteSize;
use chrono::Utc;

use super::super::asker::Asker;
use super::super::state::Shared;
use super::file_of;
use super::page::{Page, Paged, send};
use super::parts::{Grid, PageCell, PageSection};
use crate::desk::lookup::history_of;
use crate::desk::words::{asked_by, counted, grouped, took};
use crate::store::{DataFile, LogState, Role, Run};

/// Most runs to show.
const MOST: i64 = 200;

pub(super) async fn show(
    State(state): State<Shared>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
) -> Paged {
    let file = file_of(&state, &asker, &id).await?;
    let runs = history_of(&state.system.pool, file.id, Some(MOST)).await?;
    let mut page = Page::new(&asker, "Runs", &file.name);
    page.say(match runs.first() {
        None => "It was never parsed.".to_owned(),
        Some(latest) => {
            let parsed = counted(runs.len() as u64, "run");
            format!("{parsed} of it, in all its versions; the latest is {}.", latest.verdict())
        }
    });
    page.sections.push(PageSection::new("history", "History").list(history(&runs), "No run of it is known."));
    page.sections.extend(months(&runs));
    page.sections.push(facts(&file, asker.may(Role::Operator)));
    send(&page)
}

fn history(runs: &[Run]) -> Grid {
    let headings =
        ["Queued", "Why", ">Version", "Outcome", "Problems by category", ">Took", "Log", "Changes"];
    let mut grid = Grid::new("Every parse, the latest first", &headings);
    for (nth, run) in runs.iter().enumerate() {
        let here = format!("/runs/{}", run.id);
        let log = match run.log_state {
            LogState::None | LogState::Lost | LogState::Pruned => PageCell::text(run.log_state),
            state => PageCell::link(state, format!("{here}/log")),
        };
        let changes = match runs.get(nth + 1) {
            Some(before) => PageCell::link("since the run before", format!("{here}/diff?with={}", before.id)),
            None => PageCell::text("–"),
        };
        grid.row([
            PageCell::time(run.queued_at),
            PageCell::text(match &run.reason {
                Some(reason) => format!("{}: {reason}", asked_by(run)),
                None => asked_by(run),
            }),
            PageCell::link(run.data_file_id, format!("/files/{}", run.data_file_id)),
            PageCell { href: Some(here), ..PageCell::outcome(run) },
            PageCell::text(by_category(run)),
            PageCell::text(took(run, Utc::now())),
            log,
            changes,
        ]);
    }
    grid
}

/// The problems of a run: `2 field value, 3 case consistency`.
fn by_category(run: &Run) -> String {
    let Some(counts) = &run.error_counts else { return "–".to_owned() };
    let counts = counts.0.iter().map(|(category, count)| format!("{} {}", grouped(*count), category.name()));
    let counts: Vec<String> = counts.collect();
    if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
}

/// The problems of the latest run that counted them, by month.
fn months(runs: &[Run]) -> Option<PageSection> {
    let run = runs.iter().find(|run| run.error_counts.is_some())?;
    let months: &BTreeMap<_, _> = &run.errors_by_month.as_ref()?.0;
    if months.is_empty() {
        return None;
    }
    let caption = format!("Problems of {}, the latest that was parsed, by month and category", asked_by(run));
    let mut grid = Grid::new(caption, &["Month", "Category", ">Problems"]);
    for (month, errors) in months {
        for (category, count) in errors {
            grid.row([PageCell::text(month), PageCell::text(category.name()), PageCell::number(*count)]);
        }
    }
    Some(PageSection::new("months", "By month").list(grid, ""))
}

fn facts(file: &DataFile, may_act: bool) -> PageSection {
    let mut section = PageSection::new("facts", "This version");
    let mut fact = |name, cell| section.facts.push((name, cell));
    fact("Program, section", PageCell::text(format_args!("{}, {}", file.program, file.section)));
    fact("Period", PageCell::text(format_args!("{} Q{}", file.fiscal_year, file.fiscal_quarter)));
    fact("Owner", PageCell::text(&file.owner));
    fact("Submitted by", PageCell::text(&file.submitted_by));
    fact("Submitted", PageCell::time(file.created_at));
    if let Some(size) = file.size_bytes {
        fact("Size", PageCell::text(ByteSize(size.unsigned_abs())));
    }
    if let Some(hash) = file.sha256 {
        fact("SHA-256", PageCell::text(hex::encode(hash)));
    }
    fact("Number", PageCell::text(file.id));
    fact("Key", PageCell::text(format_args!("{}/{}", file.bucket, file.key)));
    if file.legal_hold {
        fact("Legal hold", PageCell::text("its logs may not be deleted"));
    }
    if may_act {
        let hold = if file.legal_hold { "Release the hold …" } else { "Hold its logs …" };
        section.links.push(PageCell::link("Parse it again …", format!("/reparse?file={}", file.id)));
        section.links.push(PageCell::link(hold, format!("/files/{}/hold", file.id)));
    }
    section
}
