//! `/reparses` and `/reparses/{id}`: reparses, how far each is, and what it changed.

use std::collections::BTreeSet;

use axum::Extension;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use chrono::Utc;

use super::super::asker::Asker;
use super::super::audit;
use super::super::error::{Answered, HttpError};
use super::super::state::Shared;
use super::page::{Page, Paged, send};
use super::parts::{Grid, PageCell, PageSection};
use crate::desk::compare_reparse::compare_reparse;
use crate::desk::lookup::find_reparse;
use crate::desk::reparse::{Standing, standing, state as word};
use crate::desk::words::{Took, category_name, counted, grouped};
use crate::diff::FileChange;
use crate::parser::Category;
use crate::store::reparse;
use crate::store::{Role, reparse::Reparse};

/// Reparses to list, and files to name.
const MOST: i64 = 50;
const NAMED: usize = 200;

/// A reparse of more files is compared only if somebody asks.
const AT_ONCE: i64 = 100;

/// Seconds after which the page of an unfinished reparse is loaded again.
const AGAIN: u32 = 2;

pub(super) async fn list(State(state): State<Shared>, Extension(asker): Extension<Asker>) -> Paged {
    check(&asker)?;
    let mut page = Page::new(&asker, "Reparses", "Reparses");
    let headings =
        ["Reparse", "Queued", "State", ">Files", ">Finished", ">Succeeded", ">Failed", "By", "Reason"];
    let mut grid = Grid::new("The latest first", &headings);
    for row in reparse::list(&state.system.pool, MOST).await? {
        grid.row([
            PageCell::link(row.id, format!("/reparses/{}", row.id)),
            PageCell::time(row.created_at),
            PageCell::text(word(&row)),
            PageCell::count(Some(row.files)),
            PageCell::count(Some(row.finished())),
            PageCell::count(Some(row.succeeded)),
            PageCell::count(Some(row.failed)),
            PageCell::text(&row.requested_by),
            PageCell::text(row.reason.as_deref().unwrap_or("–")),
        ]);
    }
    let mut section =
        PageSection::new("reparses", "All reparses").list(grid, "No file was ever parsed again.");
    if asker.may(Role::Operator) {
        section.links.push(PageCell::link("Parse files again …", "/reparse"));
    }
    page.sections.push(section);
    send(&page)
}

