//! Settings for HTTP, and for those who listen to what is stored.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use bytesize::ByteSize;
use clap::{ArgAction, Args};
use secrecy::SecretString;
use url::Url;

use super::value::{self, Commas, List};
use super::{OidcConfig, OidcSettings, ProxyConfig};

/// What HTTP serves, and to whom.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "HTTP")]
pub struct HttpConfig {
    #[command(flatten)]
    pub site: SiteConfig,

    /// Largest body of a request, as it is sent and unpacked.
    #[arg(long, env = "PARSELOG_HTTP_BODY", default_value = "16MiB", value_parser = value::body, value_name = "SIZE")]
    pub largest_body: ByteSize,

    /// Origins of web pages that may send and read records, such as `https://app.example.org`, separated by
    /// commas.
    #[arg(long, env = "PARSELOG_HTTP_ORIGINS", value_name = "ORIGIN")]
    origins: Vec<Commas<WebOrigin>>,

    /// Answer only when the records are safe from a power cut too: on or off. One sync serves all who wait.
    #[arg(long, env = "PARSELOG_INTAKE_SYNC", default_value = "off", action = ArgAction::Set,
        value_parser = value::switch, value_name = "on|off")]
    pub intake_sync: bool,

    #[command(flatten)]
    pub proxy: ProxyConfig,
    #[command(flatten)]
    pub oidc: OidcConfig,
}

/// Where HTTP is served, and how people get there.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "HTTP")]
pub struct SiteConfig {
    /// Address and port to listen on. On any other than a loopback address, every request needs a token.
    #[arg(long, env = "PARSELOG_HTTP_LISTEN", default_value = "127.0.0.1:8005", value_parser = address, value_name = "ADDRESS")]
    pub listen: SocketAddr,

    /// Where people open the pages, such as `https://logs.example.org`; by default where parselog listens, if that
    /// is a loopback address. Pages are served to https and to loopback alone: a cookie is a key.
    #[arg(long, env = "PARSELOG_SITE", value_parser = site, value_name = "ORIGIN")]
    site: Option<WebOrigin>,
}

/// Where each stored record is published.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Redis")]
pub struct RedisConfig {
    /// Redis that gets each stored record on the channel `logs:all`: `redis://user:password@host:port`, or
    /// `rediss://…` for TLS. A Redis that is slow or away misses records, and holds up nobody.
    #[arg(long, env = "PARSELOG_REDIS_URL", hide_env_values = true, value_parser = redis_url, value_name = "URL")]
    pub redis_url: Option<SecretString>,
}

/// Where a web page comes from: scheme, host and port, as browsers send it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebOrigin(String);

impl HttpConfig {
    /// The origins of web pages that may send and read records.
    pub fn origins(&self) -> Vec<WebOrigin> {
        List::join(&self.origins)
    }

    /// The provider at which people sign in; `None` if none is set.
    ///
    /// # Errors
    /// The settings make no sense together, or its secret can't be read.
    pub fn sign_in(&self) -> Result<Option<OidcSettings>, String> {
        let settings = self.oidc.settings()?;
        match settings.is_none() || self.site.origin(self.site.listen).is_some() {
            true => Ok(settings),
            false => Err("--oidc-issuer needs --site: the provider sends people back there".to_owned()),
        }
    }
}

impl SiteConfig {
    /// Where people open the pages of a server that listens at this address; `None` if nothing says it.
    pub fn origin(&self, listens: SocketAddr) -> Option<WebOrigin> {
        let local = listens.ip().is_loopback().then(|| WebOrigin(format!("http://{listens}")));
        self.site.clone().or(local)
    }

    /// Whether somebody set it.
    pub fn is_set(&self) -> bool {
        self.site.is_some()
    }
}

impl WebOrigin {
    /// As a browser writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether nobody on the way can read what is sent.
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https:")
    }
}

impl FromStr for WebOrigin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim().trim_end_matches('/');
        let origin = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let origin = origin.map(|url| url.origin().ascii_serialization());
        origin.filter(|origin| origin.eq_ignore_ascii_case(text)).map(Self).ok_or_else(|| {
            format!("'{text}' is not the origin of a web page: expected one such as https://app.example.org")
        })
    }
}

impl fmt::Display for WebOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let address = text.trim().parse();
    address.map_err(|_| "expected an address and a port, such as 127.0.0.1:8005 or [::]:8005".to_owned())
}

/// Reads where people open the pages.
fn site(text: &str) -> Result<WebOrigin, String> {
    let origin: WebOrigin = text.parse()?;
    let is_local = Url::parse(origin.as_str()).is_ok_and(|url| value::is_loopback(&url));
    (origin.is_https() || is_local).then_some(origin).ok_or_else(|| {
        "expected https, or http on localhost alone: whoever is on the way would read the cookie".to_owned()
    })
}

/// Reads the URL of a Redis. It may hold a password, so the error does not repeat it.
fn redis_url(text: &str) -> Result<SecretString, String> {
    let known = Url::parse(text.trim()).is_ok_and(|url| matches!(url.scheme(), "redis" | "rediss"));
    known.then(|| text.trim().to_owned().into()).ok_or_else(|| {
        "the URL of the Redis is wrong: expected redis://user:password@host:port or rediss://…".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_what_browsers_send_and_nothing_more() {
        for text in ["https://app.example.org", " http://localhost:3000/ ", "https://[::1]:8443"] {
            assert_eq!(
                text.parse::<WebOrigin>().map(|origin| origin.0),
                Ok(text.trim().trim_end_matches('/').to_owned())
            );
        }
        for text in ["*", "null", "app.example.org", "https://a.org/x", "ftp://a.org", "https://u@a.org"] {
            assert!(text.parse::<WebOrigin>().is_err(), "{text}");
        }
    }

    #[test]
    fn pages_are_open_to_https_and_to_this_machine_alone() {
        for text in [
            "https://logs.example.org",
            "http://localhost:8005",
            "http://127.0.0.1:8005",
            "http://[::1]:8005",
        ] {
            assert!(site(text).is_ok(), "{text}");
        }
        for text in
            ["http://logs.example.org", "http://10.0.0.5:8005", "http://localhost.example.org", "logs"]
        {
            assert!(site(text).is_err_and(|error| error.contains("expected")), "{text}");
        }
    }

    #[test]
    fn the_url_of_a_redis_is_not_repeated_where_it_is_wrong() {
        let error = redis_url("http://:secret@host").expect_err("not a Redis");
        assert!(!error.contains("secret"), "{error}");
        assert!(redis_url("rediss://:secret@host:6379/1").is_ok());
    }
}
