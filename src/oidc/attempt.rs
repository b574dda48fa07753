//! One sign-in of one browser: a secret that only this browser has, in a cookie. State, nonce and the verifier of
//! PKCE come from it, so that whoever sees one of them knows neither another nor the secret, and no server has to
//! remember anything between the two requests.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth2::{CsrfToken, PkceCodeChallenge, PkceCodeVerifier};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

/// Random bytes of the secret.
const BYTES: u32 = 32;

/// A sign-in of one browser.
#[derive(Debug, Clone)]
pub struct SignInAttempt {
    secret: SecretString,
}

impl SignInAttempt {
    /// A new one.
    #[expect(clippy::new_without_default, reason = "no two of them are alike")]
    pub fn new() -> Self {
        Self { secret: CsrfToken::new_random_len(BYTES).into_secret().into() }
    }

    /// That of a browser which brings this secret.
    pub fn of(secret: SecretString) -> Self {
        Self { secret }
    }

    /// What the browser alone may have.
    pub fn secret(&self) -> &SecretString {
        &self.secret
    }

    /// Whether an answer with this state is an answer to it.
    pub fn is_answered_by(&self, state: &str) -> bool {
        self.part("state") == state
    }

    /// The text that the provider gives back with its answer.
    pub(super) fn state(&self) -> CsrfToken {
        CsrfToken::new(self.part("state"))
    }

    /// The text that the provider signs.
    pub(super) fn nonce(&self) -> String {
        self.part("nonce")
    }

    /// What proves to the provider that whoever brings its code began the sign-in.
    pub(super) fn verifier(&self) -> PkceCodeVerifier {
        PkceCodeVerifier::new(self.part("verifier"))
    }

    /// What the provider knows of the verifier before.
    pub(super) fn challenge(&self) -> PkceCodeChallenge {
        PkceCodeChallenge::from_code_verifier_sha256(&self.verifier())
    }

    fn part(&self, name: &str) -> String {
        let digest =
            Sha256::new().chain_update(name).chain_update([0]).chain_update(self.secret.expose_secret());
        URL_SAFE_NO_PAD.encode(digest.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_an_attempt_differ_and_are_the_same_again_for_its_browser_alone() {
        let attempt = SignInAttempt::new();
        let again = SignInAttempt::of(attempt.secret().clone());
        let other = SignInAttempt::new();
        let (state, nonce, verifier) = (attempt.state(), attempt.nonce(), attempt.verifier());
        assert!(again.is_answered_by(state.secret()) && !other.is_answered_by(state.secret()));
        assert_eq!((again.nonce(), again.verifier().secret()), (nonce.clone(), verifier.secret()));
        let parts = [attempt.secret().expose_secret(), state.secret(), &nonce, verifier.secret()];
        for (index, part) in parts.iter().enumerate() {
            assert_eq!(part.len(), 43, "256 bits");
            assert!(!parts[..index].contains(part));
        }
        assert!(!attempt.is_answered_by("") && !attempt.is_answered_by(&nonce));
    }
}
