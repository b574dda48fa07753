//! `/runs/{id}/diff`: what changed between two runs, as `parselog diff` shows it.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Extension;
use axum::extract::{Path, RawQuery, State};
use url::form_urlencoded;

use super::super::asker::Asker;
use super::super::audit::{self, LogUse};
use super::super::state::Shared;
use super::page::{Page, Paged, send};
use super::parts::{Grid, PageCell, PageSection};
use super::run_of;
use crate::desk::compare::{Difference, Side, compare};
use crate::desk::lookup;
use crate::desk::words::{category_name, counted};
use crate::diff::Change;

/// Problems to name.
const NAMED: usize = 500;

pub(super) async fn show(
    State(state): State<Shared>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Paged {
    let after = run_of(&state, &asker, &id).await?;
    let query = query.unwrap_or_default();
    let with = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "with");
    let before = match with {
        Some((_, with)) if !with.is_empty() => run_of(&state, &asker, &with).await?,
        _ => lookup::previous(&state.system.pool, &after).await?,
    };
    for run in [&before, &after] {
        audit::run_read(&state, &asker, run, LogUse::Compared, "its problems", None).await?;
    }
    let _turn = state.pages.turn().await?;
    let names = (before.name.clone(), before.id, after.id);
    let compared = compare(&state.system, before, after).await?;
    let mut page = Page::new(&asker, "Runs", format_args!("What changed in {}", names.0));
    let difference = compared.difference();
    page.say(match (&difference.problems, difference.same) {
        (Some(counts), true) => format!("Nothing: {} unchanged.", counted(counts.unchanged, "problem")),
        (Some(counts), false) => {
            format!(
                "{} appeared, {} disappeared, {} unchanged.",
                counts.appeared, counts.disappeared, counts.unchanged
            )
        }
        (None, _) => "Only verdicts and counts are compared, because a log can't be read.".to_owned(),
    });
    if let Some(error) = compared.unread() {
        page.say(error);
    }
    page.sections.push(sides(&difference));
    page.sections.push(categories(&difference));
    let changes = Arc::new(Mutex::new((grid(), 0_u64)));
    let collected = Arc::clone(&changes);
    compared
        .changes(&state.system, move |change, problem| {
            let (grid, all) = &mut *collected.lock().unwrap_or_else(PoisonError::into_inner);
            *all += 1;
            if grid.rows.len() < NAMED {
                let (run, sign, look) = match change {
                    Change::Appeared => (names.2, "+ appeared", "appeared"),
                    Change::Disappeared => (names.1, "− disappeared", "disappeared"),
                };
                let line = match problem.record {
                    Some(record) => PageCell::link(record, format!("/runs/{run}/log?record={record}")),
                    None => PageCell::text("–"),
                };
                grid.row([
                    PageCell::text(sign).looking(look),
                    line,
                    PageCell::text(category_name(problem.category)),
                    PageCell::text(&problem.record_type),
                    PageCell::text(&problem.month),
                    PageCell::text(&problem.message),
                ]);
            }
            Ok(())
        })
        .await?;
    let (grid, all) = {
        let changes = &mut *changes.lock().unwrap_or_else(PoisonError::into_inner);
        (std::mem::replace(&mut changes.0, self::grid()), changes.1)
    };
    let mut section = PageSection::new("problems", "Problems that changed").list(grid, "None.");
    if all > NAMED as u64 {
        section = section.say(format_args!(
            "{} more changed: `parselog diff {} {}` names them all.",
            counted(all - NAMED as u64, "problem"),
            names.1,
            names.2
        ));
    }
    page.sections.push(section);
    send(&page)
}

fn grid() -> Grid {
    let headings = ["Change", ">Line", "Category", "Type", "Month", "Problem"];
    Grid::new("By their place in the file", &headings)
}

fn sides(difference: &Difference<'_>) -> PageSection {
    let mut grid = Grid::new("The two runs", &["Which", "Run", "Outcome", ">Accepted", ">Records"]);
    for (which, side) in [("before", &difference.before), ("after", &difference.after)] {
        let Side { run, records_in_file, records_created, .. } = side;
        grid.row([
            PageCell::text(which),
            PageCell::link(run, format!("/runs/{run}")),
            PageCell::text(side.outcome()),
            PageCell::count(*records_created),
            PageCell::count(*records_in_file),
        ]);
    }
    let mut section = PageSection::new("runs", "Runs").list(grid, "");
    for (which, side) in [("first", &difference.before), ("second", &difference.after)] {
        if side.log_dropped > 0 {
            section = section.say(format_args!(
                "The {which} log could not keep {}, so some problems may be missing here.",
                counted(side.log_dropped.unsigned_abs(), "event")
            ));
        }
    }
    section
}

fn categories(difference: &Difference<'_>) -> PageSection {
    let headings = ["Category", ">Before", ">After", ">Appeared", ">Disappeared"];
    let mut grid = Grid::new("Problems by category", &headings);
    for (category, counts) in &difference.categories {
        let numbers =
            [counts.before, counts.after, counts.appeared, counts.disappeared].map(PageCell::number);
        grid.row([PageCell::text(category_name(*category))].into_iter().chain(numbers));
    }
    PageSection::new("counts", "Counts").list(grid, "Neither run has problems.")
}
