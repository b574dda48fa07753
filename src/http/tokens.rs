//! The tokens in use, as this server knows them: read again and again, so that no request waits for the database,
//! and records are taken while it is away.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use anyhow::Result;
use chrono::Utc;
use secrecy::SecretString;

use crate::desk::token::ShownToken;
use crate::store::{self, PgPool, Token};

/// The tokens in use. Cheap to clone.
#[derive(Clone)]
pub(super) struct Tokens {
    pool: PgPool,
    known: Arc<RwLock<HashMap<i64, Arc<Token>>>>,
    /// Those that were used since the last look.
    used: Arc<Mutex<HashSet<i64>>>,
}

impl Tokens {
    /// Reads them.
    ///
    /// # Errors
    /// The database fails.
    pub(super) async fn read(pool: &PgPool) -> Result<Self> {
        let tokens = Self { pool: pool.clone(), known: Arc::default(), used: Arc::default() };
        tokens.read_again().await?;
        Ok(tokens)
    }

    /// The token that somebody shows, if it is one and in use.
    pub(super) fn identify(&self, shown: &SecretString) -> Option<Arc<Token>> {
        let shown = ShownToken::read(shown)?;
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let token = known.get(&shown.id).filter(|token| shown.is(token) && is_in_time(token)).cloned()?;
        self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(token.id);
        Some(token)
    }

    /// Whether a token is still in use.
    pub(super) fn has(&self, token: &Token) -> bool {
        is_in_time(token) && self.known.read().unwrap_or_else(PoisonError::into_inner).contains_key(&token.id)
    }

    /// Reads them again, and notes which were used.
    ///
    /// # Errors
    /// The database fails.
    pub(super) async fn read_again(&self) -> Result<()> {
        let used = std::mem::take(&mut *self.used.lock().unwrap_or_else(PoisonError::into_inner));
        if !used.is_empty() {
            store::token::used(&self.pool, &used.into_iter().collect::<Vec<_>>()).await?;
        }
        let tokens = store::token::in_use(&self.pool).await?;
        let known = tokens.into_iter().map(|token| (token.id, Arc::new(token))).collect();
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
        Ok(())
    }
}

fn is_in_time(token: &Token) -> bool {
    token.expires_at.is_none_or(|end| end > Utc::now())
}
