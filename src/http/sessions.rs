//! The sessions in use, as this server knows them: read again and again beside the tokens, and asked for where one is
//! not known, since another server may have opened it a moment ago.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use anyhow::Result;
use chrono::Utc;
use secrecy::SecretString;

use crate::desk::session::hash;
use crate::store::{self, PgPool, WebSession};

/// The sessions in use. Cheap to clone.
#[derive(Clone)]
pub(super) struct Sessions {
    pool: PgPool,
    known: Arc<RwLock<KnownSessions>>,
    /// Those that were used since the last look.
    used: Arc<Mutex<HashSet<i64>>>,
}

/// Sessions by the hash of their secret.
type KnownSessions = HashMap<Vec<u8>, Arc<WebSession>>;

impl Sessions {
    /// None are known yet.
    pub(super) fn of(pool: &PgPool) -> Self {
        Self { pool: pool.clone(), known: Arc::default(), used: Arc::default() }
    }

    /// The session of a secret that somebody shows, if it is in use.
    ///
    /// # Errors
    /// The database fails, and the session is not known here.
    pub(super) async fn identify(&self, secret: &SecretString) -> Result<Option<Arc<WebSession>>> {
        let secret_sha256 = hash(secret);
        let known =
            self.known.read().unwrap_or_else(PoisonError::into_inner).get(&secret_sha256[..]).cloned();
        let session = match known {
            Some(session) => Some(session),
            None => {
                let found = store::session::in_use(&self.pool, Some(secret_sha256)).await?;
                found.into_iter().next().map(|session| self.add(session))
            }
        };
        let session = session.filter(|session| is_in_time(session));
        if let Some(session) = &session {
            self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(session.id);
        }
        Ok(session)
    }

    /// Whether a session is still in use.
    pub(super) fn has(&self, session: &WebSession) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        is_in_time(session) && session.secret_sha256.as_ref().is_some_and(|secret| known.contains_key(secret))
    }

    /// Adds one that was opened or found just now.
    pub(super) fn add(&self, session: WebSession) -> Arc<WebSession> {
        let session = Arc::new(session);
        if let Some(secret) = &session.secret_sha256 {
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            known.insert(secret.clone(), Arc::clone(&session));
        }
        session
    }

    /// Forgets one that was revoked just now.
    pub(super) fn forget(&self, session: &WebSession) {
        if let Some(secret) = &session.secret_sha256 {
            self.known.write().unwrap_or_else(PoisonError::into_inner).remove(secret);
        }
    }

    /// Reads them again, and notes which were used.
    ///
    /// # Errors
    /// The database fails.
    pub(super) async fn read_again(&self) -> Result<()> {
        let used = std::mem::take(&mut *self.used.lock().unwrap_or_else(PoisonError::into_inner));
        if !used.is_empty() {
            store::session::used(&self.pool, &used.into_iter().collect::<Vec<_>>()).await?;
        }
        let sessions = store::session::in_use(&self.pool, None).await?;
        let known = sessions
            .into_iter()
            .filter_map(|session| Some((session.secret_sha256.clone()?, Arc::new(session))));
        let known: KnownSessions = known.collect();
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
        Ok(())
    }
}

fn is_in_time(session: &WebSession) -> bool {
    session.expires_at.is_some_and(|end| end > Utc::now())
}
