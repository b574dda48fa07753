//! `/streams` and `/streams/{service}`: the logs of services, the newest records last, page by page; the script in
//! `assets/stream.js` takes a page over.

use std::collections::BTreeSet;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, RawQuery, State};
use bytesize::ByteSize;

use super::super::asker::Asker;
use super::super::audit;
use super::super::state::Shared;
use super::page::{Frame, Page, Paged, send};
use super::parts::{Grid, PageCell, PageSection};
use super::query::LogQuery;
use super::records::{StreamFrom, StreamPart, StreamQuery, read_noted};
use crate::desk::stream::{find_stream, names};
use crate::desk::words::counted;
use crate::record::Level;
use crate::store::stream;

#[derive(Debug, Template)]
#[template(path = "stream.html")]
struct StreamViewer {
    frame: Frame,
    service: String,
    place: String,
    query: LogQuery,
    levels: Vec<(&'static str, bool)>,
    part: StreamPart,
    /// The record that was looked for; empty if none was.
    target: String,
    older: Option<String>,
    newer: Option<String>,
    latest: Option<String>,
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
    let query = StreamQuery::read(query.as_deref())?;
    let part = read_noted(&state, &asker, &service, &query).await?;
    let StreamQuery { from, conditions: query } = query;
    let (first, last) = (part.records.first(), part.records.last());
    let link = |place: Option<String>| {
        let conditions = query.conditions();
        let both = [place.unwrap_or_default(), conditions];
        format!(
            "/streams/{service}?{}",
            both.into_iter().filter(|it| !it.is_empty()).collect::<Vec<_>>().join("&")
        )
    };
    let shown = counted(part.records.len() as u64, "record");
    let chosen = query.level.map_or("", Level::as_str);
    send(&StreamViewer {
        frame: Frame::new(&asker, "Streams", format_args!("Stream {service}")),
        place: match (part.records.len(), part.newer) {
            (0, false) => "no record matches".to_owned(),
            (0, true) => "no record here matches, and later ones may".to_owned(),
            (_, true) => format!("{shown}, the newest last, and later ones are there"),
            (_, false) => format!("the latest {shown}, the newest last"),
        },
        levels: Level::ALL.map(|level| (level.as_str(), level.as_str() == chosen)).into(),
        older: first.filter(|_| part.older).map(|first| link(Some(format!("before={}", first.place)))),
        newer: part
            .newer
            .then(|| last.map_or(part.to.clone(), |last| Some(last.place.clone())))
            .flatten()
            .map(|last| link(Some(format!("after={last}")))),
        latest: part.newer.then(|| link(None)),
        target: match from {
            StreamFrom::At(place) => place.to_string(),
            _ => String::new(),
        },
        service: service.to_string(),
        query,
        part,
    })
}
