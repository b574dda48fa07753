//! What went wrong, as a status and one line of JSON: `{"error":"…"}`.

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::desk::DeskError;

/// Seconds after which a sender may try again. OpenTelemetry's exporter gives up at once if it is more than what
/// is left of its ten seconds.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// The result of answering a request, or of a part of it.
pub(super) type Answered<T> = Result<T, HttpError>;

/// Why a request is not answered as it asks.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct HttpError {
    pub(super) status: StatusCode,
    pub(super) message: String,
}

impl HttpError {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// There is too much to do now.
    pub(super) fn busy(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    /// The headers that go with the status.
    pub(super) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                headers.insert(RETRY_AFTER, RETRY_SECONDS);
            }
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"parselog\""));
            }
            _ => {}
        }
        headers
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let headers = self.headers();
        (headers, json_answer(self.status, &json!({"error": self.message}))).into_response()
    }
}

/// The kinds of failure of what people do.
impl From<DeskError> for HttpError {
    fn from(error: DeskError) -> Self {
        let status = match &error {
            DeskError::NotFound(_) => StatusCode::NOT_FOUND,
            DeskError::Ambiguous(_) | DeskError::Invalid(_) => StatusCode::BAD_REQUEST,
            DeskError::Conflict(_) => StatusCode::CONFLICT,
            DeskError::OnHold(_) => StatusCode::LOCKED,
            DeskError::Gone(_) => StatusCode::GONE,
            DeskError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            DeskError::Other(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        // What parselog itself can't do is for its own log: the text may name hosts and paths.
        if status.is_server_error() {
            tracing::warn!("failed to answer a request: {error:#}");
            return Self::new(status, "this can't be answered now: see the log of parselog");
        }
        Self::new(status, error.to_string())
    }
}

impl From<anyhow::Error> for HttpError {
    fn from(error: anyhow::Error) -> Self {
        DeskError::from(error).into()
    }
}

/// An answer in JSON.
pub(super) fn json_answer(status: StatusCode, value: &Value) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}
