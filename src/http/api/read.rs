//! `GET /logs`, `GET /logs/<service>` and `GET /logs/<service>/stream`: what was logged, for whoever may read it.
//! Each reading is an audit entry before its first byte.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{Path, RawQuery, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream as chunks;
use serde_json::json;
use tokio::sync::watch;

use super::super::asker::Asker;
use super::super::audit::{self, LogUse};
use super::super::error::{Answered, HttpError, json_answer};
use super::super::state::Shared;
use super::query::Query;
use crate::desk::stream;
use crate::ids::ServiceName;
use crate::reader::{PlacedFollower, PlacedLine, PlacedStream};
use crate::store::entry;

/// The header with which a browser goes on where it was cut off.
const LAST_EVENT_ID: &str = "last-event-id";

/// How often a follower hears something, so that nobody on the way takes the connection for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The services that ever logged: `{"services":[…]}`.
pub(in super::super) async fn services(
    State(state): State<Shared>,
    Extension(asker): Extension<Asker>,
    RawQuery(query): RawQuery,
) -> Answered<Response> {
    if is_record(query.as_deref().unwrap_or_default()) {
        if !state.told_of_get.swap(true, Ordering::Relaxed) {
            tracing::warn!("somebody sends records by GET: Python's HTTPHandler needs method=\"POST\"");
        }
        return Err(HttpError::new(StatusCode::METHOD_NOT_ALLOWED, "send records by POST: method=\"POST\""));
    }
    audit::check_streams(&asker)?;
    let detail = format!("the services that logged, {}", asker.how());
    entry::about(&state.system.pool, asker.name(), "streams-listed", &detail).await?;
    let services = stream::names(&state.system).await?;
    Ok(json_answer(StatusCode::OK, &json!({"services": services})))
}

/// The last records of a service: `{"service":…,"count":N,"logs":[…]}`, the newest last, each with its `id`.
pub(in super::super) async fn records(
    State(state): State<Shared>,
    Extension(asker): Extension<Asker>,
    Path(service): Path<String>,
    RawQuery(query): RawQuery,
) -> Answered<Response> {
    let service = name(&service);
    let Query { limit, before, selection, .. } = Query::read(query.as_deref().unwrap_or_default())?;
    let _turn =
        state.readers.try_acquire().map_err(|_| HttpError::busy("too many logs are being read now"))?;
    let lines = format!("at most {limit} records");
    audit::stream_read(&state, &asker, &service, LogUse::Shown, &lines, None).await?;
    let page = PlacedStream::new(&state.system, &service).page(before, limit, selection).await?;
    if !page.is_known {
        return Ok(json_answer(StatusCode::OK, &json!({"logs": []})));
    }
    let mut body =
        format!("{{\"service\":\"{service}\",\"count\":{},\"logs\":[", page.lines.len()).into_bytes();
    for (nth, line) in page.lines.iter().enumerate() {
        if nth > 0 {
            body.push(b',');
        }
        push_record(&mut body, line);
    }
    body.extend_from_slice(b"]}");
    Ok(([(CONTENT_TYPE, "application/json")], body).into_response())
}

/// The records of a service as server-sent events: from `Last-Event-ID` or `since` on, else from now on.
pub(in super::super) async fn follow(
    State(state): State<Shared>,
    Extension(asker): Extension<Asker>,
    Path(service): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answered<Response> {
    let service = name(&service);
    let query = Query::read(query.as_deref().unwrap_or_default())?;
    let last = headers.get(LAST_EVENT_ID).map(|id| id.to_str().unwrap_or_default().parse());
    let after = last.transpose().map_err(HttpError::bad)?.or(query.after());
    audit::stream_read(&state, &asker, &service, LogUse::Followed, "what comes", None).await?;
    let follower = PlacedStream::new(&state.system, &service).follow(after, query.selection).await?;
    let following = Following { follower, stopping: state.stopping.clone(), state, asker };
    let begin = chunks::iter([Ok(Bytes::from_static(b"retry: 1000\n\n"))]);
    let events = chunks::unfold(following, |mut following| async {
        let events = following.next().await?;
        Some((Ok::<_, std::convert::Infallible>(events), following))
    });
    let headers = [
        (CONTENT_TYPE.as_str(), "text/event-stream"),
        (CACHE_CONTROL.as_str(), "no-store"),
        // Or nginx gathers them.
        ("x-accel-buffering", "no"),
    ];
    Ok((headers, Body::from_stream(futures_util::StreamExt::chain(begin, events))).into_response())
}

/// Somebody who follows a stream.
struct Following {
    follower: PlacedFollower,
    stopping: watch::Receiver<bool>,
    state: Shared,
    asker: Asker,
}

impl Following {
    /// The next events; `None` once the server stops, the token is revoked, or nothing can be read.
    async fn next(&mut self) -> Option<Bytes> {
        let lines = tokio::select! {
            _ = self.stopping.wait_for(|stopping| *stopping) => return None,
            lines = tokio::time::timeout(KEEP_ALIVE, self.follower.next()) => lines,
        };
        if !self.asker.is_known(&self.state) {
            return None;
        }
        let mut events = Vec::new();
        match lines {
            Err(_) => events.extend_from_slice(b":\n\n"),
            Ok(Ok(lines)) => {
                for line in lines {
                    events.extend_from_slice(format!("id: {}\ndata: ", line.place).as_bytes());
                    push_record(&mut events, &line);
                    events.extend_from_slice(b"\n\n");
                }
            }
            Ok(Err(error)) => {
                tracing::warn!("failed to follow a stream: {error:#}");
                return None;
            }
        }
        Some(events.into())
    }
}

/// The record as it is stored, with its place in front.
fn push_record(out: &mut Vec<u8>, line: &PlacedLine) {
    out.extend_from_slice(format!("{{\"id\":\"{}\",", line.place).as_bytes());
    out.extend_from_slice(line.line.trim_ascii_end().strip_prefix(b"{").unwrap_or(b"}"));
}

/// A service as its stream is called, or as it calls itself.
fn name(text: &str) -> ServiceName {
    ServiceName::try_from(text.to_owned()).unwrap_or_else(|_| ServiceName::of(text))
}

/// Whether a query is a record of Python's `HTTPHandler`.
fn is_record(query: &str) -> bool {
    ["levelname=", "msg="].iter().all(|name| query.split('&').any(|pair| pair.starts_with(name)))
}
