//! `GET /logs`, `GET /logs/<service>` and `GET /logs/<service>/stream`: what was logged, for whoever may read it.
//! Each reading is an audit entry before its first byte.

use std::sync::atomic::Ordering;

use axum::Extension;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::super::asker::Asker;
use super::super::audit::{self, LogUse};
use super::super::error::{Answered, HttpError, json_answer};
use super::super::following;
use super::super::state::Shared;
use super::query::Query;
use crate::desk::stream;
use crate::ids::ServiceName;
use crate::reader::{PlacedLine, PlacedStream};
use crate::store::entry;

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
    let after = following::last_place(&headers)?.or(query.after());
    audit::stream_read(&state, &asker, &service, LogUse::Followed, "what comes", None).await?;
    let follower = PlacedStream::new(&state.system, &service).follow(after, query.selection).await?;
    Ok(following::answer(state, asker, follower, push_record))
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
