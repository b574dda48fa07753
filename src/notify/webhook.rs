//! The webhook: its address, one signed request, and the result.
//!
//! Requests are signed as the Standard Webhooks specification says (<https://www.standardwebhooks.com>), so a
//! receiver checks them with a library for its language.

use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use secrecy::ExposeSecret as _;
use sha2::Sha256;

use crate::config::Webhook;

/// How long connecting may take, and a call as a whole.
const CONNECTING: Duration = Duration::from_secs(10);
const CALL: Duration = Duration::from_secs(15);

/// The way to a webhook. Cheap to clone.
#[derive(Clone)]
pub(super) struct Caller {
    client: Client,
    webhook: Webhook,
}

/// The result of a call.
pub(super) enum CallAnswer {
    /// A status of 2xx.
    Taken,
    /// Another status; a later call may succeed.
    Refused(StatusCode),
    /// 410: the receiver wants no further calls about this.
    Gone,
    /// Nothing answers there. The text holds no address.
    Away(String),
}

impl Caller {
    /// The way to this webhook.
    ///
    /// # Errors
    /// TLS can't be prepared.
    pub(super) fn new(webhook: Webhook) -> Result<Self> {
        let client = Client::builder()
            .user_agent(concat!("parselog/", env!("CARGO_PKG_VERSION")))
            // A redirect would take the signed body to an address that nobody configured.
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(CONNECTING)
            .timeout(CALL)
            .build()
            .context("failed to prepare the webhook")?;
        Ok(Self { client, webhook })
    }

    /// Posts this body, under an id that is the same for each call about the same notice.
    pub(super) async fn call(&self, id: &str, body: Vec<u8>) -> CallAnswer {
        let at = Utc::now();
        let request = self
            .client
            .post(self.webhook.url.expose_secret())
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", at.timestamp())
            .header("webhook-signature", sign(self.webhook.key.expose_secret(), id, at, &body))
            .body(body);
        match request.send().await.map(|response| response.status()) {
            Ok(status) if status.is_success() => CallAnswer::Taken,
            Ok(StatusCode::GONE) => CallAnswer::Gone,
            Ok(status) => CallAnswer::Refused(status),
            Err(error) => CallAnswer::Away(format!("{:#}", anyhow::Error::new(error.without_url()))),
        }
    }
}

/// The signature of a request: of its id, its time and its body.
fn sign(key: &[u8], id: &str, at: DateTime<Utc>, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key may have any length");
    mac.update(format!("{id}.{}.", at.timestamp()).as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_signed_as_the_specification_shows() {
        // The example of the specification's libraries.
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let at = DateTime::from_timestamp(1_614_265_330, 0).unwrap();
        let signed = sign(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
