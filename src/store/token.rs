//! `token`: who may send and read over HTTP. It holds hashes of secrets, and never a secret.

use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, PgExecutor};

use super::failure::DbContext as _;
use super::{Role, fit};

/// A row of `token`.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct Token {
    pub id: i64,
    pub name: String,
    pub role: Role,
    /// The streams that it may send to; empty: all of them.
    pub streams: Vec<String>,
    /// The programs whose runs it may see; empty: all of them.
    pub programs: Vec<String>,
    #[serde(skip)]
    pub secret_sha256: Vec<u8>,
    pub created_at: DateTime<Utc>,
    pub created_by: String,
    pub expires_at: Option<DateTime<Utc>>,
    /// To some seconds.
    pub last_used_at: Option<DateTime<Utc>>,
    pub revoked_at: Option<DateTime<Utc>>,
    pub revoked_by: Option<String>,
}

/// A token to create.
#[derive(Debug, Clone)]
pub struct NewToken<'a> {
    pub name: &'a str,
    pub role: Role,
    pub streams: &'a [String],
    pub programs: &'a [String],
    /// How long it works, if not until it is revoked.
    pub life: Option<Duration>,
    pub secret_sha256: [u8; 32],
    pub created_by: &'a str,
}

/// Creates a token, with its audit entry; `None` if one with this name is in use.
///
/// # Errors
/// The database fails.
pub async fn create(db: impl PgExecutor<'_>, token: &NewToken<'_>) -> Result<Option<i64>> {
    sqlx::query_scalar(
        "with created as (
             insert into token (name, role, streams, secret_sha256, created_by, programs, expires_at)
             values ($1, $2, $3, $4, $5, $6, now() + $7)
             on conflict do nothing returning *
         ), entry as (
             insert into log_entry (actor, entry, detail)
             select created_by, 'token-created', format('token %s (%s), role %s', id, name, role) from created
         )
         select id from created",
    )
    .bind(fit::label(token.name))
    .bind(token.role)
    .bind(token.streams)
    .bind(&token.secret_sha256[..])
    .bind(fit::label(token.created_by))
    .bind(token.programs)
    .bind(token.life)
    .fetch_optional(db)
    .await
    .context("failed to create a token")
}

/// Revokes the token that is in use under this name, with its audit entry; false if there is none.
///
/// # Errors
/// The database fails.
pub async fn revoke(db: impl PgExecutor<'_>, name: &str, actor: &str) -> Result<bool> {
    let revoked = sqlx::query(
        "with revoked as (
             update token set revoked_at = now(), revoked_by = $2 where name = $1 and revoked_at is null returning *
         )
         insert into log_entry (actor, entry, detail)
         select revoked_by, 'token-revoked', format('token %s (%s)', id, name) from revoked",
    )
    .bind(fit::label(name))
    .bind(fit::label(actor))
    .execute(db)
    .await
    .context("failed to revoke a token")?;
    Ok(revoked.rows_affected() > 0)
}

/// All tokens, the latest first.
///
/// # Errors
/// The database fails.
pub async fn list(db: impl PgExecutor<'_>) -> Result<Vec<Token>> {
    sqlx::query_as("select * from token order by id desc")
        .fetch_all(db)
        .await
        .context("failed to list tokens")
}

/// The tokens in use.
///
/// # Errors
/// The database fails.
pub async fn in_use(db: impl PgExecutor<'_>) -> Result<Vec<Token>> {
    sqlx::query_as(
        "select * from token where revoked_at is null and (expires_at > now() or expires_at is null)",
    )
    .fetch_all(db)
    .await
    .context("failed to read the tokens in use")
}

/// Notes that these tokens were used just now.
///
/// # Errors
/// The database fails.
pub async fn used(db: impl PgExecutor<'_>, ids: &[i64]) -> Result<()> {
    sqlx::query("update token set last_used_at = now() where id = any($1)")
        .bind(ids)
        .execute(db)
        .await
        .context("failed to note the use of tokens")?;
    Ok(())
}
