//! The provider: where a browser is sent, and who came back.

use anyhow::Result;
use oauth2::basic::{
    BasicErrorResponse, BasicErrorResponseType, BasicRevocationErrorResponse,
    BasicTokenIntrospectionResponse, BasicTokenType,
};
use oauth2::{
    AuthType, AuthorizationCode, Client, ClientId, ClientSecret, EndpointNotSet, EndpointSet,
    ExtraTokenFields, RedirectUrl, RequestTokenError, Scope, StandardRevocableToken, StandardTokenResponse,
};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use url::Url;

use super::access::{self, SignedIn};
use super::discovery::{Discovery, KEPT, KEYS_KEPT, Knowledge};
use super::fetch::{FetchError, ProviderClient};
use super::token::{Expected, TokenFault, verify};
use super::{OidcError, SignInAttempt};
use crate::config::OidcSettings;

/// Codes that are exchanged at once.
const EXCHANGES: usize = 8;

/// The provider that is configured.
pub struct IdProvider {
    settings: OidcSettings,
    redirect: RedirectUrl,
    client: ProviderClient,
    knowledge: Knowledge,
    exchanges: Semaphore,
}

/// What a browser brings from the provider.
#[derive(Debug, Clone)]
pub struct ProviderAnswer {
    /// What the provider exchanges for an ID token, once.
    pub code: String,
    /// Who answers, if the answer says so.
    pub issuer: Option<String>,
}

/// What OpenID Connect adds to an answer of OAuth.
#[derive(Debug, Serialize, Deserialize)]
struct IdTokenField {
    id_token: String,
}

impl ExtraTokenFields for IdTokenField {}

/// The client of OAuth, with both endpoints.
type OauthClient = Client<
    BasicErrorResponse,
    StandardTokenResponse<IdTokenField, BasicTokenType>,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

impl IdProvider {
    /// The provider of these settings, which sends people back to this address.
    ///
    /// # Errors
    /// TLS can't be prepared, or the address is none.
    pub fn new(settings: OidcSettings, redirect: String) -> Result<Self> {
        Ok(Self {
            settings,
            redirect: RedirectUrl::new(redirect)?,
            client: ProviderClient::new()?,
            knowledge: Knowledge::default(),
            exchanges: Semaphore::new(EXCHANGES),
        })
    }

    /// Its issuer.
    pub fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    /// Whether people can sign in now.
    ///
    /// # Errors
    /// It does not answer, or with what can't be trusted.
    pub async fn look(&self) -> Result<(), OidcError> {
        self.knowledge.get(&self.client, self.issuer(), KEPT).await.map(|_| ())
    }

    /// Where to send a browser that begins this sign-in.
    ///
    /// # Errors
    /// The provider does not answer.
    pub async fn address(&self, attempt: &SignInAttempt) -> Result<Url, OidcError> {
        let known = self.knowledge.get(&self.client, self.issuer(), KEPT).await?;
        let scopes = self.settings.scopes.split_whitespace().map(|scope| Scope::new(scope.to_owned()));
        let client = self.oauth(&known.discovery);
        let request = client.authorize_url(|| attempt.state());
        let request = request.add_scopes(scopes).set_pkce_challenge(attempt.challenge());
        Ok(request.add_extra_param("nonce", attempt.nonce()).url().0)
    }

    /// Who signed in, by the answer that its browser brings.
    ///
    /// # Errors
    /// The provider does not answer, the answer proves nothing, or the person may do nothing.
    pub async fn identify(
        &self,
        attempt: &SignInAttempt,
        answer: ProviderAnswer,
    ) -> Result<SignedIn, OidcError> {
        let busy = || OidcError::Away("there are too many sign-ins at once".to_owned());
        let _exchange = self.exchanges.try_acquire().map_err(|_| busy())?;
        let mut known = self.knowledge.get(&self.client, self.issuer(), KEPT).await?;
        let names_itself = known.discovery.authorization_response_iss_parameter_supported;
        if answer.issuer.as_deref().map_or(names_itself, |issuer| issuer != self.issuer()) {
            return Err(OidcError::Unproven("another issuer answers".to_owned()));
        }
        let token = self.exchange(&known.discovery, attempt, answer.code).await?;
        let nonce = attempt.nonce();
        let expected = Expected { issuer: self.issuer(), client: &self.settings.client, nonce: &nonce };
        let mut verified = verify(&token, &known.keys, expected);
        if verified == Err(TokenFault::UnknownKey) {
            known = self.knowledge.get(&self.client, self.issuer(), KEYS_KEPT).await?;
            verified = verify(&token, &known.keys, expected);
        }
        let claims = verified.map_err(|fault| match fault {
            TokenFault::UnknownKey => {
                OidcError::Unproven("no key of the provider signed the ID token".to_owned())
            }
            TokenFault::Wrong(what) => OidcError::Unproven(what),
        })?;
        access::read(&claims, &self.settings)
    }

    /// Exchanges a code for an ID token.
    async fn exchange(
        &self,
        discovery: &Discovery,
        attempt: &SignInAttempt,
        code: String,
    ) -> Result<String, OidcError> {
        let client = self.oauth(discovery);
        let request =
            client.exchange_code(AuthorizationCode::new(code)).set_pkce_verifier(attempt.verifier());
        let answer = request.request_async(&self.client).await;
        Ok(answer.map_err(refusal)?.extra_fields().id_token.clone())
    }

    fn oauth(&self, discovery: &Discovery) -> OauthClient {
        let secret = self.settings.secret.expose_secret().to_owned();
        let in_body = discovery.wants_secret_in_body();
        Client::new(ClientId::new(self.settings.client.clone()))
            .set_client_secret(ClientSecret::new(secret))
            .set_auth_type(if in_body { AuthType::RequestBody } else { AuthType::BasicAuth })
            .set_auth_uri(discovery.authorization_endpoint.clone())
            .set_token_uri(discovery.token_endpoint.clone())
            .set_redirect_uri(self.redirect.clone())
    }
}

/// Why the provider gives no token. Its answer is not repeated: it may hold one.
fn refusal(error: RequestTokenError<FetchError, BasicErrorResponse>) -> OidcError {
    match error {
        RequestTokenError::ServerResponse(error) => match error.error() {
            BasicErrorResponseType::InvalidGrant => OidcError::Unproven(
                "the provider does not take the code: it was used, or is too old".to_owned(),
            ),
            BasicErrorResponseType::InvalidClient | BasicErrorResponseType::UnauthorizedClient => {
                OidcError::Away("it does not take the client: see --oidc-client and its secret".to_owned())
            }
            _ => OidcError::Away("it does not take the request for a token".to_owned()),
        },
        RequestTokenError::Request(error) => OidcError::Away(format!("it gives no token: {error}")),
        RequestTokenError::Parse(..) | RequestTokenError::Other(_) => {
            OidcError::Away("it answers to the request for a token with something else".to_owned())
        }
    }
}
