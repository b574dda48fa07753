//! The site that people open: its cookie, and the check that a request was made by a page of its own.

use std::time::Duration;

use axum::http::header::{AsHeaderName, COOKIE, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};

use super::error::{Answered, HttpError};
use crate::config::WebOrigin;
use crate::desk::session::SESSION_LIFE;

/// What a browser says of where a request comes from.
const FETCH_SITE: &str = "sec-fetch-site";
const FETCH_MODE: &str = "sec-fetch-mode";
const FETCH_DEST: &str = "sec-fetch-dest";

/// The site.
#[derive(Debug, Clone)]
pub(super) struct Site {
    /// Its origin; `None` if nothing says it: then there are no cookies.
    origin: Option<WebOrigin>,
    /// Whether it was set. Otherwise it may be opened under each name of this machine.
    is_set: bool,
    cookie: String,
}

impl Site {
    /// The site of this origin, whose server listens at this port.
    pub(super) fn new(origin: Option<WebOrigin>, is_set: bool, port: u16) -> Self {
        // Browsers take a cookie with `Secure`, and so one with the prefix `__Host-`, over https alone. Chromium makes an
        // exception of localhost and loopback addresses (its `cookie_util::ProvisionalAccessScheme`), but not all
        // browsers do, nor most HTTP clients: so on plain http the cookie has neither. There it has the port in its
        // name, since cookies don't tell ports apart, and two servers on one machine would sign each other's people out.
        let is_https = origin.as_ref().is_some_and(WebOrigin::is_https);
        let cookie = if is_https { "__Host-parselog".to_owned() } else { format!("parselog-{port}") };
        Self { origin, is_set, cookie }
    }

    /// Whether people can have a session here.
    pub(super) fn has_sessions(&self) -> bool {
        self.origin.is_some()
    }

    /// Whether people open it by https, which somebody in front of the server speaks.
    pub(super) fn is_https(&self) -> bool {
        self.origin.as_ref().is_some_and(WebOrigin::is_https)
    }

    /// The address of a page of it, whose path this is.
    pub(super) fn address(&self, path: &str) -> Option<String> {
        self.origin.as_ref().map(|origin| format!("{}{path}", origin.as_str()))
    }

    /// The header that gives a browser the secret of its session.
    pub(super) fn cookie(&self, secret: &SecretString) -> HeaderValue {
        self.set_cookie(&self.cookie, secret.expose_secret(), SESSION_LIFE)
    }

    /// The header that takes it away.
    pub(super) fn no_cookie(&self) -> HeaderValue {
        self.set_cookie(&self.cookie, "", Duration::ZERO)
    }

    /// The header that gives a browser what only it may have of a sign-in, for as long as that may take. The value
    /// has letters, digits, `-`, `_` and `.` alone.
    pub(super) fn sign_in_cookie(&self, value: &SecretString, life: Duration) -> HeaderValue {
        self.set_cookie(&self.sign_in_name(), value.expose_secret(), life)
    }

    /// The header that takes it away.
    pub(super) fn no_sign_in_cookie(&self) -> HeaderValue {
        self.set_cookie(&self.sign_in_name(), "", Duration::ZERO)
    }

    fn sign_in_name(&self) -> String {
        format!("{}-sign-in", self.cookie)
    }

    fn set_cookie(&self, name: &str, value: &str, life: Duration) -> HeaderValue {
        let secure = if self.is_https() { "; Secure" } else { "" };
        let seconds = life.as_secs();
        let cookie = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
        HeaderValue::from_str(&cookie).expect("a name, plain characters and attributes")
    }

    /// The secret of the session, as the browser shows it.
    pub(super) fn secret(&self, headers: &HeaderMap) -> Option<SecretString> {
        shown(headers, &self.cookie)
    }

    /// What the browser has of a sign-in that it began.
    pub(super) fn sign_in(&self, headers: &HeaderMap) -> Option<SecretString> {
        shown(headers, &self.sign_in_name())
    }

    /// Refuses what a page of elsewhere made a browser ask, whose cookie or proxy vouches for the person. A plain
    /// visit, by a link that somebody followed, may come from anywhere. Whoever `shows` a token with the request is
    /// no browser, and need not say where it comes from.
    ///
    /// # Errors
    /// The request comes from elsewhere, or changes something and does not say where it comes from.
    pub(super) fn check_own(&self, method: &Method, headers: &HeaderMap, shows: bool) -> Answered<()> {
        let refused =
            || Err(HttpError::new(StatusCode::FORBIDDEN, "pages of other origins may not ask this"));
        let is_safe = matches!(*method, Method::GET | Method::HEAD);
        let is_visit = is_safe
            && text(headers, FETCH_MODE) == Some("navigate")
            && text(headers, FETCH_DEST) == Some("document");
        let site = text(headers, FETCH_SITE);
        // Under `Referrer-Policy: no-referrer`, which our pages have, browsers send `null` with forms.
        let origin = text(headers, ORIGIN).filter(|origin| *origin != "null");
        match site {
            Some("same-origin" | "none") | None => {}
            Some(_) if is_visit => {}
            Some(_) => return refused(),
        }
        match origin {
            Some(origin) if !self.is_own(origin, headers) => refused(),
            None if !is_safe && site.is_none() && !shows => refused(),
            _ => Ok(()),
        }
    }

