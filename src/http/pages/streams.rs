//! `/streams` and `/streams/{service}`: the logs of services, the newest records last, page by page.

use std::collections::BTreeSet;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, RawQuery, State};
use bytesize::ByteSize;
use url::form_urlencoded;

use super::super::asker::Asker;
use super::super::audit::{self, LogUse};
use super::super::error::{Answered, HttpError};
use super::super::state::Shared;
use super::lines::ShownLine;
use super::page::{Frame, Page, Paged, send};
use super::parts::{Grid, PageCell, PageSection};
use super::query::LogQuery;
use crate::desk::stream::{find_stream, names};
use crate::reader::{PlacedStream, StreamPlace};
use crate::record::Level;
use crate::store::stream;

/// Records on a page.
const ON_PAGE: usize = 200;

#[derive(Debug, Template)]
#[template(path = "stream.html")]
struct StreamViewer {
    frame: Frame,
    service: String,
    place: String,
    query: LogQuery,
    levels: Vec<(&'static str, bool)>,
    /// Of each record its place, and how it is shown.
    lines: Vec<(String, ShownLine)>,
    before: Option<String>,
    is_latest: bool,
}

pub(super) async fn list(State(state): State<Shared>, Extension(asker): Extension<Asker>) -> Paged {
    audit::check_streams(&asker)?;
    let headings = ["Stream", ">Segments", ">Open", ">Records", ">Errors", ">Lost", ">Size", "First", "Last"];
    let mut grid = Grid::new("What is open counts once it is closed", &headings);
    let link = |name: &str| PageCell::link(name, format!("/streams/{name}"));
    let mut known = BTreeSet::new();
    for stream in stream::list(&state.system.pool).await? {
        let last = if stream.open > 0 { PageCell::text("open") } else { PageCell::times(stream.last_at) };
        grid.row([
            link(&stream.service),
            PageCell::count(Some(stream.segments)),
            PageCell::count(Some(stream.open)),
            PageCell::count(Some(stream.records)),
            PageCell::count(Some(stream.errors)),
            PageCell::count(Some(stream.dropped)),
            PageCell::text(ByteSize(stream.raw_bytes.unsigned_abs())),
            PageCell::times(stream.first_at),
            last,
        ]);
        known.insert(stream.service);
    }
    for name in names(&state.system).await? {
        if !known.contains(name.as_str()) {
            grid.row([link(name.as_str()), PageCell::text("in this machine's spool alone")]);
        }
    }
    let mut page = Page::new(&asker, "Streams", "Streams of services");
    let nothing = "No service has logged: `parselog serve` takes what they send.";
    page.sections.push(PageSection::new("streams", "All streams").list(grid, nothing));
    send(&page)
}

pub(super) async fn show(
    State(state): State<Shared>,
    Extension(asker): Extension<Asker>,
    Path(service): Path<String>,
    RawQuery(query): RawQuery,
) -> Paged {
    audit::check_streams(&asker)?;
    let service = find_stream(&state.system, &service).await?;
    let (before, query) = asked(query.as_deref().unwrap_or_default())?;
    let log_use = if query.is_filtered() { LogUse::Searched } else { LogUse::Shown };
    let lines = format!("at most {ON_PAGE} records");
    audit::stream_read(&state, &asker, &service, log_use, &lines, None).await?;
    let _turn = state.pages.turn().await?;
    let page = PlacedStream::new(&state.system, &service).page(before, ON_PAGE, query.selection()).await?;
    let lines: Vec<(String, ShownLine)> =
        page.lines.iter().map(|line| (line.place.to_string(), ShownLine::of(0, &line.line))).collect();
    let older = lines.first().filter(|_| lines.len() == ON_PAGE).map(|(place, _)| {
        let conditions = query.conditions();
        let more = if conditions.is_empty() { String::new() } else { format!("&{conditions}") };
        format!("/streams/{service}?before={place}{more}")
    });
    let chosen = query.level.map_or("", Level::as_str);
    send(&StreamViewer {
        frame: Frame::new(&asker, "Streams", format_args!("Stream {service}")),
        service: service.to_string(),
        place: match (lines.len(), before.is_some()) {
            (0, _) => "no record matches".to_owned(),
            (count, true) => format!("{count} older records, the newest last"),
            (count, false) => format!("the latest {count} records, the newest last"),
        },
        levels: Level::ALL.map(|level| (level.as_str(), level.as_str() == chosen)).into(),
        before: older,
        is_latest: before.is_none(),
        query,
        lines,
    })
}

/// The place before which records are wanted, and the conditions on them.
fn asked(query: &str) -> Answered<(Option<StreamPlace>, LogQuery)> {
    let mut before = None;
    let mut rest = form_urlencoded::Serializer::new(String::new());
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "before" => before = Some(value.parse().map_err(HttpError::bad)?),
            _ => {
                rest.append_pair(&name, &value);
            }
        }
    }
    Ok((before, LogQuery::read(Some(&rest.finish()))?))
}
