//! Settings for the webhook: whom to call, and how a call is signed.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use secrecy::{SecretSlice, SecretString};
use url::Url;

/// Calls about results and errors.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Webhook")]
pub struct WebhookConfig {
    /// Address that gets a signed POST request for each run that ended for good and for each error; without it,
    /// nobody is called. `docs/WEBHOOK.md` says what is in it.
    #[arg(
        long,
        env = "PARSELOG_NOTIFY_URL",
        hide_env_values = true,
        value_name = "URL",
        global = true,
        hide_short_help = true
    )]
    pub notify_url: Option<WebhookUrl>,

    /// Secret that the calls are signed with, after Standard Webhooks: `whsec_` and 24 to 64 bytes in Base64.
    #[arg(
        long,
        env = "PARSELOG_NOTIFY_SECRET",
        hide_env_values = true,
        value_name = "SECRET",
        global = true,
        hide_short_help = true
    )]
    pub notify_secret: Option<WebhookKey>,
}

/// A webhook that can be called. Cheap to clone.
#[derive(Clone)]
pub struct Webhook {
    /// Its address, which may hold a secret itself.
    pub url: SecretString,
    /// What signs a call.
    pub key: Arc<SecretSlice<u8>>,
}

/// The address of a webhook.
#[derive(Clone)]
pub struct WebhookUrl(SecretString);

/// What signs a call.
#[derive(Clone)]
pub struct WebhookKey(Arc<SecretSlice<u8>>);

impl WebhookConfig {
    /// The webhook; `None` if none is set.
    ///
    /// # Errors
    /// It has no secret: a receiver could not tell its calls from anybody else's.
    pub fn webhook(&self) -> Result<Option<Webhook>> {
        let Some(WebhookUrl(url)) = &self.notify_url else { return Ok(None) };
        let key = self.notify_secret.as_ref().context(
            "a webhook needs --notify-secret: make one with `echo whsec_$(head -c 32 /dev/urandom | base64)`",
        )?;
        Ok(Some(Webhook { url: url.clone(), key: Arc::clone(&key.0) }))
    }
}

impl FromStr for WebhookUrl {
    type Err = String;

    /// The error repeats no part of the URL.
    fn from_str(text: &str) -> Result<Self, String> {
        let url = Url::parse(text.trim()).ok();
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let url = url.ok_or("expected the address of a webhook: https://host/path")?;
        Ok(Self(String::from(url).into()))
    }
}

impl FromStr for WebhookKey {
    type Err = String;

    /// The error repeats no part of the secret.
    fn from_str(text: &str) -> Result<Self, String> {
        let key = text.trim().strip_prefix("whsec_").and_then(|key| STANDARD.decode(key).ok());
        let key = key.filter(|key| (24..=64).contains(&key.len()));
        let key = key.ok_or("expected whsec_ and 24 to 64 bytes in Base64")?;
        Ok(Self(Arc::new(key.into())))
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookUrl(..)")
    }
}

impl fmt::Debug for WebhookKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_needs_a_web_address_and_a_key_and_shows_neither() {
        for wrong in ["", "hooks.example/a", "ftp://hooks.example/a", "https://", "file:///a"] {
            assert!(wrong.parse::<WebhookUrl>().is_err(), "{wrong}");
        }
        for wrong in ["", "secret", "whsec_", "whsec_c2hvcnQ=", "whsec_!"] {
            assert!(wrong.parse::<WebhookKey>().is_err(), "{wrong}");
        }
        let config = WebhookConfig {
            notify_url: Some("https://hooks.example/services/S3CRET".parse().unwrap()),
            notify_secret: None,
        };
        assert!(!format!("{config:?}").contains("S3CRET"));
        assert!(config.webhook().is_err(), "without a key nothing is called");
        let key = Some("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap());
        assert!(WebhookConfig { notify_secret: key, ..config }.webhook().unwrap().is_some());
    }
}