    fn is_own(&self, origin: &str, headers: &HeaderMap) -> bool {
        if self.is_set {
            return self.origin.as_ref().is_some_and(|own| own.as_str() == origin);
        }
        let host = text(headers, HOST).filter(|host| is_local(host));
        host.is_some_and(|host| origin.strip_prefix("http://") == Some(host))
    }
}

/// Refuses what a web page that somebody on this machine looks at asks, where programs need nothing: neither from an
/// origin that is not named, nor under a host name that it made point here, nor as a picture or a script of its own.
///
/// # Errors
/// It does.
pub(super) fn check_local(headers: &HeaderMap, origins: &[WebOrigin]) -> Answered<()> {
    let refused = |what: &str| Err(HttpError::new(StatusCode::FORBIDDEN, what));
    if let Some(host) = headers.get(HOST).map(|host| host.to_str().unwrap_or_default())
        && !is_local(host)
    {
        return refused("without a token, this machine is only served as localhost");
    }
    let strange = "pages of this origin may not ask: see --origins";
    match headers.get(ORIGIN).map(|origin| origin.to_str().unwrap_or_default()) {
        Some(origin) if !origins.iter().any(|known| known.as_str() == origin) => refused(strange),
        Some(_) => Ok(()),
        None => match text(headers, FETCH_SITE) {
            Some("same-origin" | "none") | None => Ok(()),
            Some(_) if text(headers, FETCH_DEST) == Some("document") => Ok(()),
            Some(_) => refused(strange),
        },
    }
}

/// The value of a cookie.
fn shown(headers: &HeaderMap, cookie: &str) -> Option<SecretString> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, value)| *name == cookie && !value.is_empty()).map(|(_, value)| value.into())
}

fn text(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("unreadable"))
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
    use axum::http::HeaderName;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let header = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"))
        };
        pairs.iter().map(header).collect()
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

    #[test]
    fn what_pages_of_elsewhere_ask_is_refused_and_visits_are_not() {
        let local = Site::new(Some("http://127.0.0.1:8005".parse().expect("an origin")), false, 8005);
        let set = Site::new(Some("https://logs.example.org".parse().expect("an origin")), true, 8005);
        let visit = ("sec-fetch-mode", "navigate");
        let document = ("sec-fetch-dest", "document");
        let (get, post) = (Method::GET, Method::POST);
        let own = ("origin", "http://localhost:8005");
        let host = ("host", "localhost:8005");
        type Case<'a> = (&'a Site, &'a Method, &'a [(&'static str, &'a str)], bool);
        let cases: &[Case<'_>] = &[
            (&local, &get, &[], true),
            (&local, &post, &[], false),
            (&local, &post, &[host, own], true),
            (&local, &post, &[("host", "evil.example:8005"), ("origin", "http://evil.example:8005")], false),
            (&local, &post, &[host, ("origin", "http://localhost:3000")], false),
            (&local, &post, &[host, ("origin", "null"), ("sec-fetch-site", "same-origin")], true),
            (&local, &post, &[host, ("origin", "null")], false),
            (
                &local,
                &post,
                &[host, ("origin", "null"), ("sec-fetch-site", "cross-site"), visit, document],
                false,
            ),
            (&local, &get, &[("sec-fetch-site", "cross-site"), visit, document], true),
            (&local, &get, &[("sec-fetch-site", "cross-site"), visit, ("sec-fetch-dest", "iframe")], false),
            (&local, &get, &[("sec-fetch-site", "same-site"), ("sec-fetch-dest", "script")], false),
            (&set, &post, &[("origin", "https://logs.example.org")], true),
            (&set, &post, &[host, own], false),
        ];
        for (site, method, pairs, passes) in cases {
            assert_eq!(site.check_own(method, &headers(pairs), false).is_ok(), *passes, "{method} {pairs:?}");
        }
        assert!(set.check_own(&post, &HeaderMap::new(), true).is_ok(), "a program with a token");
    }

    #[test]
    fn the_cookie_is_secure_where_the_site_is_and_is_found_among_others() {
        let set = Site::new(Some("https://logs.example.org".parse().expect("an origin")), true, 8005);
        let cookie = set.cookie(&"abc".into());
        let cookie = cookie.to_str().expect("text");
        assert!(
            cookie.starts_with("__Host-parselog=abc; Path=/; ") && cookie.ends_with("; Secure"),
            "{cookie}"
        );
        assert!(cookie.contains("; HttpOnly; SameSite=Lax"), "{cookie}");
        let local = Site::new(None, false, 8005);
        assert!(!local.no_cookie().to_str().expect("text").contains("Secure"));
        let shown = local.secret(&headers(&[("cookie", "a=b; parselog-8006=x; parselog-8005=y")]));
        assert_eq!(shown.as_ref().map(ExposeSecret::expose_secret), Some("y"));
        assert!(local.secret(&headers(&[("cookie", "parselog-8005=; parselog=z")])).is_none());
    }
}
