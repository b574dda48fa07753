//! The one table of routes: what each needs of whoever asks, whom it is for, and what answers. No route stands
//! elsewhere, so none is without its check.
//!
//! A room of routes has a `table()` of [`Row`]s, which [`table`] puts together.

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing;

use super::api::{health, logs, loki, metrics, otlp, read};
use super::auth;
use super::cors;
use super::door;
use super::error::HttpError;
use super::pages;
use super::route::{HttpRoute, Row};
use super::sign_in;
use super::state::Shared;
use crate::store::Role;

/// All routes, with what answers them.
fn table() -> Vec<Row> {
    let (ingest, staff) = (Some(Role::Ingest), Some(Role::Staff));
    let get = |path, role, answer| (HttpRoute::api("GET", path, role), answer);
    let post = |path, role, answer| (HttpRoute::api("POST", path, role), answer);
    let programs = vec![
        get("/health", None, routing::get(health::health)),
        get("/ready", None, routing::get(health::ready)),
        get("/metrics", staff, routing::get(metrics::scrape)),
        post("/logs", ingest, routing::post(logs::send)),
        post("/v1/logs", ingest, routing::post(otlp::send)),
        post("/loki/api/v1/push", ingest, routing::post(loki::send)),
        get("/logs", staff, routing::get(read::services)),
        get("/logs/{service}", staff, routing::get(read::records)),
        get("/logs/{service}/stream", staff, routing::get(read::follow)),
    ];
    programs.into_iter().chain(door::table()).chain(sign_in::table()).chain(pages::table()).collect()
}

/// All routes.
pub fn routes() -> impl Iterator<Item = HttpRoute> {
    table().into_iter().map(|(route, _)| route)
}

/// The router of the table.
pub(super) fn router(state: &Shared) -> Router {
    let routes = table().into_iter().fold(Router::new(), |router, (route, answer)| {
        let check = from_fn_with_state((state.clone(), route), auth::check);
        router.route(route.path, answer.route_layer(check))
    });
    routes
        .fallback(async || HttpError::new(StatusCode::NOT_FOUND, "nothing is here"))
        .layer(from_fn_with_state(state.clone(), cors::allow))
        .with_state(state.clone())
}
