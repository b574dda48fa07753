//! `parselog worker`: work on the queue until SIGTERM.

use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::collect::CollectorOptions;
use super::exit::CliError;
use super::{Common, Exit, open};
use crate::config::{SpoolKeep, WorkerConfig, duration};
use crate::system::System;

/// Work on the queue until SIGTERM.
///
/// After SIGTERM or ^C, runs get the grace to finish; then, or at a second ^C, the worker hands them back to the
/// queue. At the start it closes, archives and records the logs that dead workers of this machine left behind.
#[derive(Debug, Args)]
pub(super) struct WorkerArgs {
    #[command(flatten)]
    pub(super) config: WorkerConfig,
    /// Stop once nothing is left to do: the queue is empty, and everything of dead workers is recovered.
    #[arg(long)]
    drain: bool,
    /// With --drain: how long to wait at a time for retries that are not due, and for runs of workers
    /// that may be dead. The worker names runs that take longer, and leaves them.
    #[arg(long, default_value = "1m", value_parser = duration, value_name = "TIME", requires = "drain")]
    drain_wait: Duration,
    /// Take records from other processes' log handlers too, as `parselog collect` does.
    #[arg(long, conflicts_with = "drain")]
    collect: bool,
    #[command(flatten)]
    pub(super) collector: CollectorOptions,
}

/// How long the worker asks at the start whether the bucket keeps versions: a dead store must not delay it.
const ASKED: Duration = Duration::from_secs(10);

impl WorkerArgs {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        let (stop, at_once) = (StopSignals::listen()?, StopSignals::listen()?);
        let slots = self.config.slots;
        let system = open::open_for(common, slots).await?;
        let kept = open::remote_tail(&system, common, self.config.remote_tail).await?;
        if self.config.spool_keep == SpoolKeep::Tail
            && (kept.is_none() || system.objects.part_sizes().is_none())
        {
            return Err(CliError::usage(
                "--spool-keep tail needs a bucket and a remote tail: set PARSELOG_BUCKET, and PARSELOG_REMOTE_TAIL to a time",
            ));
        }
        let holding = if self.collect { Some(self.collector.hold(common).await?) } else { None };
        let worker = open::worker(system, common, &[], self.config)?.with_remote_tail(kept);
        let worker = worker.with_drain(self.drain.then_some(self.drain_wait));
        tracing::info!(worker = worker.claimant().worker, slots, "worker started");
        let served = worker.serve_until(stop.nth(1), at_once.nth(2));
        let (served, ()) = tokio::join!(served, warn_of_versions(worker.system()));
        if let Some(holding) = holding {
            holding.stop().await?;
        }
        served?;
        tracing::info!("worker stopped");
        Ok(Exit::Ok)
    }
}

/// The signals that ask a worker to stop.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// From now on these signals do not end the process.
    fn listen() -> Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("failed to listen for ^C")?,
        })
    }

    /// Waits for the n-th of them, from 1. Two that come at the same moment may count as one.
    async fn nth(mut self, n: usize) {
        for _ in 0..n {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
            }
        }
    }
}

/// Warns if submitted objects have no versions.
async fn warn_of_versions(system: &System) {
    match tokio::time::timeout(ASKED, system.objects.versions(&system.bucket)).await {
        Ok(Ok(versions)) => {
            if let Some(warning) = versions.warning(&system.bucket) {
                tracing::warn!("{warning}");
            }
        }
        Ok(Err(error)) => tracing::warn!("failed to ask whether versions are kept: {error:#}"),
        Err(_) => tracing::warn!("the object store does not say in time whether versions are kept"),
    }
}
