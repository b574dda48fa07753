//! People who come through a reverse proxy that says who they are: its word counts from listed peers alone.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, StatusCode};

use super::error::{Answered, HttpError};
use crate::config::{PeerNetwork, PersonRule, ProxyConfig, name};

/// The proxy, if one is configured.
#[derive(Debug, Clone, Default)]
pub(super) struct Proxy {
    header: Option<HeaderName>,
    peers: Vec<PeerNetwork>,
    people: Vec<PersonRule>,
}

impl Proxy {
    pub(super) fn new(config: &ProxyConfig) -> Self {
        let header = config.trust_header.as_ref();
        Self {
            header: header.map(|name| name.parse().expect("the setting was read as the name of a header")),
            peers: config.trust_peers(),
            people: config.people(),
        }
    }

    /// Whether one is configured: then whoever comes from this machine may be anybody.
    pub(super) fn is_there(&self) -> bool {
        self.header.is_some()
    }

    /// Who asks, and what it may; `None` if no proxy says so whose word counts.
    ///
    /// # Errors
    /// The proxy names several people, or one who may do nothing here.
    pub(super) fn person(&self, headers: &HeaderMap, peer: IpAddr) -> Answered<Option<(String, PersonRule)>> {
        let Some(header) = self.header.as_ref().filter(|_| self.peers.iter().any(|known| known.has(peer)))
        else {
            return Ok(None);
        };
        let mut values = headers.get_all(header).iter();
        let Some(value) = values.next() else { return Ok(None) };
        // A proxy that only adds its own header leaves the one that somebody forged.
        let who = value.to_str().ok().filter(|_| values.next().is_none());
        let who = who.and_then(|who| name(who.trim()).ok());
        let who = who.ok_or_else(|| HttpError::bad("the proxy does not say in one word who asks"))?;
        let rule = PersonRule::of(&self.people, &who).ok_or_else(|| {
            HttpError::new(StatusCode::FORBIDDEN, format!("{who} may do nothing here: see --people"))
        })?;
        Ok(Some((who, rule.clone())))
    }

    /// Takes the header away, so that nobody behind this can take it for true.
    pub(super) fn strip(&self, headers: &mut HeaderMap) {
        if let Some(header) = &self.header {
            headers.remove(header);
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;
    use crate::store::Role;

    #[test]
    fn a_person_is_whom_a_listed_peer_names_once() {
        let proxy = Proxy {
            header: Some(HeaderName::from_static("x-user")),
            peers: vec!["10.0.0.0/8".parse().expect("a network")],
            people: vec!["ann=admin".parse().expect("a rule")],
        };
        let (peer, stranger) = (IpAddr::from([10, 0, 0, 5]), IpAddr::from([127, 0, 0, 1]));
        let mut headers = HeaderMap::new();
        assert!(matches!(proxy.person(&headers, peer), Ok(None)));
        headers.insert("x-user", HeaderValue::from_static("ann"));
        assert!(matches!(proxy.person(&headers, stranger), Ok(None)));
        let person = proxy.person(&headers, peer).expect("a person").expect("somebody");
        assert_eq!((person.0.as_str(), person.1.role), ("ann", Role::Admin));
        headers.append("x-user", HeaderValue::from_static("eve"));
        assert_eq!(proxy.person(&headers, peer).expect_err("two people").status, StatusCode::BAD_REQUEST);
        headers.insert("x-user", HeaderValue::from_static("eve"));
        assert_eq!(proxy.person(&headers, peer).expect_err("a stranger").status, StatusCode::FORBIDDEN);
        for nobody in ["", " ", "ann eve", "ann\t"] {
            headers.insert("x-user", HeaderValue::from_static(nobody));
            let person = proxy.person(&headers, peer);
            assert_eq!(person.is_ok(), nobody == "ann\t", "{nobody:?}");
        }
        proxy.strip(&mut headers);
        assert!(headers.is_empty());
    }
}
