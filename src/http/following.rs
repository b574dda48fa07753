//! The stream of a service as server-sent events, each with the place of its record as its id: for programs as it is
//! stored, for pages as it is shown. The log of a run is answered in the same form.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream as chunks;
use futures_util::{Stream, StreamExt as _};
use tokio::sync::watch;

use super::asker::Asker;
use super::error::{Answered, HttpError};
use super::state::Shared;
use crate::reader::{PlacedFollower, PlacedLine, StreamPlace};

/// The header with which a browser goes on where it was cut off.
const LAST_EVENT_ID: &str = "last-event-id";

/// How often a follower hears something, so that nobody on the way takes the connection for dead.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Writes the data of an event.
pub(super) type PushRecord = fn(&mut Vec<u8>, &PlacedLine);

/// Somebody who follows a stream.
struct Following {
    follower: PlacedFollower,
    stopping: watch::Receiver<bool>,
    state: Shared,
    asker: Asker,
    push: PushRecord,
}

/// The place of the last event that a browser had before it was cut off.
///
/// # Errors
/// It is not a place.
pub(super) fn last_place(headers: &HeaderMap) -> Answered<Option<StreamPlace>> {
    let last = headers.get(LAST_EVENT_ID).map(|id| id.to_str().unwrap_or_default().parse());
    last.transpose().map_err(HttpError::bad)
}

/// Answers with what comes.
pub(super) fn answer(state: Shared, asker: Asker, follower: PlacedFollower, push: PushRecord) -> Response {
    let following = Following { follower, stopping: state.stopping.clone(), state, asker, push };
    event_stream(chunks::unfold(following, |mut following| async {
        let events = following.next().await?;
        Some((events, following))
    }))
}

/// Answers with server-sent events; a browser that is cut off comes back after a second.
pub(super) fn event_stream(events: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    let begin = chunks::iter([Bytes::from_static(b"retry: 1000\n\n")]);
    let headers = [
        (CONTENT_TYPE.as_str(), "text/event-stream"),
        (CACHE_CONTROL.as_str(), "no-store"),
        // Or nginx gathers them.
        ("x-accel-buffering", "no"),
    ];
    let events = begin.chain(events).map(Ok::<_, Infallible>);
    (headers, Body::from_stream(events)).into_response()
}

impl Following {
    /// The next events; `None` once the server stops, the asker may not read any more, or nothing can be read.
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
                    (self.push)(&mut events, &line);
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