pub(super) async fn show(
    State(state): State<Shared>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Paged {
    check(&asker)?;
    let row = find_reparse(&state.system.pool, &id).await?;
    let standing = standing(&state.system.pool, row.id).await?;
    let mut page = Page::new(&asker, "Reparses", format_args!("Reparse {} – {}", row.id, word(&row)));
    page.say(story(&standing.row));
    if let Some(reason) = &row.reason {
        page.say(format_args!("Why: {reason}"));
    }
    page.sections.push(progress(&standing));
    page.sections.push(totals(&standing));
    if row.finished_at.is_none() {
        page.again = AGAIN;
    } else if row.files > AT_ONCE && query.as_deref() != Some("changes=yes") {
        let mut section = PageSection::new("files", "Files that changed");
        section.links.push(PageCell::link("Compare them now", format!("/reparses/{}?changes=yes", row.id)));
        page.sections
            .push(section.say("A comparison reads the logs of all files, so it is made if you ask."));
    } else {
        // A comparison reads the logs of every file, so it waits for the end.
        audit::reparse_read(&state, &asker, &row).await?;
        let _turn = state.pages.turn().await?;
        let (all, changes) = compare_reparse(&state.system, &row).await?;
        let files = counted(all.files, "file");
        page.say(format_args!(
            "Of {files}, {} changed, {} did not, and {} had never been parsed before.",
            grouped(all.changed),
            grouped(all.unchanged),
            grouped(all.new)
        ));
        page.sections.push(changed(&changes));
    }
    send(&page)
}

/// A reparse is of files of several programs.
fn check(asker: &Asker) -> Answered<()> {
    match asker.programs().is_empty() {
        true => Ok(()),
        false => Err(HttpError::new(
            StatusCode::FORBIDDEN,
            "a reparse is of files of every program, and you see some programs alone",
        )),
    }
}

fn story(row: &Reparse) -> String {
    let files = counted(row.files.unsigned_abs(), "file");
    let done = format!("{} of {files} done", grouped(row.finished().unsigned_abs()));
    match (row.finished_at, row.started_at) {
        (Some(ended), _) => {
            format!("{done}, in {}. Nothing more happens.", Took(ended - row.started_at.unwrap_or(ended)))
        }
        (None, Some(_)) => {
            format!(
                "{done}; {} are being parsed and {} wait. Workers parse submissions first.",
                row.running, row.queued
            )
        }
        (None, None) => format!("{done}. It waits for a worker; workers parse submissions first."),
    }
}

fn progress(standing: &Standing) -> PageSection {
    let row = &standing.row;
    let mut section = PageSection::new("progress", "Progress");
    let mut fact = |name, cell| section.facts.push((name, cell));
    fact("Asked for by", PageCell::text(&row.requested_by));
    fact("Queued", PageCell::time(row.created_at));
    fact("Started", PageCell::times(row.started_at));
    fact("Ended", PageCell::times(row.finished_at));
    for (name, count) in [
        ("Succeeded", row.succeeded),
        ("Failed", row.failed),
        ("Running", row.running),
        ("Waiting", row.queued),
    ] {
        fact(name, PageCell::text(counted(count.unsigned_abs(), "file")));
    }
    if let Some(deadline) =
        row.deadline.filter(|deadline| row.finished_at.is_none() && *deadline < Utc::now())
    {
        fact("Overdue since", PageCell::time(deadline));
    }
    section
}

fn totals(standing: &Standing) -> PageSection {
    let totals = &standing.totals;
    let mut grid = Grid::new("Of the files that are done", &["What", ">Before", ">After"]);
    let mut row = |name: &str, before: u64, after: u64| {
        grid.row([PageCell::text(name), PageCell::number(before), PageCell::number(after)]);
    };
    row("records", totals.records_before.unsigned_abs(), totals.records_after.unsigned_abs());
    let (before, after) = (&totals.verdicts_before.0, &totals.verdicts_after.0);
    for verdict in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
        let [before, after] = [before, after].map(|side| side.get(verdict).copied().unwrap_or_default());
        row(&format!("files: {verdict}"), before, after);
    }
    for category in Category::ALL {
        let [before, after] = [&totals.errors_before, &totals.errors_after]
            .map(|side| side.get(&category).copied().unwrap_or_default());
        if before + after > 0 {
            row(&format!("problems of category {}", category_name(category.number())), before, after);
        }
    }
    PageSection::new("totals", "Before and after").list(grid, "")
}

fn changed(changes: &[FileChange]) -> PageSection {
    let headings = ["File", ">Appeared", ">Disappeared", "Verdict before", "Verdict after", "Changes"];
    let mut grid = Grid::new("The most changed first", &headings);
    for change in changes.iter().take(NAMED) {
        let here = format!("/runs/{}", change.after);
        let link = match (&change.unread, change.before) {
            (Some(unread), _) => PageCell::text(unread),
            (None, Some(before)) => PageCell::link("problems", format!("{here}/diff?with={before}")),
            (None, None) => PageCell::text("–"),
        };
        grid.row([
            PageCell::link(&change.name, here),
            PageCell::number(change.problems.appeared),
            PageCell::number(change.problems.disappeared),
            PageCell::text(change.verdict_before.as_deref().unwrap_or("–")),
            PageCell::text(&change.verdict_after),
            link,
        ]);
    }
    let section = PageSection::new("files", "Files that changed").list(grid, "None.");
    match changes.len().checked_sub(NAMED).filter(|more| *more > 0) {
        Some(more) => section.say(format_args!("{} more changed less.", counted(more as u64, "file"))),
        None => section,
    }
}
