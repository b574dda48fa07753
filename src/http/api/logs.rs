//! `POST /logs`: records in JSON, alone, in an array or in lines, or in the form of Python's `HTTPHandler`.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;

use super::super::asker::Asker;
use super::super::body::{read_form, read_json};
use super::super::error::{Answered, json_answer};
use super::super::metrics::Door;
use super::super::receive::receive;
use super::super::state::Shared;

const FORM: &str = "application/x-www-form-urlencoded";

/// Stores the records of the body: `201 {"status":"logged"}`, with counts if not all were records.
pub(in super::super) async fn send(
    State(state): State<Shared>,
    Extension(asker): Extension<Asker>,
    headers: HeaderMap,
    body: Body,
) -> Answered<Response> {
    let is_form = headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(FORM.as_bytes()));
    if !is_form {
        // A sender of a form never sends it again.
        state.check_disk()?;
    }
    let received = receive(&state, &headers, body).await?;
    let tally = received.store(&state, &asker, Door::Logs, move |body, sink| {
        let body = body.trim_ascii();
        if body.is_empty() {
            return Err("the body is empty".to_owned());
        }
        // `curl --data` calls everything a form.
        if is_form && !body.starts_with(b"{") && !body.starts_with(b"[") {
            read_form(body, sink);
        } else {
            read_json(body, sink);
        }
        Ok(())
    });
    let tally = tally.await?;
    let answer = match tally.reason {
        None => json!({"status": "logged"}),
        Some(reason) => {
            json!({"status": "logged", "stored": tally.stored, "rejected": tally.bad, "reason": reason})
        }
    };
    Ok(json_answer(StatusCode::CREATED, &answer))
}
