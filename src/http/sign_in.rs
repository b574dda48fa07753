//! How people come in through a provider of OpenID Connect: a browser is sent there with what only it has in a cookie,
//! and comes back with a code, for which the provider says who it is. Then it has a session as by a link.

use std::time::Duration;

use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::http::header::{LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};
use url::{Url, form_urlencoded};

use super::asker::Asker;
use super::door::{self, DoorText, SIGN_IN};
use super::error::Answered;
use super::route::{HttpRoute, Row};
use super::state::Shared;
use crate::desk::session;
use crate::oidc::{OidcError, ProviderAnswer, SignInAttempt};

/// Where the provider sends people back to.
pub(super) const DONE: &str = "/sign-in/done";

/// How long somebody may take at the provider.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// The longest address within the site that somebody is sent back to.
const LONGEST: usize = 1024;

/// The routes of this file.
pub(super) fn table() -> Vec<Row> {
    vec![
        (HttpRoute::page("GET", SIGN_IN, None), routing::get(begin)),
        (HttpRoute::page("GET", DONE, None), routing::get(done)),
    ]
}

const AWAY: DoorText = (
    "Nobody can sign in now",
    "The provider of sign-ins can't be used: the log of parselog says why. Try again in a moment.",
);
const STRANGE: DoorText = (
    "This sign-in is not yours, or is over",
    "It was not begun in this browser, took longer than ten minutes, or was used already. Begin it again.",
);
const UNPROVEN: DoorText = (
    "You are not signed in",
    "The provider did not prove who you are: the log of parselog says why. Try again.",
);
const NO_ACCESS: DoorText = (
    "You have no access here",
    "You are known to the provider, but nothing there gives you a role: ask whoever runs parselog. Its log says why.",
);

/// `GET /sign-in?to=PATH`: sends the browser to the provider.
async fn begin(State(state): State<Shared>, method: Method, RawQuery(query): RawQuery) -> Response {
    let Some(provider) = state.access.oidc.as_ref().filter(|_| method == Method::GET) else {
        return door::told(StatusCode::NOT_FOUND, door::NO_LINK, None);
    };
    let attempt = SignInAttempt::new();
    let address = match provider.address(&attempt).await {
        Ok(address) => address,
        Err(error) => return failed(&error),
    };
    let to = one(&query.unwrap_or_default(), "to").and_then(|to| own_path(&to)).unwrap_or_default();
    let cookie = format!("{}.{}", attempt.secret().expose_secret(), URL_SAFE_NO_PAD.encode(to));
    let cookie = state.access.site.sign_in_cookie(&cookie.into(), PATIENCE);
    let address = HeaderValue::from_str(address.as_str()).expect("an address is plain");
    (StatusCode::SEE_OTHER, [(LOCATION, address), (SET_COOKIE, cookie)]).into_response()
}

