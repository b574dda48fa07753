//! `POST /loki/api/v1/push`: what Loki's clients send, in protobuf and in JSON.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};

use super::super::asker::Asker;
use super::super::body::{Coding, read_loki_json, read_loki_protobuf};
use super::super::error::Answered;
use super::super::metrics::Door;
use super::super::receive::receive;
use super::super::state::Shared;

/// Stores the lines of the body. The answer is exactly 204: clients take anything else for a failure.
pub(in super::super) async fn send(
    State(state): State<Shared>,
    Extension(asker): Extension<Asker>,
    headers: HeaderMap,
    body: Body,
) -> Answered<StatusCode> {
    state.check_disk()?;
    let received = receive(&state, &headers, body).await?;
    let is_json =
        headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if is_json {
        received.store(&state, &asker, Door::Loki, read_loki_json).await?;
    } else {
        received.packed_as(Coding::Snappy).store(&state, &asker, Door::Loki, read_loki_protobuf).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}
