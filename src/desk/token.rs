//! Tokens: who may send and read over HTTP from other machines.
//!
//! A token is `parselog_<id>_<secret>`. Its owner gets it once; the database knows a hash of the secret alone.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use super::{DeskError, Result};
use crate::ids::ServiceName;
use crate::store::{self, NewToken, PgPool, Role, Token};

/// How a token begins, so that a scanner for secrets recognises it.
const PREFIX: &str = "parselog_";

/// A token to create.
#[derive(Debug, Clone)]
pub struct TokenRequest {
    /// What it is called; no two tokens in use have one name.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// The streams that it may send to; empty: all of them.
    pub streams: Vec<ServiceName>,
    /// The programs whose runs it may see; empty: all of them.
    pub programs: Vec<String>,
    /// How long it works, if not until it is revoked.
    pub life: Option<Duration>,
    /// Who asks, for the audit log.
    pub by: String,
}

/// A token that somebody shows: which one it claims to be, and the hash of its secret.
#[derive(Debug, Clone, Copy)]
pub struct ShownToken {
    /// The row that knows it.
    pub id: i64,
    secret_sha256: [u8; 32],
}

/// Creates a token. Nobody can show it a second time.
///
/// # Errors
/// One with this name is in use, its streams don't fit its role, or the database fails.
pub async fn create(pool: &PgPool, request: &TokenRequest) -> Result<SecretString> {
    let TokenRequest { name, role, streams, programs, life, by } = request;
    if *role != Role::Ingest && !streams.is_empty() {
        return Err(DeskError::Invalid(
            "only a token that sends records is for some streams alone".to_owned(),
        ));
    }
    check_programs(*role, programs)?;
    let streams: Vec<String> = streams.iter().map(ToString::to_string).collect();
    let (secret, secret_sha256) = new_secret();
    let token = NewToken {
        name,
        role: *role,
        streams: &streams,
        programs,
        life: *life,
        secret_sha256,
        created_by: by,
    };
    let id = store::token::create(pool, &token).await?;
    let id = id.ok_or_else(|| DeskError::Conflict(format!("a token named '{name}' is in use")))?;
    Ok(format!("{PREFIX}{id}_{secret}").into())
}

/// A secret that nobody can guess, of 244 random bits of the system, and the hash by which it is known.
pub(super) fn new_secret() -> (String, [u8; 32]) {
    let secret = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    let secret_sha256 = Sha256::digest(&secret).into();
    (secret, secret_sha256)
}

/// Refuses programs for whoever is no mere reader: acts go beyond one program.
///
/// # Errors
/// There are programs, and the role is another.
pub(super) fn check_programs(role: Role, programs: &[String]) -> Result<()> {
    match programs.is_empty() || role == Role::Staff {
        true => Ok(()),
        false => Err(DeskError::Invalid(format!("only staff see some programs alone, not the role {role}"))),
    }
}

/// Revokes a token: within seconds no server takes it any more.
///
/// # Errors
/// None of this name is in use, or the database fails.
pub async fn revoke(pool: &PgPool, name: &str, by: &str) -> Result<()> {
    if store::token::revoke(pool, name, by).await? {
        return Ok(());
    }
    Err(DeskError::NotFound(format!("no token named '{name}' is in use: see `parselog token list`")))
}

impl ShownToken {
    /// Reads what somebody shows; `None` if it is not a token.
    pub fn read(text: &SecretString) -> Option<Self> {
        let (id, secret) = text.expose_secret().strip_prefix(PREFIX)?.split_once('_')?;
        Some(Self { id: id.parse().ok()?, secret_sha256: Sha256::digest(secret).into() })
    }

    /// Whether it is this token. It takes as long, however much of it is right.
    pub fn is(&self, token: &Token) -> bool {
        self.id == token.id && self.secret_sha256[..].ct_eq(&token.secret_sha256).into()
    }
}
