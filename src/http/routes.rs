//! The one table of routes: what each needs of whoever asks, and what answers. No route stands elsewhere, so none
//! is without its check.

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::{self, MethodRouter};

use super::api::{health, logs, loki, otlp, read};
use super::auth;
use super::cors;
use super::error::HttpError;
use super::state::Shared;
use crate::store::TokenRole;

/// A route, as others see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpRoute {
    pub method: &'static str,
    pub path: &'static str,
    /// The role that it needs; `None` if it tells nobody anything.
    pub role: Option<TokenRole>,
}

/// All routes, with what answers them.
fn table() -> [(HttpRoute, MethodRouter<Shared>); 8] {
    let (ingest, staff) = (Some(TokenRole::Ingest), Some(TokenRole::Staff));
    let get = |path, role, answer| (HttpRoute { method: "GET", path, role }, answer);
    let post = |path, role, answer| (HttpRoute { method: "POST", path, role }, answer);
    [
        get("/health", None, routing::get(health::health)),
        get("/ready", None, routing::get(health::ready)),
        post("/logs", ingest, routing::post(logs::send)),
        post("/v1/logs", ingest, routing::post(otlp::send)),
        post("/loki/api/v1/push", ingest, routing::post(loki::send)),
        get("/logs", staff, routing::get(read::services)),
        get("/logs/{service}", staff, routing::get(read::records)),
        get("/logs/{service}/stream", staff, routing::get(read::follow)),
    ]
}

/// All routes.
pub fn routes() -> impl Iterator<Item = HttpRoute> {
    table().into_iter().map(|(route, _)| route)
}

/// The router of the table.
pub(super) fn router(state: &Shared) -> Router {
    let routes = table().into_iter().fold(Router::new(), |router, (route, answer)| {
        let check = from_fn_with_state((state.clone(), route.role), auth::check);
        router.route(route.path, answer.route_layer(check))
    });
    routes
        .fallback(async || HttpError::new(StatusCode::NOT_FOUND, "nothing is here"))
        .layer(from_fn_with_state(state.clone(), cors::allow))
        .with_state(state.clone())
}
