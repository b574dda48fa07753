//! HTTP: the door for whatever logs over it, and the answers for whoever asks what was logged.
//!
//! `routes` is the one table of what is served. A body is received and stored within bounds of size, time and
//! memory (`receive`, `room`), and read by pure readers (`body`). Streams, their files and their rules are
//! `intake`'s.

mod api;
mod auth;
pub mod body;
mod connection;
mod cors;
mod error;
mod receive;
mod room;
mod routes;
mod state;
mod tokens;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::sync::watch;

pub use self::routes::{HttpRoute, routes};
use self::state::ServerState;
use self::tokens::Tokens;
use crate::config::HttpConfig;
use crate::intake::Streams;
use crate::system::System;

/// A server that listens.
pub struct HttpServer {
    listener: TcpListener,
    config: HttpConfig,
}

impl HttpServer {
    /// Listens at the configured address.
    ///
    /// # Errors
    /// The address is in use or not this machine's.
    pub async fn listen(config: HttpConfig) -> Result<Self> {
        let listener = TcpListener::bind(config.listen).await;
        let listener = listener.with_context(|| format!("failed to listen on {}", config.listen))?;
        Ok(Self { listener, config })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system does not say it.
    pub fn address(&self) -> Result<SocketAddr> {
        self.listener.local_addr().context("failed to see where HTTP listens")
    }

    /// Answers requests until `stop` resolves; requests in flight may go on for a while.
    ///
    /// # Errors
    /// The tokens can't be read; nothing was answered.
    pub async fn serve(
        self,
        system: &System,
        streams: &Streams,
        stop: impl Future<Output = ()>,
    ) -> Result<()> {
        let is_open = self.address()?.ip().is_loopback();
        let tokens = if is_open { None } else { Some(Tokens::read(&system.pool).await?) };
        let (stopped, stopping) = watch::channel(false);
        let kept = tokens.clone();
        let state = Arc::new(ServerState::new(
            system.clone(),
            streams.clone(),
            &self.config,
            tokens,
            stopping.clone(),
        ));
        let stop = async {
            tokio::select! {
                () = stop => {}
                () = keep(kept) => {}
            }
            stopped.send_replace(true);
        };
        tokio::join!(connection::serve(self.listener, routes::router(&state), stopping), stop);
        Ok(())
    }
}

async fn keep(tokens: Option<Tokens>) {
    match tokens {
        Some(tokens) => tokens.keep().await,
        None => std::future::pending().await,
    }
}
