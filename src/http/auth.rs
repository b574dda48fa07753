//! Who asks, and whether they may: the check that stands before every route.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;

use super::error::{Answered, HttpError};
use super::state::{ServerState, Shared};
use crate::store::{Token, TokenRole};

/// Who asks: the holder of a token, or somebody on this machine.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    token: Option<Arc<Token>>,
    peer: SocketAddr,
}

/// The peer of a connection, which every request of it carries.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

impl Asker {
    /// Whether it still may ask: a token can be revoked meanwhile.
    pub(super) fn is_known(&self, state: &ServerState) -> bool {
        match (&state.tokens, &self.token) {
            (Some(tokens), Some(token)) => tokens.has(token),
            _ => true,
        }
    }

    /// The streams that it may send to; empty: all of them.
    pub(super) fn streams(&self) -> &[String] {
        self.token.as_ref().map_or(&[], |token| &token.streams)
    }
}

/// For the audit log.
impl fmt::Display for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.token {
            Some(token) => write!(f, "token {} from {}", token.name, self.peer.ip()),
            None => write!(f, "local, from {}", self.peer.ip()),
        }
    }
}

/// Lets a request pass if it may, with who asks.
pub(super) async fn check(
    State((state, role)): State<(Shared, Option<TokenRole>)>,
    mut request: Request,
    next: Next,
) -> Response {
    match identify(&state, role, &request) {
        Ok(identity) => {
            request.extensions_mut().insert(identity);
            next.run(request).await
        }
        Err(refused) => refused.into_response(),
    }
}

fn identify(state: &ServerState, role: Option<TokenRole>, request: &Request) -> Answered<Asker> {
    let Peer(peer) = *request.extensions().get().expect("every connection names its peer");
    let Some(role) = role else { return Ok(Asker { token: None, peer }) };
    let Some(tokens) = &state.tokens else {
        check_page(state, request.headers())?;
        return Ok(Asker { token: None, peer });
    };
    let token = shown(request.headers()).and_then(|shown| tokens.identify(&shown));
    let token = token.ok_or_else(|| {
        HttpError::new(StatusCode::UNAUTHORIZED, "this needs a token: see `parselog token create`")
    })?;
    if token.role != role {
        let reason = format!("a token of the role {} does not allow this: it needs {role}", token.role);
        return Err(HttpError::new(StatusCode::FORBIDDEN, reason));
    }
    Ok(Asker { token: Some(token), peer })
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

/// Where nobody needs a token, a web page that somebody on this machine looks at must not be able to ask: neither
/// from an origin that is not named, nor under a host name that it made point here.
fn check_page(state: &ServerState, headers: &HeaderMap) -> Answered<()> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let refused = |what: &str| Err(HttpError::new(StatusCode::FORBIDDEN, what));
    if let Some(host) = text(HOST)
        && !is_local(host)
    {
        return refused("without a token, this machine is only served as localhost");
    }
    match text(ORIGIN) {
        Some(origin) if !state.origins.iter().any(|known| known.as_str() == origin) => {
            refused("pages of this origin may not ask: see --origins")
        }
        _ => Ok(()),
    }
}

/// Whether a host, with or without a port, is this machine's own name or address.
fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
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

    #[test]
    fn only_names_of_this_machine_are_local() {
        for host in ["localhost:8005", "LOCALHOST", "127.0.0.1:8005", "127.1.2.3", "[::1]:8005", "[::1]"] {
            assert!(is_local(host), "{host}");
        }
        for host in ["", "evil.example", "localhost.evil.example:8005", "10.0.0.1", "127.0.0.1.nip.io"] {
            assert!(!is_local(host), "{host}");
        }
    }
}
