//! `web_session`: people who look at the pages. A row begins as a link that works once; its use makes the session.
//! It holds hashes of secrets, and never a secret.

use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, PgExecutor};

use super::failure::DbContext as _;
use super::{Role, fit};

/// How long rows stay of links and sessions that are over.
const KEPT: Duration = Duration::from_secs(90 * 24 * 3600);

/// A row of `web_session`.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct WebSession {
    pub id: i64,
    /// Whose it is.
    pub name: String,
    pub role: Role,
    /// The programs whose runs it may see; empty: all of them.
    pub programs: Vec<String>,
    pub created_at: DateTime<Utc>,
    pub created_by: String,
    pub link_expires_at: DateTime<Utc>,
    /// When its link was used.
    pub opened_at: Option<DateTime<Utc>>,
    #[serde(skip)]
    pub secret_sha256: Option<Vec<u8>>,
    pub expires_at: Option<DateTime<Utc>>,
    /// To some seconds.
    pub last_used_at: Option<DateTime<Utc>>,
    pub revoked_at: Option<DateTime<Utc>>,
    pub revoked_by: Option<String>,
}

/// A link to create.
#[derive(Debug, Clone)]
pub struct NewLink<'a> {
    pub name: &'a str,
    pub role: Role,
    pub programs: &'a [String],
    pub link_sha256: [u8; 32],
    /// How long it waits for its use.
    pub life: Duration,
    pub created_by: &'a str,
}

/// Creates a link, with its audit entry.
///
/// # Errors
/// The database fails.
pub async fn create(db: impl PgExecutor<'_>, link: &NewLink<'_>) -> Result<i64> {
    sqlx::query_scalar(
        "with old as (
             delete from web_session where coalesce(expires_at, link_expires_at) < now() - $7
         ), created as (
             insert into web_session (name, role, programs, link_sha256, link_expires_at, created_by)
             values ($1, $2, $3, $4, now() + $5, $6) returning *
         ), entry as (
             insert into log_entry (actor, entry, detail)
             select created_by, 'link-created', format('session %s for %s, role %s', id, name, role) from created
         )
         select id from created",
    )
    .bind(fit::label(link.name))
    .bind(link.role)
    .bind(link.programs)
    .bind(&link.link_sha256[..])
    .bind(link.life)
    .bind(fit::label(link.created_by))
    .bind(KEPT)
    .fetch_one(db)
    .await
    .context("failed to create a link")
}

/// A session of somebody who signed in elsewhere.
#[derive(Debug, Clone)]
pub struct NewSession {
    pub name: String,
    pub role: Role,
    pub programs: Vec<String>,
    /// What was used up by it, in the place of a link.
    pub used_sha256: [u8; 32],
    pub secret_sha256: [u8; 32],
    /// How long it lasts.
    pub life: Duration,
    /// Who vouches for it.
    pub created_by: String,
}

/// Opens a session without a link, with an audit entry that says how and from where. `None` if what it uses up was
/// used before.
///
/// # Errors
/// The database fails.
pub async fn open_without_link(
    db: impl PgExecutor<'_>,
    session: &NewSession,
    from: &str,
) -> Result<Option<WebSession>> {
    sqlx::query_as(
        "with old as (
             delete from web_session where coalesce(expires_at, link_expires_at) < now() - $9
         ), opened as (
             insert into web_session (name, role, programs, link_sha256, link_expires_at, created_by,
                                      opened_at, last_used_at, secret_sha256, expires_at)
             values ($1, $2, $3, $4, now(), $5, now(), now(), $6, now() + $7)
             on conflict (link_sha256) do nothing returning *
         ), entry as (
             insert into log_entry (actor, entry, detail)
             select name, 'session-opened', format('session %s, role %s, %s', id, role, $8::text) from opened
         )
         select * from opened",
    )
    .bind(fit::label(&session.name))
    .bind(session.role)
    .bind(&session.programs)
    .bind(&session.used_sha256[..])
    .bind(fit::label(&session.created_by))
    .bind(&session.secret_sha256[..])
    .bind(session.life)
    .bind(fit::text(from))
    .bind(KEPT)
    .fetch_optional(db)
    .await
    .context("failed to open a session")
}

/// Uses a link: the session that it opens, with this secret and for so long, and an audit entry that says from
/// where. `None` if there is no such link, or it was used, revoked, or is over.
///
/// # Errors
/// The database fails.
pub async fn open(
    db: impl PgExecutor<'_>,
    link_sha256: [u8; 32],
    secret_sha256: [u8; 32],
    life: Duration,
    from: &str,
) -> Result<Option<WebSession>> {
    sqlx::query_as(
        "with opened as (
             update web_session set opened_at = now(), last_used_at = now(), secret_sha256 = $2, expires_at = now() + $3
             where link_sha256 = $1 and opened_at is null and revoked_at is null and link_expires_at > now()
             returning *
         ), entry as (
             insert into log_entry (actor, entry, detail)
             select name, 'session-opened', format('session %s, role %s, %s', id, role, $4::text) from opened
         )
         select * from opened",
    )
    .bind(&link_sha256[..])
    .bind(&secret_sha256[..])
    .bind(life)
    .bind(fit::text(from))
    .fetch_optional(db)
    .await
    .context("failed to open a session")
}

/// Revokes a session, or a link that was not used yet, with its audit entry; false if there is none in use.
///
/// # Errors
/// The database fails.
pub async fn revoke(db: impl PgExecutor<'_>, id: i64, actor: &str) -> Result<bool> {
    let revoked = sqlx::query(
        "with revoked as (
             update web_session set revoked_at = now(), revoked_by = $2
             where id = $1 and revoked_at is null and coalesce(expires_at, link_expires_at) > now() returning *
         )
         insert into log_entry (actor, entry, detail)
         select revoked_by, 'session-revoked', format('session %s of %s', id, name) from revoked",
    )
    .bind(id)
    .bind(fit::label(actor))
    .execute(db)
    .await
    .context("failed to revoke a session")?;
    Ok(revoked.rows_affected() > 0)
}

/// All sessions and links, the latest first.
///
/// # Errors
/// The database fails.
pub async fn list(db: impl PgExecutor<'_>) -> Result<Vec<WebSession>> {
    sqlx::query_as("select * from web_session order by id desc")
        .fetch_all(db)
        .await
        .context("failed to list sessions")
}

/// The sessions in use; with a hash only the one of this secret.
///
/// # Errors
/// The database fails.
pub async fn in_use(db: impl PgExecutor<'_>, secret_sha256: Option<[u8; 32]>) -> Result<Vec<WebSession>> {
    sqlx::query_as(
        "select * from web_session
         where revoked_at is null and expires_at > now() and ($1::bytea is null or secret_sha256 = $1)",
    )
    .bind(secret_sha256.map(Vec::from))
    .fetch_all(db)
    .await
    .context("failed to read the sessions in use")
}

/// Notes that these sessions were used just now.
///
/// # Errors
/// The database fails.
pub async fn used(db: impl PgExecutor<'_>, ids: &[i64]) -> Result<()> {
    sqlx::query("update web_session set last_used_at = now() where id = any($1)")
        .bind(ids)
        .execute(db)
        .await
        .context("failed to note the use of sessions")?;
    Ok(())
}
