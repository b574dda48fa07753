//! Records of a stream for the script in `assets/stream.js`: `/streams/{service}/records` has more of them, and
//! `/streams/{service}/events` those that come, as server-sent events. The id of a record is its place.

use axum::Extension;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use chrono::{TimeDelta, Utc};
use serde::Serialize;
use serde_json::json;
use url::form_urlencoded;

use super::super::asker::Asker;
use super::super::audit::{self, LogUse};
use super::super::error::{Answered, HttpError, json_answer};
use super::super::following;
use super::super::state::{ServerState, Shared};
use super::lines::ShownLine;
use super::query::LogQuery;
use crate::desk::stream::find_stream;
use crate::ids::ServiceName;
use crate::reader::{PlacedLine, PlacedStream, Selection, StreamPlace};

/// Records of other processes may become visible so much later than their times say, with room to spare.
const SETTLING: TimeDelta = TimeDelta::seconds(1);

/// A record, ready to show.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ShownRecord {
    pub(super) place: String,
    #[serde(flatten)]
    pub(super) line: ShownLine,
}

/// Where in a stream, and the conditions on its records.
#[derive(Debug, Clone)]
pub(super) struct StreamQuery {
    pub(super) from: StreamFrom,
    pub(super) conditions: LogQuery,
}

/// Where in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StreamFrom {
    /// The latest records.
    Latest,
    Before(StreamPlace),
    After(StreamPlace),
    /// This one, with some before and behind it.
    At(StreamPlace),
}

/// A part of a stream.
#[derive(Debug, Clone, Serialize)]
pub(super) struct StreamPart {
    pub(super) records: Vec<ShownRecord>,
    /// Whether there may be earlier records than these, and whether there may be later ones.
    pub(super) older: bool,
    pub(super) newer: bool,
    /// Up to where it was looked: later records are behind there.
    pub(super) to: Option<String>,
}

impl StreamQuery {
    /// Reads `?before=`, `?after=` or `?at=` with the place of a record, and the conditions of a log.
    ///
    /// # Errors
    /// Names what is wrong.
    pub(super) fn read(query: Option<&str>) -> Answered<Self> {
        let mut from = StreamFrom::Latest;
        let mut rest = form_urlencoded::Serializer::new(String::new());
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            let place = || value.parse().map_err(HttpError::bad);
            match &*name {
                "before" => from = StreamFrom::Before(place()?),
                "after" => from = StreamFrom::After(place()?),
                "at" => from = StreamFrom::At(place()?),
                _ => {
                    rest.append_pair(&name, &value);
                }
            }
        }
        Ok(Self { from, conditions: LogQuery::read(Some(&rest.finish()))? })
    }

    /// Which records, for the audit log.
    fn asked(&self) -> String {
        let count = self.conditions.count;
        let records = match self.from {
            StreamFrom::Latest => format!("at most {count} records"),
            StreamFrom::Before(place) => format!("at most {count} records before {place}"),
            StreamFrom::After(place) => format!("at most {count} records after {place}"),
            StreamFrom::At(place) => format!("at most {count} records around {place}"),
        };
        match self.conditions.is_filtered() {
            true => format!("{records} of those with {}", self.conditions.conditions()),
            false => records,
        }
    }
}

