//! What the provider says of itself: its endpoints and its keys, kept for a while.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::JwkSet;
use oauth2::{AuthUrl, TokenUrl};
use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;

use super::OidcError;
use super::fetch::ProviderClient;
use crate::config::is_loopback;

/// How long it is taken as it is.
pub(super) const KEPT: Duration = Duration::from_secs(600);

/// How old it is at least before a key that is not in it is looked for in a new one.
pub(super) const KEYS_KEPT: Duration = Duration::from_secs(2);

/// How long a failure is told again before the next try.
const PAUSE: Duration = Duration::from_secs(2);

/// The document of the provider, as far as it is needed.
#[derive(Debug, Deserialize)]
pub(super) struct Discovery {
    issuer: String,
    pub(super) authorization_endpoint: AuthUrl,
    pub(super) token_endpoint: TokenUrl,
    jwks_uri: String,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// Whether each answer names its issuer.
    #[serde(default)]
    pub(super) authorization_response_iss_parameter_supported: bool,
}

/// A provider as it was a while ago.
pub(super) struct KnownProvider {
    pub(super) discovery: Discovery,
    pub(super) keys: JwkSet,
}

/// What the provider said of itself last.
#[derive(Default)]
pub(super) struct Knowledge {
    last: Mutex<Option<LastLook>>,
}

/// When it was asked, and what it said or why it did not.
type LastLook = (Instant, Result<Arc<KnownProvider>, String>);

impl Discovery {
    /// Whether the client's secret stands in the body of a request: only where no header is taken.
    pub(super) fn wants_secret_in_body(&self) -> bool {
        let methods = self.token_endpoint_auth_methods_supported.as_deref().unwrap_or_default();
        let has = |name: &str| methods.iter().any(|method| method == name);
        has("client_secret_post") && !has("client_secret_basic")
    }

    /// Refuses a document of another issuer, and addresses that somebody on the way could answer for.
    fn check(&self, issuer: &str) -> Result<(), String> {
        if self.issuer != issuer {
            let theirs = self.issuer.escape_debug();
            return Err(format!("its document says that its issuer is {theirs}: see --oidc-issuer"));
        }
        let is_plain = issuer.starts_with("http:");
        let endpoints = [self.authorization_endpoint.as_str(), self.token_endpoint.as_str(), &self.jwks_uri];
        for endpoint in endpoints {
            let url = Url::parse(endpoint).ok().filter(Url::has_host);
            if !url.is_some_and(|url| url.scheme() == "https" || (is_plain && is_loopback(&url))) {
                return Err("an endpoint in its document is without https".to_owned());
            }
        }
        Ok(())
    }
}

impl Knowledge {
    /// What the provider says of itself, no older than this. Of many who ask at once, one goes there.
    ///
    /// # Errors
    /// It does not answer, or with what can't be trusted.
    pub(super) async fn get(
        &self,
        client: &ProviderClient,
        issuer: &str,
        age: Duration,
    ) -> Result<Arc<KnownProvider>, OidcError> {
        let mut last = self.last.lock().await;
        let kept =
            last.as_ref().filter(|(at, result)| at.elapsed() < if result.is_ok() { age } else { PAUSE });
        let result = match kept {
            Some((_, result)) => result.clone(),
            None => {
                let result = fetch(client, issuer).await.map(Arc::new);
                *last = Some((Instant::now(), result.clone()));
                result
            }
        };
        result.map_err(OidcError::Away)
    }
}

async fn fetch(client: &ProviderClient, issuer: &str) -> Result<KnownProvider, String> {
    let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let discovery: Discovery =
        client.document(&url).await.map_err(|error| format!("failed to read its document: {error}"))?;
    discovery.check(issuer)?;
    let keys = client.document(&discovery.jwks_uri).await;
    let keys = keys.map_err(|error| format!("failed to read its keys: {error}"))?;
    Ok(KnownProvider { discovery, keys })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(issuer: &str, base: &str) -> Discovery {
        let document = serde_json::json!({
            "issuer": issuer, "authorization_endpoint": format!("{base}/a"), "token_endpoint": format!("{base}/t"),
            "jwks_uri": format!("{base}/k"), "token_endpoint_auth_methods_supported": ["client_secret_post"],
        });
        serde_json::from_value(document).expect("a document")
    }

    #[test]
    fn a_document_is_of_the_issuer_as_it_is_written_and_has_no_endpoint_that_others_can_answer_for() {
        let fits = |issuer: &str, base: &str| document(issuer, base).check("https://id.example.org").is_ok();
        assert!(fits("https://id.example.org", "https://login.example.org"));
        assert!(!fits("https://id.example.org/", "https://id.example.org"));
        assert!(!fits("https://evil.example", "https://id.example.org"));
        for base in ["http://id.example.org", "http://127.0.0.1:9", "file://id.example.org"] {
            assert!(!fits("https://id.example.org", base), "{base}");
        }
        let local = |base: &str| document("http://127.0.0.1:9", base).check("http://127.0.0.1:9").is_ok();
        assert!(local("http://127.0.0.1:9") && local("http://[::1]:8") && local("https://id.example.org"));
        assert!(!local("http://id.example.org") && !local("http://127.0.0.1.nip.io"));
        assert!(document("a", "https://a").wants_secret_in_body());
    }
}
