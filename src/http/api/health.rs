//! `GET /health` and `GET /ready`: for whoever watches over the process, and for who sends it requests.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use super::super::error::{Answered, json_answer};
use super::super::state::Shared;
use crate::store;

/// How long the database may take to answer.
const DATABASE_TIME: Duration = Duration::from_secs(2);

/// The process is there.
pub(in super::super) async fn health() -> Response {
    json_answer(StatusCode::OK, &json!({"status": "healthy", "service": "parselog"}))
}

/// Records are taken. That they can't be read while the database is away is said, and no reason to send them
/// elsewhere.
pub(in super::super) async fn ready(State(state): State<Shared>) -> Answered<Response> {
    state.check_disk()?;
    let asked = tokio::time::timeout(DATABASE_TIME, store::health::ping(&state.system.pool)).await;
    let database = if matches!(asked, Ok(Ok(()))) { "reachable" } else { "away" };
    Ok(json_answer(StatusCode::OK, &json!({"status": "ready", "database": database})))
}