/// Reads a part of a stream, which is noted first.
pub(super) async fn read_noted(
    state: &ServerState,
    asker: &Asker,
    service: &ServiceName,
    query: &StreamQuery,
) -> Answered<StreamPart> {
    let log_use = if query.conditions.is_filtered() { LogUse::Searched } else { LogUse::Shown };
    audit::stream_read(state, asker, service, log_use, &query.asked(), None).await?;
    let _turn = state.pages.turn().await?;
    let stream = PlacedStream::new(&state.system, service);
    let (count, selection) = (query.conditions.count, query.conditions.selection());
    let part = match query.from {
        StreamFrom::Latest => {
            let settled = StreamPlace::before_time((Utc::now() - SETTLING).timestamp_micros());
            let page = stream.page(None, count, selection).await?;
            // What is shown here may come again from there on, and the script knows it by its place.
            StreamPart::of(&page.lines, page.has_earlier, false, Some(settled))
        }
        StreamFrom::Before(place) => {
            let page = stream.page(Some(place), count, selection).await?;
            let to = page.lines.last().map(|line| line.place);
            StreamPart::of(&page.lines, page.has_earlier, true, to)
        }
        StreamFrom::After(place) => {
            let next = stream.after(place, count, selection).await?;
            StreamPart::of(&next.lines, true, !next.is_latest, Some(next.looked_to))
        }
        StreamFrom::At(place) => {
            let before = stream.page(Some(place.behind()), count.div_ceil(2), selection.clone()).await?;
            let next = stream.after(place, count.div_ceil(2), selection).await?;
            let lines = [before.lines, next.lines].concat();
            StreamPart::of(&lines, before.has_earlier, !next.is_latest, Some(next.looked_to))
        }
    };
    Ok(part)
}

impl StreamPart {
    fn of(lines: &[PlacedLine], older: bool, newer: bool, to: Option<StreamPlace>) -> Self {
        Self { records: lines.iter().map(shown).collect(), older, newer, to: to.map(|to| to.to_string()) }
    }
}

fn shown(line: &PlacedLine) -> ShownRecord {
    ShownRecord { place: line.place.to_string(), line: ShownLine::of(0, &line.line) }
}

/// More records for the script: `{"records":[…],"older":…,"newer":…,"to":…}`.
pub(super) async fn more(
    State(state): State<Shared>,
    Extension(asker): Extension<Asker>,
    Path(service): Path<String>,
    RawQuery(query): RawQuery,
) -> Answered<Response> {
    audit::check_streams(&asker)?;
    let service = find_stream(&state.system, &service).await?;
    let query = StreamQuery::read(query.as_deref())?;
    let part = read_noted(&state, &asker, &service, &query).await?;
    Ok(json_answer(StatusCode::OK, &json!(part)))
}

/// The text of a whole record, however long.
pub(super) async fn whole(
    State(state): State<Shared>,
    Extension(asker): Extension<Asker>,
    Path((service, place)): Path<(String, String)>,
) -> Answered<Response> {
    audit::check_streams(&asker)?;
    let service = find_stream(&state.system, &service).await?;
    let place: StreamPlace = place.parse().map_err(HttpError::bad)?;
    audit::stream_read(&state, &asker, &service, LogUse::Shown, &format!("record {place}"), None).await?;
    let _turn = state.pages.turn().await?;
    let page = PlacedStream::new(&state.system, &service)
        .page(Some(place.behind()), 1, Selection::default())
        .await?;
    let found = page.lines.first().filter(|line| line.place == place);
    let found =
        found.ok_or_else(|| HttpError::new(StatusCode::NOT_FOUND, format!("there is no record {place}")))?;
    let text = super::lines::text_of(&found.line);
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
}

/// What comes, from a place on.
pub(super) async fn follow(
    State(state): State<Shared>,
    Extension(asker): Extension<Asker>,
    Path(service): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answered<Response> {
    audit::check_streams(&asker)?;
    let service = find_stream(&state.system, &service).await?;
    let query = StreamQuery::read(query.as_deref())?;
    let after = match (following::last_place(&headers)?, query.from) {
        (Some(last), _) => Some(last),
        (None, StreamFrom::After(place)) => Some(place),
        (None, StreamFrom::Latest) => None,
        (None, _) => return Err(HttpError::bad("say from which record on: after=PLACE")),
    };
    let what = after.map_or("what comes".to_owned(), |after| format!("what comes after {after}"));
    audit::stream_read(&state, &asker, &service, LogUse::Followed, &what, None).await?;
    let follower =
        PlacedStream::new(&state.system, &service).follow(after, query.conditions.selection()).await?;
    Ok(following::answer(state, asker, follower, |out, line| {
        out.extend_from_slice(json!(shown(line)).to_string().as_bytes());
    }))
}
