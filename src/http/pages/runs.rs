//! `/runs`: what is running now, and all runs with filters, page by page.

use askama::Template;
use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use chrono::Utc;
use url::form_urlencoded;

use super::super::asker::Asker;
use super::super::error::{Answered, HttpError};
use super::super::state::{ServerState, Shared};
use super::page::{Frame, Paged, go_to, send};
use super::parts::{Grid, PageCell, PageSection};
use super::{pairs, run_of};
use crate::desk::words::{Took, counted, grouped, reason, took};
use crate::desk::{OUTCOMES, RunOutcome};
use crate::record::Safe;
use crate::store::{self, Run, RunFilter, load};

/// Runs on a page.
const ON_PAGE: i64 = 50;

/// Runs are counted up to so many: counting all of a million takes long.
const MOST_COUNTED: i64 = 100_000;

#[derive(Debug, Template)]
#[template(path = "runs.html")]
struct RunsPage {
    frame: Frame,
    running: Option<PageSection>,
    found: PageSection,
    fields: Vec<FormField>,
    outcomes: Vec<(String, bool)>,
    is_filtered: bool,
    next: Option<String>,
}

/// A field of the form.
#[derive(Debug)]
struct FormField {
    name: &'static str,
    label: &'static str,
    value: String,
}

/// The fields that restrict: their names in the address, and what people read.
const FIELDS: [(&str, &str); 6] = [
    ("q", "Name of the file"),
    ("program", "Program"),
    ("section", "Section"),
    ("year", "Fiscal year"),
    ("quarter", "Quarter"),
    ("state", "State or tribe"),
];

pub(super) async fn first() -> Response {
    go_to("/runs")
}

pub(super) async fn list(
    State(state): State<Shared>,
    Extension(asker): Extension<Asker>,
    RawQuery(query): RawQuery,
) -> Paged {
    let asked = pairs(query.unwrap_or_default().as_bytes());
    let filter = filter(&state, &asker, &asked).await?;
    let pool = &state.system.pool;
    let mut runs = store::find(pool, &filter).await?;
    let has_more = runs.len() as i64 > ON_PAGE;
    runs.truncate(ON_PAGE as usize);
    let counted_runs = store::count(pool, &filter, MOST_COUNTED).await?.unsigned_abs();
    let over = if counted_runs == MOST_COUNTED.unsigned_abs() { "over " } else { "" };
    let value = |name: &str| asked.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let is_first = value("after").is_none();
    let running = if is_first { running(&state, &asker).await? } else { None };
    let next = runs.last().filter(|_| has_more).map(|last| {
        let mut next = form_urlencoded::Serializer::new(String::new());
        next.extend_pairs(asked.iter().filter(|(name, _)| name != "after"));
        format!("/runs?{}", next.append_pair("after", &last.id.to_string()).finish())
    });
    let outcome = value("outcome").and_then(|word| word.parse::<RunOutcome>().ok());
    let words = OUTCOMES.split(", ").map(|word| word.split(' ').next().unwrap_or_default().to_owned());
    let outcomes = words.map(|word| (word.clone(), word.parse().ok() == outcome && outcome.is_some()));
    let caption = format!("{over}{}, the latest first", counted(counted_runs, "run"));
    let nothing = "No run matches. A submission makes one: `parselog submit FILE`, or enqueue_parse in SQL.";
    let fields =
        FIELDS.map(|(name, label)| FormField { name, label, value: value(name).unwrap_or_default() });
    send(&RunsPage {
        frame: Frame::new(&asker, "Runs", "Runs"),
        running,
        found: PageSection::new("found", "All runs").list(table(&runs, caption), nothing),
        is_filtered: asked.iter().any(|(name, _)| name != "after"),
        fields: fields.into(),
        outcomes: outcomes.collect(),
        next,
    })
}

async fn filter(state: &ServerState, asker: &Asker, asked: &[(String, String)]) -> Answered<RunFilter> {
    let mut filter =
        RunFilter { programs: asker.programs().to_vec(), limit: Some(ON_PAGE + 1), ..RunFilter::default() };
    for (name, value) in asked {
        let number = || HttpError::bad(format!("{name}: '{}' is not a number", Safe(value)));
        let text = Some(value.clone());
        match name.as_str() {
            "q" => filter.name = text,
            "program" => filter.program = text.map(|text| text.to_lowercase()),
            "section" => filter.section = text.map(|text| text.to_lowercase()),
            "state" => filter.state = text,
            "year" => filter.fiscal_year = Some(value.parse().map_err(|_| number())?),
            "quarter" => filter.fiscal_quarter = Some(value.parse().map_err(|_| number())?),
            "outcome" => {
                let outcome = value.parse().map_err(|error| HttpError::bad(format!("outcome: {error}")))?;
                RunOutcome::select(&[outcome], &mut filter);
            }
            "after" => filter.after = Some(run_of(state, asker, value).await?.id),
            _ => return Err(HttpError::bad(format!("unknown filter '{}'", Safe(name)))),
        }
    }
    Ok(filter)
}

/// What runs now, if anything does.
async fn running(state: &ServerState, asker: &Asker) -> Answered<Option<PageSection>> {
    let (now, mut grid) =
        (Utc::now(), Grid::new("What workers have now", &["File", "Worker", ">For", "Heartbeat"]));
    for run in load::running(&state.system.pool).await? {
        // The row of what runs has no program.
        if !asker.programs().is_empty() {
            let row = store::run::get(&state.system.pool, run.id).await?;
            if row.is_none_or(|row| !asker.may_read(&row.program)) {
                continue;
            }
        }
        grid.row([
            PageCell::link(&run.name, format!("/runs/{}", run.id)),
            PageCell::text(&run.worker),
            PageCell::text(Took(now - run.started_at)).looking("number"),
            PageCell::text(format_args!("{} ago", Took(now - run.heartbeat_at))),
        ]);
    }
    let heading = format!("Running now: {}", grouped(grid.rows.len() as u64));
    Ok((!grid.rows.is_empty()).then(|| PageSection::new("running", heading).list(grid, "")))
}

/// A table of runs.
pub(super) fn table(runs: &[Run], caption: impl Into<String>) -> Grid {
    let headings = [
        "Outcome",
        "File",
        "Program, section",
        "Period",
        "Queued",
        ">Took",
        ">Records",
        ">Problems",
        "Reason",
    ];
    let (mut grid, now) = (Grid::new(caption, &headings), Utc::now());
    for run in runs {
        grid.row([
            PageCell { href: Some(format!("/runs/{}", run.id)), ..PageCell::outcome(run) },
            PageCell::link(&run.name, format!("/files/{}", run.data_file_id)),
            PageCell::text(format_args!("{}, {}", run.program, run.section)),
            PageCell::text(format_args!("{} Q{}", run.fiscal_year, run.fiscal_quarter)),
            PageCell::time(run.queued_at),
            PageCell::text(took(run, now)).looking("number"),
            PageCell::count(run.records_created),
            PageCell::count(run.error_count),
            PageCell::text(reason(run, now).unwrap_or_else(|| "–".to_owned())).looking("long"),
        ]);
    }
    grid
}
