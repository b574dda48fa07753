//! `parselog collect`: a port for other processes' log handlers, until SIGTERM; and its receiver.

use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::{env, iter};

use anyhow::{Context, Result};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::arguments::RECEIVER;
use super::{CliError, Command, Common, Exit, open};
use crate::carry::{self, Blocking};
use crate::collector::{Holder, ReceiverPlan, receive};
use crate::config::{CollectConfig, IntakeConfig};
use crate::parse::Wire;
use crate::spool::Spool;

/// Take records from other processes' log handlers over TCP, until SIGTERM.
///
/// Takes what Python's SocketHandler sends as it is, frames of JSON, and lines of JSON. Two kinds of processes share
/// the work: one holds the connections, and receivers store. So a kill of a receiver loses nothing, and SIGHUP replaces
/// it by the program as it is now, which no sender notices.
#[derive(Debug, Args)]
pub(super) struct CollectArgs {
    #[command(flatten)]
    options: CollectorOptions,
}

// The options of whatever collects; no comment of the documentation, which would be one of the help.
#[derive(Debug, Args)]
pub(super) struct CollectorOptions {
    #[command(flatten)]
    collect: CollectConfig,
    #[command(flatten)]
    intake: IntakeConfig,
}

/// A holder at work.
pub(super) struct Holding {
    holder: Arc<Holder>,
    running: Blocking<()>,
}

impl CollectArgs {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        let mut terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen for ^C")?;
        let mut hangup = signal(SignalKind::hangup()).context("failed to listen for SIGHUP")?;
        let holding = self.options.hold(common).await?;
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => {
                    let holder = Arc::clone(&holding.holder);
                    match carry::spawn_blocking(move || holder.upgrade()).await? {
                        Ok(()) => tracing::info!("the next receiver takes over"),
                        Err(error) => tracing::error!("the receiver is not replaced: {error:#}"),
                    }
                }
            }
        }
        holding.stop().await?;
        tracing::info!("stopped");
        Ok(Exit::Ok)
    }
}

impl CollectorOptions {
    /// Listens, and keeps a receiver at work.
    pub(super) async fn hold(self, common: &Common) -> Result<Holding> {
        let spool = Spool::open(&common.place.spool(), common.log.log_cap.as_u64())?;
        // The receiver is this program with this command line.
        let program = env::current_exe().context("failed to find this program")?;
        let arguments = iter::once(RECEIVER.into()).chain(env::args_os().skip(1)).collect();
        let plan = ReceiverPlan { program, arguments };
        let CollectConfig { listen, collect_socket, .. } = self.collect;
        let open = move || Holder::open(&spool, listen, collect_socket.as_deref(), plan);
        let holder = carry::spawn_blocking(open).await??;
        let holder = Arc::new(holder);
        tracing::info!(address = %holder.address()?, "listening for log handlers");
        let its = Arc::clone(&holder);
        let running = carry::spawn_blocking(move || its.run());
        Ok(Holding { holder, running })
    }

    async fn receive(self, wire: UnixStream, common: &Common) -> Result<Exit> {
        // Whoever ends the holder may send these to all of its processes; the holder then says what to do.
        for kind in [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()] {
            drop(signal(kind).context("failed to listen for signals")?);
        }
        let system = open::open(common).await?;
        let cap =
            usize::try_from(self.collect.frame_cap.as_u64()).context("the cap of a frame is too high")?;
        receive(system, self.intake, Wire::new(wire), cap).await?;
        Ok(Exit::Ok)
    }
}

impl Holding {
    /// Lets the receiver store what is there, and ends everything.
    pub(super) async fn stop(self) -> Result<()> {
        let holder = self.holder;
        carry::spawn_blocking(move || holder.stop()).await?;
        self.running.await.context("the holder panicked")
    }
}

/// Receives for the holder at the other end of the socket on stdin, until that is gone.
pub(super) async fn receive_for(command: Command, common: &Common) -> Result<Exit> {
    let socket = io::stdin().as_fd().try_clone_to_owned().context("failed to open the wire")?;
    let socket = UnixStream::from(socket);
    let options = match command {
        Command::Collect(collect) if socket.peer_addr().is_ok() => collect.options,
        Command::Worker(worker) if socket.peer_addr().is_ok() => worker.collector,
        _ => return Err(CliError::usage("a receiver is started by a collector, and by nobody else")),
    };
    options.receive(socket, common).await
}
