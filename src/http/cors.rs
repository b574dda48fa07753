//! What browsers ask before a page of another origin may send or read: only named origins may.

use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::state::Shared;

/// The methods of all routes.
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST");
/// The headers that clients of these routes send, beyond those that every page may.
const HEADERS: HeaderValue =
    HeaderValue::from_static("authorization, content-type, content-encoding, last-event-id");
/// Seconds for which a browser need not ask again.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// Answers for a browser that asks whether a page may, and allows what it named.
pub(super) async fn allow(State(state): State<Shared>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(ORIGIN).filter(|origin| {
        let known = |text| state.origins.iter().any(|known| known.as_str() == text);
        origin.to_str().is_ok_and(known)
    });
    let mut headers = HeaderMap::new();
    if !state.origins.is_empty() {
        headers.insert(VARY, HeaderValue::from_static("origin"));
    }
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    }
    if asks(&request) {
        if origin.is_some() {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
            headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        }
        return (StatusCode::NO_CONTENT, headers).into_response();
    }
    let mut response = next.run(request).await;
    response.headers_mut().extend(headers);
    response
}

/// Whether a browser only asks, before it sends what a page wants.
fn asks(request: &Request) -> bool {
    request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}
