//! Who asks, and whether they may: the check that stands before every route.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;

use super::asker::Asker;
use super::door;
use super::error::{Answered, HttpError};
use super::headers;
use super::route::{HttpRoute, RouteKind};
use super::site;
use super::state::{Access, ServerState, Shared};

/// The peer of a connection, which every request of it carries.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

/// Lets a request pass if it may, with who asks, and gives the answer the headers of its kind.
pub(super) async fn check(
    State((state, route)): State<(Shared, HttpRoute)>,
    request: Request,
    next: Next,
) -> Response {
    let is_page = route.kind == RouteKind::Page;
    let (mut head, body) = request.into_parts();
    let mut answer = match identify(&state, &route, &head).await {
        Ok(asker) => {
            state.access.proxy.strip(&mut head.headers);
            head.extensions.insert(asker);
            next.run(Request::from_parts(head, body)).await
        }
        Err(error) if is_page => door::refused(&error, &state.access, &head.uri),
        Err(error) => error.into_response(),
    };
    if is_page {
        headers::on_pages(answer.headers_mut());
    } else {
        headers::on_all(answer.headers_mut());
    }
    state.metrics.count_request(route.method, route.path, answer.status());
    answer
}

async fn identify(state: &ServerState, route: &HttpRoute, head: &Parts) -> Answered<Asker> {
    let Peer(peer) = *head.extensions.get().expect("every connection names its peer");
    let peer = peer.ip().to_canonical();
    let Some(needed) = route.role else { return Ok(Asker::anybody(peer)) };
    let (method, headers) = (&head.method, &head.headers);
    let is_local = state.access.is_local && route.kind == RouteKind::Api;
    let asker = match person(&state.access, method, headers, peer).await {
        Ok(Some(person)) if !is_local || person.may(needed) => person,
        Err(error) if !is_local => return Err(error),
        _ if is_local => {
            site::check_local(headers, &state.origins)?;
            Asker::local(peer)
        }
        _ => {
            let token = shown(headers).and_then(|shown| state.access.tokens.identify(&shown));
            let reason = "this needs a token: see `parselog token create`";
            let token = token.ok_or_else(|| HttpError::new(StatusCode::UNAUTHORIZED, reason))?;
            if route.kind == RouteKind::Page {
                state.access.site.check_own(method, headers, true)?;
            }
            Asker::with_token(token, peer)
        }
    };
    if !asker.may(needed) {
        let role = asker.role().map(|role| format!("the role {role}")).unwrap_or_default();
        let reason = format!("{role} does not allow this: it needs {needed}");
        return Err(HttpError::new(StatusCode::FORBIDDEN, reason));
    }
    Ok(asker)
}

/// The person who asks, by a proxy's word or with a session, from a page of this site. Its browser vouches for it
/// with every request, whoever made it ask.
async fn person(
    access: &Access,
    method: &Method,
    headers: &HeaderMap,
    peer: IpAddr,
) -> Answered<Option<Asker>> {
    let person = match access.proxy.person(headers, peer)? {
        Some((name, rule)) => Some(Asker::through_proxy(&name, &rule, peer)),
        None => match access.site.secret(headers) {
            Some(secret) => {
                let session = access.sessions.identify(&secret).await?;
                session.map(|session| Asker::with_session(session, peer))
            }
            None => None,
        },
    };
    if person.is_some() {
        access.site.check_own(method, headers, false)?;
    }
    Ok(person)
}

/// The token of a request: as a bearer, or as the password of those who know only user and password.
fn shown(headers: &HeaderMap) -> Option<SecretString> {
    let (scheme, shown) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(shown.trim().into());
    }
    let login = scheme.eq_ignore_ascii_case("basic").then(|| STANDARD.decode(shown.trim()).ok()).flatten()?;
    let (_, password) = std::str::from_utf8(&login).ok()?.split_once(':')?;
    Some(password.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_where_shippers_put_it() {
        let shown = |value: &str| {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, value.parse().expect("a header"))]);
            let shown = super::shown(&headers);
            shown.map(|shown| secrecy::ExposeSecret::expose_secret(&shown).to_owned())
        };
        assert_eq!(shown("Bearer parselog_1_a").as_deref(), Some("parselog_1_a"));
        assert_eq!(
            shown(&format!("Basic {}", STANDARD.encode("me:parselog_1_a"))).as_deref(),
            Some("parselog_1_a")
        );
        assert_eq!((shown("Basic !"), shown("parselog_1_a"), shown("Digest x")), (None, None, None));
    }
}