/// `GET /sign-in/done?code=…&state=…`: opens the session, once.
async fn done(
    State(state): State<Shared>,
    Extension(asker): Extension<Asker>,
    method: Method,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Answered<Response> {
    let site = &state.access.site;
    let Some(provider) = state.access.oidc.as_ref().filter(|_| method == Method::GET) else {
        return Ok(door::told(StatusCode::NOT_FOUND, door::NO_LINK, None));
    };
    let query = query.unwrap_or_default();
    let begun = site.sign_in(&headers).and_then(|cookie| begun(&cookie)).filter(|(attempt, _)| {
        one(&query, "state").is_some_and(|answered| attempt.is_answered_by(&answered))
    });
    let Some((attempt, to)) = begun else {
        // The cookie stays: it may be of a sign-in that goes on in another window. Anybody can come here, so it is no
        // warning.
        tracing::debug!(peer = %asker.how(), "a sign-in came back to another browser than the one that began it");
        return Ok(door::told(StatusCode::BAD_REQUEST, STRANGE, Some("/")));
    };
    let result = match (one(&query, "code"), one(&query, "error")) {
        (Some(code), None) => {
            provider.identify(&attempt, ProviderAnswer { code, issuer: one(&query, "iss") }).await
        }
        (_, error) => {
            let error = error.unwrap_or_default();
            Err(OidcError::Unproven(format!("the provider answers '{}'", error.escape_debug())))
        }
    };
    let mut answer = match result {
        Err(error) => failed(&error),
        Ok(person) => {
            let issuer = provider.issuer();
            match session::sign_in(&state.system.pool, &attempt, &person, issuer, &asker.how()).await? {
                None => door::told(StatusCode::GONE, STRANGE, Some("/")),
                Some((session, secret)) => {
                    state.access.sessions.add(session);
                    let to = HeaderValue::from_str(&to).unwrap_or(door::HOME);
                    (StatusCode::SEE_OTHER, [(LOCATION, to), (SET_COOKIE, site.cookie(&secret))])
                        .into_response()
                }
            }
        }
    };
    answer.headers_mut().append(SET_COOKIE, site.no_sign_in_cookie());
    Ok(answer)
}

/// What a browser reads when it is not signed in. The reason is for the log: parts of it are the provider's.
fn failed(error: &OidcError) -> Response {
    tracing::warn!("{error}");
    let (status, page) = match error {
        OidcError::Away(_) => (StatusCode::SERVICE_UNAVAILABLE, AWAY),
        OidcError::Unproven(_) => (StatusCode::FORBIDDEN, UNPROVEN),
        OidcError::NoAccess(_) => (StatusCode::FORBIDDEN, NO_ACCESS),
    };
    door::told(status, page, Some("/"))
}

/// The attempt of a browser, and where it ends.
fn begun(cookie: &SecretString) -> Option<(SignInAttempt, String)> {
    let (secret, to) = cookie.expose_secret().split_once('.')?;
    let to = String::from_utf8(URL_SAFE_NO_PAD.decode(to).ok()?).ok()?;
    Some((SignInAttempt::of(secret.into()), own_path(&to).unwrap_or_else(|| "/".to_owned())))
}

/// A parameter that stands there once.
fn one(query: &str, name: &str) -> Option<String> {
    let mut values = form_urlencoded::parse(query.as_bytes()).filter(|(its, _)| its == name);
    let (_, value) = values.next()?;
    values.next().is_none().then(|| value.into_owned())
}

/// An address within this site, as a browser understands it; `None` for any other.
fn own_path(to: &str) -> Option<String> {
    let site = Url::parse("https://site.invalid").expect("an address");
    let url = site.join(to).ok().filter(|url| url.origin() == site.origin())?;
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    let path = format!("{}{query}", url.path());
    // A path that begins with two slashes is an address of elsewhere, where it stands alone.
    (to.starts_with('/') && !path.starts_with("//") && path.len() <= LONGEST).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere_after_a_sign_in() {
        for own in ["/", "/runs", "/runs/a/log?level=warn&q=%2Fx%2F", "/a//b"] {
            assert_eq!(own_path(own).as_deref(), Some(own));
        }
        assert_eq!(own_path("/../a b\u{202e}\r\nx").as_deref(), Some("/a%20b%E2%80%AEx"));
        for other in [
            "",
            "runs",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "/.//evil.example",
            "/..//evil.example",
            "/%2e//evil.example",
            "https://evil.example",
            "https:evil.example",
            "javascript:alert(1)",
            " //evil.example",
            "@evil.example",
        ] {
            assert_eq!(own_path(other), None, "{other:?}");
        }
        assert_eq!(own_path(&format!("/{}", "a".repeat(LONGEST))), None);
    }

    #[test]
    fn a_parameter_that_stands_there_twice_says_nothing() {
        assert_eq!(one("a=1&b=%20&c=1", "b").as_deref(), Some(" "));
        assert_eq!((one("a=1&a=1", "a"), one("b=1", "a")), (None, None));
        let cookie = |value: &str| begun(&value.into()).map(|(_, to)| to);
        assert_eq!(cookie(&format!("x.{}", URL_SAFE_NO_PAD.encode("/runs"))).as_deref(), Some("/runs"));
        assert_eq!(cookie(&format!("x.{}", URL_SAFE_NO_PAD.encode("//evil.example"))).as_deref(), Some("/"));
        assert_eq!((cookie("x"), cookie("x.!"), cookie("x.").as_deref()), (None, None, Some("/")));
    }
}
