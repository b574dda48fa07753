//! HTTP: the door for whatever logs over it, and the answers for whoever asks what was logged.
//!
//! `routes` is the one table of what is served, and to which role. `auth` finds out who asks (`asker`): by a token,
//! a session that a link (`door`) or a provider (`sign_in`) opened, or a proxy's word. `audit` notes each reading of a log. A body is received and
//! stored within bounds of size, time and memory (`receive`, `room`), and read by pure readers (`body`). Streams, their
//! files and their rules are `intake`'s.

mod api;
mod asker;
mod audit;
mod auth;
pub mod body;
mod connection;
mod cors;
mod door;
mod error;
mod following;
mod headers;
mod metrics;
mod pages;
mod proxy;
mod receive;
mod room;
mod route;
mod routes;
mod sessions;
mod sign_in;
mod site;
mod state;
mod tokens;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::sync::watch;

pub use self::door::ENTRY;
use self::proxy::Proxy;
pub use self::route::{HttpRoute, RouteKind};
pub use self::routes::routes;
use self::sessions::Sessions;
use self::site::Site;
use self::state::{Access, ServerState};
use self::tokens::Tokens;
use crate::config::{HttpConfig, OidcSettings};
use crate::intake::Streams;
use crate::oidc::IdProvider;
use crate::system::System;

/// How often to look which tokens and sessions are in use: a revoked one works for so long at most.
const LOOK: Duration = Duration::from_secs(2);

/// A server that listens.
pub struct HttpServer {
    listener: TcpListener,
    config: HttpConfig,
    sign_in: Option<OidcSettings>,
}

impl HttpServer {
    /// Listens at the configured address. People sign in at this provider, if there is one.
    ///
    /// # Errors
    /// The address is in use or not this machine's.
    pub async fn listen(config: HttpConfig, sign_in: Option<OidcSettings>) -> Result<Self> {
        let listener = TcpListener::bind(config.site.listen).await;
        let listener = listener.with_context(|| format!("failed to listen on {}", config.site.listen))?;
        Ok(Self { listener, config, sign_in })
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
    /// The tokens can't be read, or the way to the provider can't be prepared; nothing was answered.
    pub async fn serve(
        self,
        system: &System,
        streams: &Streams,
        stop: impl Future<Output = ()>,
    ) -> Result<()> {
        let address = self.address()?;
        let proxy = Proxy::new(&self.config.proxy);
        let origin = self.config.site.origin(address);
        let site = Site::new(origin, self.config.site.is_set(), address.port());
        let access = Access {
            // Behind a proxy everybody comes from this machine, and a site with https is behind one.
            is_local: address.ip().is_loopback()
                && !proxy.is_there()
                && !site.is_https()
                && self.sign_in.is_none(),
            tokens: Tokens::read(&system.pool).await?,
            sessions: Sessions::of(&system.pool),
            oidc: self.sign_in.map(|settings| provider(settings, &site)).transpose()?,
            site,
            proxy,
        };
        let kept = (access.tokens.clone(), access.sessions.clone());
        let (stopped, stopping) = watch::channel(false);
        let state = Arc::new(ServerState::new(
            system.clone(),
            streams.clone(),
            &self.config,
            access,
            stopping.clone(),
        ));
        let stop = async {
            tokio::select! {
                () = stop => {}
                () = keep(kept) => {}
                () = Box::pin(look(&state)) => {}
            }
            stopped.send_replace(true);
        };
        tokio::join!(connection::serve(self.listener, routes::router(&state), stopping), stop);
        Ok(())
    }
}

/// The provider, which sends people back to this site.
fn provider(settings: OidcSettings, site: &Site) -> Result<IdProvider> {
    let done = site.address(sign_in::DONE).context("nothing says where people open the pages: see --site")?;
    IdProvider::new(settings, done)
}

/// Says at once if nobody can sign in, and then waits for ever. The rest works all the same.
async fn look(state: &ServerState) {
    if let Some(provider) = &state.access.oidc
        && let Err(error) = provider.look().await
    {
        tracing::warn!("{error}");
    }
    std::future::pending::<()>().await;
}

/// Looks again and again which tokens and sessions are in use.
async fn keep((tokens, sessions): (Tokens, Sessions)) {
    let mut ticks = tokio::time::interval(LOOK);
    loop {
        ticks.tick().await;
        if let Err(error) = tokens.read_again().await {
            tracing::debug!("failed to read the tokens again: {error:#}");
        }
        if let Err(error) = sessions.read_again().await {
            tracing::debug!("failed to read the sessions again: {error:#}");
        }
    }
}
