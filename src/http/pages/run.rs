//! `/runs/{id}`: one run. What came of it and why, what happens next, its problems in groups as in the report, and
//! where to go from here.

use axum::Extension;
use axum::extract::{Path, RawQuery, State};
use bytesize::ByteSize;
use chrono::Utc;

use super::super::asker::Asker;
use super::super::state::Shared;
use super::kinds::{NAMED, groups, in_short, is_asked, is_large, place};
use super::page::{Page, Paged, go_to, send};
use super::parts::{Grid, PageCell, PageSection};
use super::run_of;
use crate::desk::answer::{Answer, answer_with};
use crate::desk::lookup;
use crate::desk::words::{asked_by, category_name, counted, grouped, log_story, took};
use crate::store::{LogState, Role, Run, RunStatus};

/// Seconds after which the page of a run that is not over is loaded again.
const AGAIN: u32 = 2;

pub(super) async fn show(
    State(state): State<Shared>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Paged {
    let run = run_of(&state, &asker, &id).await?;
    if run.id.to_string() != id {
        return Ok(go_to(&format!("/runs/{}", run.id)));
    }
    let groups = groups(&state, &asker, &run, is_asked(query.as_deref())).await?;
    let answer = answer_with(&state.system, run, groups).await?;
    let previous = lookup::previous(&state.system.pool, &answer.run).await.ok();
    send(&page(&asker, &answer, previous.as_ref()))
}

fn page(asker: &Asker, answer: &Answer, previous: Option<&Run>) -> Page {
    let run = &answer.run;
    let mut page = Page::new(asker, "Runs", format_args!("{} – {}", run.name, run.verdict()));
    let why = answer.why();
    let mut letters = why.chars();
    let why: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
    page.say(format_args!("{why}."));
    if let Some(failure) = &run.failure {
        page.say(format_args!("Reason: {failure}"));
    }
    page.say(answer.happens_next());
    page.sections.push(links(asker, answer, previous));
    page.sections.push(problem_section(answer));
    if answer.attempts.len() > 1 {
        page.sections.push(attempts(answer));
    }
    page.sections.push(facts(run));
    page.sections.push(log(run));
    page.again = if run.status.is_final() { 0 } else { AGAIN };
    page
}

fn links(asker: &Asker, answer: &Answer, previous: Option<&Run>) -> PageSection {
    let run = &answer.run;
    let mut section = PageSection::new("next", "Where to go from here");
    let mut link = |text: &str, href: String| section.links.push(PageCell::link(text, href));
    let here = format!("/runs/{}", run.id);
    let has_log = run.started_at.is_some() && !matches!(run.log_state, LogState::Lost | LogState::Pruned);
    if has_log && run.error_count.is_some_and(|count| count > 0) {
        link("Open the log at the first error", format!("{here}/log?at=first-error"));
    }
    if has_log {
        let live = if run.status.is_final() { "Open the log" } else { "Follow the log" };
        let end = if run.status.is_final() { "" } else { "?at=end" };
        link(live, format!("{here}/log{end}"));
    }
    if let Some(previous) = previous {
        link("What changed since the run before", format!("{here}/diff?with={}", previous.id));
    }
    link("The file and its history", format!("/files/{}", run.data_file_id));
    if has_log {
        link("Download the log", format!("{here}/log/download?as=log"));
    }
    if has_log && answer.groups.is_ok() && run.error_count.is_some_and(|count| count > 0) {
        link("Download every problem, as a workbook", format!("{here}/report?as=xlsx"));
    }
    if asker.may(Role::Operator) {
        let is_last = answer.attempts.last().is_none_or(|last| last.id == run.id);
        match run.status {
            RunStatus::Queued | RunStatus::Running => link("Cancel it …", format!("{here}/cancel")),
            RunStatus::Success => {
                link("Parse the file again …", format!("/reparse?file={}", run.data_file_id));
            }
            _ if is_last => link("Try it again …", format!("{here}/retry")),
            _ => {}
        }
    }
    section
}

fn problem_section(answer: &Answer) -> PageSection {
    let section = PageSection::new("problems", "Problems");
    let groups = match &answer.groups {
        Ok(groups) => groups,
        Err(error) => {
            let mut section = section.say(error);
            if is_large(&answer.run) {
                section
                    .links
                    .push(PageCell::link("Count them", format!("/runs/{}?problems=all", answer.run.id)));
            }
            return section;
        }
    };
    let mut grid = Grid::new(in_short(groups), &[">Count", "Kind", "Where", "Lines", "Problem"]);
    for group in groups.iter().take(NAMED) {
        let lines = match group.first_record {
            Some(first) => {
                PageCell::link(group.examples(), format!("/runs/{}/log?record={first}", answer.run.id))
            }
            None => PageCell::text("–"),
        };
        grid.row([
            PageCell::number(group.count),
            PageCell::text(category_name(group.category)),
            PageCell::text(place(group)),
            lines,
            PageCell::text(group.message()),
        ]);
    }
    let section = section.list(grid, "None was found.");
    match groups.len().checked_sub(NAMED).filter(|more| *more > 0) {
        Some(more) => section.say(format_args!(
            "{} more are in the report, which has every problem.",
            counted(more as u64, "kind")
        )),
        None => section,
    }
}

fn attempts(answer: &Answer) -> PageSection {
    let mut grid = Grid::new("All attempts, the first one first", &[">Attempt", "Outcome", "Run", "Reason"]);
    for run in &answer.attempts {
        let id = run.id.to_string();
        grid.row([
            PageCell::number(run.attempt.unsigned_abs().into()),
            PageCell::outcome(run),
            PageCell::link(&id, format!("/runs/{id}")),
            PageCell::text(run.failure.as_deref().unwrap_or("–")),
        ]);
    }
    PageSection::new("attempts", "Attempts").list(grid, "")
}

fn facts(run: &Run) -> PageSection {
    let mut section = PageSection::new("facts", "Facts");
    let mut fact = |name, cell| section.facts.push((name, cell));
    fact("Outcome", PageCell::outcome(run));
    fact("File", PageCell::link(&run.name, format!("/files/{}", run.data_file_id)));
    fact("Program, section", PageCell::text(format_args!("{}, {}", run.program, run.section)));
    fact("Period", PageCell::text(format_args!("{} Q{}", run.fiscal_year, run.fiscal_quarter)));
    if let Some(state) = &run.state {
        fact("State or tribe", PageCell::text(state));
    }
    fact("Asked for by", PageCell::text(format_args!("{}, {}", run.requested_by, asked_by(run))));
    if let Some(reason) = &run.reason {
        fact("Why", PageCell::text(reason));
    }
    fact("Attempt", PageCell::text(format_args!("{} of {}", run.attempt, run.max_attempts)));
    fact("Queued", PageCell::time(run.queued_at));
    fact("Started", PageCell::times(run.started_at));
    fact("Ended", PageCell::times(run.finished_at));
    fact("Took", PageCell::text(took(run, Utc::now())));
    if let Some(worker) = &run.worker {
        fact("Worker", PageCell::text(worker));
    }
    if let (Some(all), Some(created)) = (run.records_in_file, run.records_created) {
        let [created, all] = [created, all].map(|count| grouped(count.unsigned_abs()));
        fact("Records", PageCell::text(format_args!("{created} of {all} accepted")));
    }
    for (category, count) in run.error_counts.iter().flat_map(|counts| &counts.0) {
        fact(category.name(), PageCell::text(counted(*count, "problem")));
    }
    if let Some(size) = run.size_bytes {
        fact("Size of the file", PageCell::text(ByteSize(size.unsigned_abs())));
    }
    if let Some(hash) = run.sha256 {
        fact("SHA-256 of the file", PageCell::text(hex::encode(hash)));
    }
    fact("Run", PageCell::text(run.id));
    section
}

fn log(run: &Run) -> PageSection {
    let mut section = PageSection::new("log", "Its log").say(log_story(run));
    let mut fact = |name, text: String| section.facts.push((name, PageCell::text(text)));
    if let Some(bytes) = run.log_raw_bytes {
        let stored =
            run.log_gzip_bytes.map(|bytes| format!(", {} compressed", ByteSize(bytes.unsigned_abs())));
        fact("Size", format!("{}{}", ByteSize(bytes.unsigned_abs()), stored.unwrap_or_default()));
    }
    for (level, count) in run.log_events.iter().flat_map(|events| &events.0) {
        if *count > 0 {
            section.facts.push(("Events", PageCell::text(format_args!("{} {level}", grouped(*count)))));
        }
    }
    if let Some(dropped) = run.log_dropped.filter(|dropped| *dropped > 0) {
        section.facts.push(("Could not be stored", PageCell::text(counted(dropped.unsigned_abs(), "event"))));
    }
    if let Some(uri) = &run.logs_uri {
        section.facts.push(("Address", PageCell::text(uri)));
    }
    section
}
