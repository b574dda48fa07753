//! How people come in and go: a link that works once opens a session, and whoever has none reads how to get one.
//! These pages have no text from outside but the address that was asked for, which is encoded.

use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::http::header::{CONTENT_TYPE, LOCATION, SET_COOKIE, WWW_AUTHENTICATE};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing;
use url::form_urlencoded;

use super::asker::Asker;
use super::error::{Answered, HttpError};
use super::route::{HttpRoute, Row};
use super::state::{Access, Shared};
use crate::desk::session;
use crate::store::Role;

/// Where a link leads; `parselog ui` makes it.
pub const ENTRY: &str = "/enter";

/// Where a sign-in at a provider begins.
pub(super) const SIGN_IN: &str = "/sign-in";

/// The first page.
pub(super) const HOME: HeaderValue = HeaderValue::from_static("/");

/// The routes of this file.
pub(super) fn table() -> Vec<Row> {
    vec![
        (HttpRoute::page("GET", ENTRY, None), routing::get(enter)),
        (HttpRoute::page("POST", "/leave", Some(Role::Staff)), routing::post(leave)),
    ]
}

/// `GET /enter?link=SECRET`: opens the session, once.
async fn enter(
    State(state): State<Shared>,
    Extension(asker): Extension<Asker>,
    method: Method,
    RawQuery(query): RawQuery,
) -> Answered<Response> {
    let query = query.unwrap_or_default();
    let link =
        form_urlencoded::parse(query.as_bytes()).find_map(|(name, value)| (name == "link").then_some(value));
    // A browser or a mail program that only looks whether something is there must not use the link up.
    let link = link.filter(|_| method == Method::GET && state.access.site.has_sessions());
    let Some(link) = link else { return Ok(told(StatusCode::NOT_FOUND, NO_LINK, None)) };
    let entered = session::enter(&state.system.pool, &link.into_owned().into(), &asker.how()).await?;
    let Some((session, secret)) = entered else { return Ok(told(StatusCode::GONE, USED_LINK, None)) };
    state.access.sessions.add(session);
    Ok((StatusCode::SEE_OTHER, [(LOCATION, HOME), (SET_COOKIE, state.access.site.cookie(&secret))])
        .into_response())
}

/// `POST /leave`: ends the session of whoever asks.
async fn leave(State(state): State<Shared>, Extension(asker): Extension<Asker>) -> Answered<Response> {
    if let Some(session) = asker.session() {
        // It may have been revoked a moment ago.
        crate::store::session::revoke(&state.system.pool, session.id, asker.name()).await?;
        state.access.sessions.forget(session);
    }
    let mut answer = match state.access.oidc {
        Some(_) => told(StatusCode::OK, LEFT_HERE, Some("/")),
        None => told(StatusCode::OK, LEFT, None),
    };
    answer.headers_mut().insert(SET_COOKIE, state.access.site.no_cookie());
    Ok(answer)
}

/// What a page answers to whom it refuses.
pub(super) fn refused(error: &HttpError, access: &Access, asked: &Uri) -> Response {
    // Whoever signs in then goes on to the page.
    let to = asked.path_and_query().map_or("/", PathAndQuery::as_str);
    let to = access.oidc.as_ref().filter(|_| error.status == StatusCode::UNAUTHORIZED).map(|_| to);
    let page = match error.status {
        StatusCode::UNAUTHORIZED if access.site.has_sessions() => NO_SESSION,
        StatusCode::UNAUTHORIZED => NO_SITE,
        StatusCode::FORBIDDEN => FORBIDDEN,
        _ => FAILED,
    };
    let mut answer = told(error.status, page, to);
    answer.headers_mut().extend(error.headers());
    // A browser has no token to show: it would only ask for a password that nobody has.
    answer.headers_mut().remove(WWW_AUTHENTICATE);
    answer
}

/// A title, and what to do.
pub(super) type DoorText = (&'static str, &'static str);

const HOW: &str = "On the machine that serves this page, run <code>parselog ui</code> and open the link that it prints. \
    For somebody else, run <code>parselog ui --for NAME</code> and pass the link on.";
const NO_SESSION: DoorText = ("You are not signed in", HOW);
const USED_LINK: DoorText = ("This link was used, or is too old", HOW);
pub(super) const NO_LINK: DoorText = ("This is no link", HOW);
const LEFT: DoorText = ("You are signed out", HOW);
const LEFT_HERE: DoorText = (
    "You are signed out",
    "The provider may know you still: on a machine that others use too, sign out there as well.",
);
const NO_SITE: DoorText = (
    "You are not signed in",
    "Start <code>parselog serve</code> with <code>--site</code>, the address at which people open it, or behind a proxy \
     that says who they are: see <code>parselog serve --help</code>.",
);
const FORBIDDEN: DoorText =
    ("You may not do this", "Your role does not allow it, or another site made your browser ask for it.");
const FAILED: DoorText =
    ("This can't be answered now", "The log of parselog says why. Try again in a moment.");

/// A page of the door; with a link that signs in and then leads to an address of this site.
pub(super) fn told(status: StatusCode, (title, text): DoorText, to: Option<&str>) -> Response {
    let sign_in = to.map(|to| {
        // Nothing in an address that is encoded means anything in HTML.
        let to: String = form_urlencoded::byte_serialize(to.as_bytes()).collect();
        format!("<p><a href=\"{SIGN_IN}?to={to}\">Sign in</a></p>\n")
    });
    let sign_in = sign_in.unwrap_or_default();
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title} – parselog</title>\n\
         <link rel=\"icon\" href=\"/assets/icon.svg\" type=\"image/svg+xml\">\n\
         <link rel=\"stylesheet\" href=\"/assets/page.css\">\n<main>\n<h1>{title}</h1>\n{sign_in}<p>{text}</p>\n</main>\n</html>\n"
    );
    (status, [(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"))], page).into_response()
}
