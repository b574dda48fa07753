//! People who sign in at a provider of OpenID Connect: the Authorization Code flow with PKCE, state and nonce.
//!
//! `attempt` is one sign-in of one browser. `provider` knows the provider's endpoints and keys (`discovery`), which
//! it gets within bounds of size and time (`fetch`), and asks it who came. `token` checks what it signed, and `access`
//! reads who that is and what the settings allow. Whatever does not fit in any of these steps is no access.

mod access;
mod attempt;
mod discovery;
mod fetch;
mod provider;
mod token;

pub use self::access::SignedIn;
pub use self::attempt::SignInAttempt;
pub use self::provider::{IdProvider, ProviderAnswer};

/// Why somebody is not signed in. The text is for the log of parselog: parts of it are the provider's.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    /// The provider does not answer as it must: nobody can sign in now.
    #[error("the provider of sign-ins can't be used now: {0}")]
    Away(String),
    /// What the browser brought, or what the provider answered to it, proves nothing.
    #[error("a sign-in proved nothing: {0}")]
    Unproven(String),
    /// The provider says who it is, and the settings allow nothing.
    #[error("a sign-in has no access: {0}")]
    NoAccess(String),
}
