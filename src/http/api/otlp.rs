//! `POST /v1/logs`: OpenTelemetry's logs over HTTP, in protobuf and in JSON. The answer has the form of the
//! request.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use prost::Message;
use serde_json::{Value, json};

use super::super::asker::Asker;
use super::super::body::{read_otlp_json, read_otlp_protobuf};
use super::super::error::{Answered, HttpError};
use super::super::metrics::Door;
use super::super::receive::{SendTally, receive};
use super::super::state::Shared;

/// `google.rpc.Code.INVALID_ARGUMENT` and `UNAVAILABLE`.
const INVALID_ARGUMENT: i32 = 3;
const UNAVAILABLE: i32 = 14;

/// `ExportLogsServiceResponse`.
#[derive(Clone, PartialEq, Message)]
struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected_log_records: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

/// The two forms of a request.
#[derive(Debug, Clone, Copy)]
enum OtlpForm {
    Protobuf,
    Json,
}

/// Stores the records of the body.
pub(in super::super) async fn send(
    State(state): State<Shared>,
    Extension(asker): Extension<Asker>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let form = OtlpForm::of(&headers);
    match stored(&state, &asker, &headers, body, form).await {
        Ok(tally) => form.success(tally),
        Err(error) => form.failure(&error),
    }
}

async fn stored(
    state: &Shared,
    asker: &Asker,
    headers: &HeaderMap,
    body: Body,
    form: OtlpForm,
) -> Answered<SendTally> {
    state.check_disk()?;
    let received = receive(state, headers, body).await?;
    match form {
        OtlpForm::Protobuf => received.store(state, asker, Door::Otlp, read_otlp_protobuf).await,
        OtlpForm::Json => received.store(state, asker, Door::Otlp, read_otlp_json).await,
    }
}

impl OtlpForm {
    fn of(headers: &HeaderMap) -> Self {
        let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
        if kind.starts_with(b"application/json") { Self::Json } else { Self::Protobuf }
    }

    fn success(self, tally: SendTally) -> Response {
        let partial = tally.reason.map(|error_message| PartialSuccess {
            rejected_log_records: tally.bad.cast_signed(),
            error_message,
        });
        let in_json = partial.as_ref().map_or_else(
            || json!({}),
            // 64-bit numbers are texts.
            |partial| {
                json!({"partialSuccess": {
                    "rejectedLogRecords": partial.rejected_log_records.to_string(),
                    "errorMessage": partial.error_message,
                }})
            },
        );
        self.answer(StatusCode::OK, HeaderMap::new(), &ExportResponse { partial_success: partial }, &in_json)
    }

    fn failure(self, error: &HttpError) -> Response {
        let code = if error.status.is_server_error() { UNAVAILABLE } else { INVALID_ARGUMENT };
        let status = RpcStatus { code, message: error.message.clone() };
        let in_json = json!({"code": status.code, "message": status.message});
        self.answer(error.status, error.headers(), &status, &in_json)
    }

    fn answer(
        self,
        status: StatusCode,
        headers: HeaderMap,
        message: &impl Message,
        in_json: &Value,
    ) -> Response {
        let (kind, content) = match self {
            Self::Protobuf => ("application/x-protobuf", message.encode_to_vec()),
            Self::Json => ("application/json", in_json.to_string().into_bytes()),
        };
        (status, headers, [(CONTENT_TYPE, kind)], content).into_response()
    }
}
