//! Sessions of people who look at the pages: a link that works once opens one, or a sign-in at a provider.
//!
//! Link and session have a secret each, and the database knows their hashes alone: nobody who reads it can use them.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use super::token::{check_programs, new_secret};
use super::{DeskError, Result};
use crate::oidc::{SignInAttempt, SignedIn};
use crate::store::{self, NewLink, NewSession, PgPool, Role, WebSession};

/// How long a link waits for its use.
pub const LINK_LIFE: Duration = Duration::from_secs(10 * 60);

/// How long a session lasts.
pub const SESSION_LIFE: Duration = Duration::from_secs(12 * 3600);

/// A link to make.
#[derive(Debug, Clone)]
pub struct Invitation {
    /// Who will use it.
    pub name: String,
    /// What the session allows.
    pub role: Role,
    /// The programs whose runs it may see; empty: all of them.
    pub programs: Vec<String>,
    /// Who asks, for the audit log.
    pub by: String,
}

/// Makes a link: its secret, which works once and for [`LINK_LIFE`].
///
/// # Errors
/// The role is none of a person's, programs don't fit it, or the database fails.
pub async fn invite(pool: &PgPool, request: &Invitation) -> Result<SecretString> {
    let Invitation { name, role, programs, by } = request;
    if *role == Role::Ingest {
        return Err(DeskError::Invalid(
            "a session is for people: expected the role staff, operator or admin".to_owned(),
        ));
    }
    check_programs(*role, programs)?;
    let (secret, link_sha256) = new_secret();
    let link = NewLink { name, role: *role, programs, link_sha256, life: LINK_LIFE, created_by: by };
    store::session::create(pool, &link).await?;
    Ok(secret.into())
}

/// Uses a link, from somewhere that the audit log names: the session and its secret. `None` if the link is
/// unknown, used or over.
///
/// # Errors
/// The database fails.
pub async fn enter(
    pool: &PgPool,
    link: &SecretString,
    from: &str,
) -> Result<Option<(WebSession, SecretString)>> {
    let (secret, secret_sha256) = new_secret();
    let opened = store::session::open(pool, hash(link), secret_sha256, SESSION_LIFE, from).await?;
    Ok(opened.map(|session| (session, secret.into())))
}

/// Opens a session for somebody who signed in at a provider, once for each attempt. `None` if it was used before.
///
/// # Errors
/// The database fails.
pub async fn sign_in(
    pool: &PgPool,
    attempt: &SignInAttempt,
    person: &SignedIn,
    issuer: &str,
    from: &str,
) -> Result<Option<(WebSession, SecretString)>> {
    let (secret, secret_sha256) = new_secret();
    let session = NewSession {
        name: person.name.clone(),
        role: person.role,
        programs: person.programs.clone(),
        used_sha256: hash(attempt.secret()),
        secret_sha256,
        life: SESSION_LIFE,
        created_by: issuer.to_owned(),
    };
    let from = format!("signed in at {issuer} as {} {from}", person.subject);
    let opened = store::session::open_without_link(pool, &session, &from).await?;
    Ok(opened.map(|session| (session, secret.into())))
}

/// Revokes a session, or a link that was not used: within seconds no server takes it any more.
///
/// # Errors
/// None of this number is in use, or the database fails.
pub async fn revoke(pool: &PgPool, id: i64, by: &str) -> Result<()> {
    if store::session::revoke(pool, id, by).await? {
        return Ok(());
    }
    Err(DeskError::NotFound(format!("no session {id} is in use: see `parselog session list`")))
}

/// The hash by which a secret is known.
pub fn hash(secret: &SecretString) -> [u8; 32] {
    Sha256::digest(secret.expose_secret()).into()
}
