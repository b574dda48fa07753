//! Requests to the provider: to the address that is asked and no other, within bounds of size and time.

use std::pin::Pin;
use std::time::Duration;

use anyhow::Context as _;
use oauth2::http::{Request as HttpCall, StatusCode};
use oauth2::{AsyncHttpClient, HttpRequest, HttpResponse};
use reqwest::redirect::Policy;
use reqwest::{Client, Request};
use serde::de::DeserializeOwned;

/// How long connecting may take, and a request as a whole.
const CONNECTING: Duration = Duration::from_secs(5);
const REQUEST: Duration = Duration::from_secs(10);

/// The largest answer.
const LARGEST: usize = 1 << 20;

/// The way to the provider.
pub(super) struct ProviderClient(Client);

/// Why there is no answer. It names no address, which may hold a code.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct FetchError(String);

impl ProviderClient {
    /// The way there.
    ///
    /// # Errors
    /// TLS can't be prepared.
    pub(super) fn new() -> anyhow::Result<Self> {
        let client = Client::builder()
            .user_agent(concat!("parselog/", env!("CARGO_PKG_VERSION")))
            // A redirect would take secret and code to an address that nobody configured.
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(CONNECTING)
            .timeout(REQUEST)
            .build();
        Ok(Self(client.context("failed to prepare the way to the provider of sign-ins")?))
    }

    /// Makes a request.
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, FetchError> {
        let failed =
            |error: reqwest::Error| FetchError(format!("{:#}", anyhow::Error::new(error.without_url())));
        let request = Request::try_from(request).map_err(failed)?;
        let mut response = self.0.execute(request).await.map_err(failed)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > LARGEST {
                return Err(FetchError(format!("it answers with more than {LARGEST} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        let mut answer = HttpResponse::new(body);
        *answer.status_mut() = response.status();
        *answer.headers_mut() = response.headers().clone();
        Ok(answer)
    }

    /// Gets a document.
    ///
    /// # Errors
    /// Nothing answers in time, or something else.
    pub(super) async fn document<T: DeserializeOwned>(&self, url: &str) -> Result<T, FetchError> {
        let request = HttpCall::get(url).header("accept", "application/json").body(Vec::new());
        let request = request.map_err(|_| FetchError("its address is no address".to_owned()))?;
        let answer = self.send(request).await?;
        if answer.status() != StatusCode::OK {
            return Err(FetchError(format!("it answers with {}", answer.status())));
        }
        serde_json::from_slice(answer.body())
            .map_err(|error| FetchError(format!("it answers with another document: {error}")))
    }
}

impl<'c> AsyncHttpClient<'c> for ProviderClient {
    type Error = FetchError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, FetchError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.send(request))
    }
}
