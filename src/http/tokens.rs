//! The tokens in use, as this server knows them: read again and again, so that no request waits for the database,
//! and records are taken while it is away.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Result;
use secrecy::SecretString;

use crate::desk::token::ShownToken;
use crate::store::{self, PgPool, Token};

/// How often to read them again: a revoked token works for so long at most.
const INTERVAL: Duration = Duration::from_secs(2);

/// The tokens in use. Cheap to clone.
#[derive(Clone)]
pub(super) struct Tokens {
    pool: PgPool,
    known: Arc<RwLock<HashMap<i64, Arc<Token>>>>,
}

impl Tokens {
    /// Reads them.
    ///
    /// # Errors
    /// The database fails.
    pub(super) async fn read(pool: &PgPool) -> Result<Self> {
        let tokens = Self { pool: pool.clone(), known: Arc::default() };
        tokens.read_again().await?;
        Ok(tokens)
    }

    /// Reads them again and again.
    pub(super) async fn keep(&self) {
        let mut ticks = tokio::time::interval(INTERVAL);
        loop {
            ticks.tick().await;
            if let Err(error) = self.read_again().await {
                tracing::debug!("failed to read the tokens again: {error:#}");
            }
        }
    }

    /// The token that somebody shows, if it is one and in use.
    pub(super) fn identify(&self, shown: &SecretString) -> Option<Arc<Token>> {
        let shown = ShownToken::read(shown)?;
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(&shown.id).filter(|token| shown.is(token)).cloned()
    }

    /// Whether a token is still in use.
    pub(super) fn has(&self, token: &Token) -> bool {
        self.known.read().unwrap_or_else(PoisonError::into_inner).contains_key(&token.id)
    }

    async fn read_again(&self) -> Result<()> {
        let tokens = store::token::in_use(&self.pool).await?;
        let known = tokens.into_iter().map(|token| (token.id, Arc::new(token))).collect();
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
        Ok(())
    }
}
