//! `/runs/{id}/log`: the viewer of a run's log. Without JavaScript it is a window of lines with links to the next and
//! the one before; the script in `assets/viewer.js` takes it over, and asks `/runs/{id}/log/lines` for more.

use askama::Template;
use axum::Extension;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::super::asker::Asker;
use super::super::audit::{self, LogUse};
use super::super::error::{Answered, HttpError, json_answer};
use super::super::state::{ServerState, Shared};
use super::lines::{ReadLines, ShownLine, read, with_blocks};
use super::page::{Frame, Paged, send};
use super::parts::PageCell;
use super::query::{LogPlace, LogQuery};
use super::run_of;
use crate::desk::words::{grouped, log_story};
use crate::reader::LogBlocks;
use crate::record::{Level, Safe};
use crate::store::{LogState, Run};

#[derive(Debug, Template)]
#[template(path = "log.html")]
struct LogViewer {
    frame: Frame,
    run: String,
    file: String,
    outcome: PageCell,
    /// What state the log is in, and where the window is.
    story: String,
    place: String,
    /// Why nothing can be shown, if so.
    unread: Option<String>,
    is_open: bool,
    query: LogQuery,
    levels: Vec<(&'static str, bool)>,
    lines: Vec<ShownLine>,
    /// The line that was looked for; 0 if none was.
    target: u64,
    total: u64,
    /// The lines that were looked at, from 1; the end is the next line.
    from: u64,
    to: u64,
    before: Option<String>,
    after: Option<String>,
    /// What can be downloaded, and the conditions on its lines as they go on in an address.
    downloads: Vec<(&'static str, String)>,
}

pub(super) async fn show(
    State(state): State<Shared>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Paged {
    let run = run_of(&state, &asker, &id).await?;
    let query = LogQuery::read(query.as_deref())?;
    let read = read_noted(&state, &asker, &run, &query).await;
    let (read, unread) = match read {
        Ok(read) => (Some(read), None),
        // Where the log is, and when it can be read, belongs on the page.
        Err(error) if matches!(error.status, StatusCode::CONFLICT | StatusCode::GONE) => {
            (None, Some(Safe(error.message).to_string()))
        }
        Err(error) => return Err(error.into()),
    };
    send(&viewer(&asker, &run, query, read, unread))
}

/// More lines for the script: `{"lines":[…],"from":…,"to":…,"total":…,"open":…}`.
pub(super) async fn more(
    State(state): State<Shared>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Answered<Response> {
    let run = run_of(&state, &asker, &id).await?;
    let query = LogQuery::read(query.as_deref())?;
    let ReadLines { page, cost, found } = read_noted(&state, &asker, &run, &query).await?;
    let answer = json!({
        "lines": page.lines,
        "from": page.looked_at.start + 1,
        "to": page.looked_at.end + 1,
        "total": page.total,
        "open": is_open(&run),
        "found": found,
        "requests": cost.gets,
        "bytes": cost.bytes,
    });
    Ok(json_answer(StatusCode::OK, &answer))
}

/// Where the errors and warnings of the log are: `{"total":…,"parts":[[errors, warnings],…]}`. It has none of its text,
/// so it is no reading of the log.
pub(super) async fn map(
    State(state): State<Shared>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
) -> Answered<Response> {
    let run = run_of(&state, &asker, &id).await?;
    let _turn = state.pages.turn().await?;
    let map = with_blocks(&state, &run, LogBlocks::map).await?.unwrap_or_default();
    Ok(json_answer(StatusCode::OK, &json!({ "total": map.total, "parts": map.parts })))
}

/// The text of a whole line, however long.
pub(super) async fn line(
    State(state): State<Shared>,
    Extension(asker): Extension<Asker>,
    Path((id, number)): Path<(String, u64)>,
) -> Answered<Response> {
    let run = run_of(&state, &asker, &id).await?;
    let number = number.checked_sub(1).ok_or_else(|| HttpError::bad("lines count from 1"))?;
    let asked = format!("line {}", number + 1);
    audit::run_read(&state, &asker, &run, LogUse::Shown, &asked, None).await?;
    let _turn = state.pages.turn().await?;
    let whole = super::lines::whole(&state, &run, number).await?;
    let whole = whole.ok_or_else(|| HttpError::new(StatusCode::NOT_FOUND, format!("there is no {asked}")))?;
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], whole).into_response())
}

async fn read_noted(state: &ServerState, asker: &Asker, run: &Run, query: &LogQuery) -> Answered<ReadLines> {
    let log_use = if query.is_filtered() { LogUse::Searched } else { LogUse::Shown };
    audit::run_read(state, asker, run, log_use, &asked(query), None).await?;
    let _turn = state.pages.turn().await?;
    read(state, run, query).await
}

/// The lines that somebody asks for, for the audit log.
fn asked(query: &LogQuery) -> String {
    let lines = match query.place {
        LogPlace::From(line) => format!("{} lines from {line}", query.count),
        LogPlace::Before(line) => format!("{} lines before {line}", query.count),
        LogPlace::FirstError => format!("{} lines at the first error", query.count),
        LogPlace::End => format!("the last {} lines", query.count),
    };
    match query.is_filtered() {
        true => format!("{lines} of those with {}", query.conditions()),
        false => lines,
    }
}

/// Whether lines may still come.
pub(super) fn is_open(run: &Run) -> bool {
    !run.status.is_final() || matches!(run.log_state, LogState::Open)
}

fn viewer(
    asker: &Asker,
    run: &Run,
    query: LogQuery,
    read: Option<ReadLines>,
    unread: Option<String>,
) -> LogViewer {
    let (page, found) = read.map(|read| (read.page, read.found)).unzip();
    let (lines, looked_at, total) =
        page.map_or_else(|| (Vec::new(), 0..0, 0), |page| (page.lines, page.looked_at, page.total));
    let here = format!("/runs/{}/log", run.id);
    let mut downloads = vec![("The whole log", String::new())];
    let conditions = match query.is_filtered() {
        true => format!("&{}", query.conditions()),
        false => String::new(),
    };
    if query.is_filtered() {
        downloads.push(("The lines that match", conditions.clone()));
    }
    let link = |place: String| format!("{here}?{place}{conditions}");
    let chosen = query.level.map_or("", Level::as_str);
    let levels = Level::ALL.map(|level| (level.as_str(), level.as_str() == chosen));
    LogViewer {
        frame: Frame::new(asker, "Runs", format_args!("Log of {}", run.name)),
        run: run.id.to_string(),
        file: Safe(&run.name).to_string(),
        outcome: PageCell::outcome(run),
        story: Safe(log_story(run)).to_string(),
        place: place(&query, &lines, looked_at.clone(), total),
        unread,
        is_open: is_open(run),
        levels: levels.into(),
        target: found.flatten().unwrap_or_default(),
        before: (looked_at.start > 0).then(|| link(format!("before={}", looked_at.start + 1))),
        after: (looked_at.end < total).then(|| link(format!("from={}", looked_at.end + 1))),
        from: looked_at.start + 1,
        to: looked_at.end + 1,
        lines,
        total,
        downloads,
        query,
    }
}

/// Where the window is, in words.
fn place(query: &LogQuery, lines: &[ShownLine], looked_at: std::ops::Range<u64>, total: u64) -> String {
    if looked_at.is_empty() {
        return format!("no lines here; the log has {}", grouped(total));
    }
    let (from, to, all) = (grouped(looked_at.start + 1), grouped(looked_at.end), grouped(total));
    match query.is_filtered() {
        false => format!("lines {from} to {to} of {all}"),
        true => format!("{} found in lines {from} to {to} of {all}", grouped(lines.len() as u64)),
    }
}
