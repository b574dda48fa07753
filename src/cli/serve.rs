//! `parselog serve`: HTTP until SIGTERM.

use anyhow::{Context, Result};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::{CliError, Common, Exit, open};
use crate::config::{HttpConfig, IntakeConfig, RedisConfig};
use crate::http::HttpServer;
use crate::intake::Streams;
use crate::publish::Publisher;

/// Take records over HTTP, and answer what was logged, until SIGTERM.
///
/// Takes JSON, the forms of Python's HTTPHandler, OpenTelemetry and Loki; docs/INTAKE.md has the lines of each
/// shipper's configuration. On a loopback address programs need no token; elsewhere everybody does: see
/// `parselog token`. People open the pages by a link of `parselog ui`, sign in at a provider of OpenID Connect, or come
/// through a proxy that says who they are.
/// After SIGTERM or ^C, requests get ten seconds to finish.
#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    http: HttpConfig,
    #[command(flatten)]
    intake: IntakeConfig,
    #[command(flatten)]
    redis: RedisConfig,
}

impl ServeArgs {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        let mut terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen for ^C")?;
        if let Some(why) = self.http.proxy.contradiction() {
            return Err(CliError::usage(format!("{why}: expected all three, or none")));
        }
        let sign_in = self.http.sign_in().map_err(CliError::usage)?;
        let server = HttpServer::listen(self.http, sign_in).await?;
        let system = open::open(common).await?;
        open::scratch(&system)?;
        let streams = Streams::open(&system, self.intake)?;
        let publisher = self.redis.redis_url.map(|url| Publisher::start(&url, &streams)).transpose()?;
        let address = server.address()?;
        tracing::info!(%address, "listening for HTTP");
        tracing::info!("the pages for people are there: `parselog ui` prints a link that signs in");
        let (stopped, mut served) = watch::channel(false);
        let stop = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        let serving = async {
            let result = server.serve(&system, &streams, stop).await;
            stopped.send_replace(true);
            result
        };
        let until_served = async {
            let _ = served.wait_for(|served| *served).await;
        };
        // The segments end once nobody stores any more.
        let (served, kept) = tokio::join!(serving, streams.keep(until_served));
        if let Some(publisher) = publisher {
            publisher.stop().await;
        }
        served.and(kept)?;
        tracing::info!("stopped");
        Ok(Exit::Ok)
    }
}
