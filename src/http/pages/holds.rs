//! `/files/{id}/hold`: operators protect the logs of a file from deletion, or end that. The page asks first, and
//! says which of the two it would be.

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::super::asker::Asker;
use super::super::error::HttpError;
use super::super::state::Shared;
use super::acts::Question;
use super::page::{Frame, PageError, Paged, go_to, send};
use super::{file_of, pairs};
use crate::store::retention;

/// The field that says which of the two, so that a form sent twice does the same twice.
const HELD: &str = "held";

pub(super) async fn ask(
    State(state): State<Shared>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
) -> Paged {
    let file = file_of(&state, &asker, &id).await?;
    let back = format!("/files/{}", file.id);
    let (title, text, act) = match file.legal_hold {
        false => (
            "Hold the logs of",
            "The logs of all versions of this file can't be pruned or erased until the hold is released.",
            "Hold them",
        ),
        true => (
            "Release the logs of",
            "The logs of all versions of this file can be pruned and erased again once they are old enough.",
            "Release them",
        ),
    };
    send(&Question {
        frame: Frame::new(&asker, "Runs", format_args!("{title} {}", file.name)),
        text: vec![text.to_owned()],
        action: format!("{back}/hold"),
        fields: vec![(HELD.to_owned(), (!file.legal_hold).to_string())],
        act,
        asks_why: true,
        back,
        ..Question::default()
    })
}

pub(super) async fn change(
    State(state): State<Shared>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, PageError> {
    let file = file_of(&state, &asker, &id).await?;
    let asked = pairs(&body);
    let value = |name: &str| asked.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let held = value(HELD).and_then(|held| held.parse().ok());
    let held = held.ok_or_else(|| HttpError::new(StatusCode::BAD_REQUEST, "held: expected true or false"))?;
    retention::hold(&state.system.pool, &file, held, asker.name(), value("why")).await?;
    Ok(go_to(&format!("/files/{}", file.id)))
}
