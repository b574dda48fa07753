//! An ID token: what the provider signed, checked against its keys, and that it is meant for this sign-in.

use chrono::Utc;
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Map, Value};

/// The algorithms of a signature: those with a private key, which the provider alone has.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// How far the clocks of provider and server may be apart.
const LEEWAY: i64 = 60;

/// What a token must say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client: &'a str,
    pub(super) nonce: &'a str,
}

/// What is wrong with a token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TokenFault {
    /// None of these keys signed it: the provider may have a new one.
    UnknownKey,
    Wrong(String),
}

/// What a token claims.
pub(super) type TokenClaims = Map<String, Value>;

/// Checks a token.
///
/// # Errors
/// None of the keys signed it, it is not for this sign-in, or its time is over or has not come.
pub(super) fn verify(token: &str, keys: &JwkSet, expected: Expected<'_>) -> Result<TokenClaims, TokenFault> {
    let wrong = |error: jsonwebtoken::errors::Error| TokenFault::Wrong(format!("the ID token: {error}"));
    let header = decode_header(token).map_err(wrong)?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(TokenFault::Wrong(format!("the ID token is signed by {:?}", header.alg)));
    }
    let key = find(keys, header.kid.as_deref(), header.alg).ok_or(TokenFault::UnknownKey)?;
    let key = DecodingKey::from_jwk(key).map_err(wrong)?;
    let mut validation = Validation::new(header.alg);
    validation.leeway = LEEWAY.unsigned_abs();
    validation.validate_nbf = true;
    validation.set_audience(&[expected.client]);
    validation.set_issuer(&[expected.issuer]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    let claims = decode::<TokenClaims>(token, &key, &validation).map_err(wrong)?.claims;
    check(&claims, expected).map_err(|what| TokenFault::Wrong(format!("the ID token {what}")))?;
    Ok(claims)
}

/// The key that a token names, else the only one for its algorithm.
fn find<'k>(keys: &'k JwkSet, id: Option<&str>, algorithm: Algorithm) -> Option<&'k Jwk> {
    let fits = |key: &&Jwk| {
        let common = &key.common;
        common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature)
            && common.key_algorithm.is_none_or(|its| its.to_string() == format!("{algorithm:?}"))
            && DecodingKey::from_jwk(key).is_ok_and(|key| key.family().algorithms().contains(&algorithm))
            && id.is_none_or(|id| common.key_id.as_deref() == Some(id))
    };
    let mut found = keys.keys.iter().filter(fits);
    found.next().filter(|_| found.next().is_none())
}

/// What the library does not check: that it is for nobody else too, for this sign-in, and from no time to come.
fn check(claims: &TokenClaims, expected: Expected<'_>) -> Result<(), &'static str> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let is_client = |value: &Value| value.as_str() == Some(expected.client);
    let is_for_client = match claims.get("aud") {
        Some(Value::Array(all)) => matches!(all.as_slice(), [one] if is_client(one)),
        one => one.is_some_and(is_client),
    };
    if text("iss") != Some(expected.issuer) {
        return Err("is of another issuer");
    }
    if !is_for_client || !claims.get("azp").is_none_or(is_client) {
        return Err("is for others too");
    }
    if text("nonce") != Some(expected.nonce) {
        return Err("is not for this sign-in: it has another nonce");
    }
    if text("sub").is_none_or(str::is_empty) {
        return Err("names nobody");
    }
    match claims.get("iat").and_then(Value::as_f64) {
        Some(at) if at <= (Utc::now().timestamp() + LEEWAY) as f64 => Ok(()),
        Some(_) => Err("was issued in the future: are the clocks of this machine and of the provider right?"),
        None => Err("does not say when it was issued"),
    }
}
