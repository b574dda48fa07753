//! A parse process: this program, started by a worker or by `parselog run` with its own command line, and at
//! the other end of a socket on stdin.

use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};

use super::records::Records;
use super::{CliError, Command, Common, Exit, open, run};
use crate::parse::{Wire, confine, serve};
use crate::parser::RecordSink;

/// Parses for the command that this process was started by, until that is gone.
pub(super) async fn run(command: Command, common: &Common) -> Result<Exit> {
    let socket = io::stdin().as_fd().try_clone_to_owned().context("failed to open the wire")?;
    let socket = UnixStream::from(socket);
    let (rule, records, config) = match command {
        Command::Run(run) if socket.peer_addr().is_ok() => (run.parser, run.records, run::config()),
        Command::Worker(worker) if socket.peer_addr().is_ok() => (None, None, worker.config),
        _ => return Err(CliError::usage("a parse process is started by a worker, and by nobody else")),
    };
    confine(common.process.run_memory.as_u64())?;
    // Whoever ends the worker may send these to all of its processes; the worker then says what to do.
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        drop(signal(kind).context("failed to listen for signals")?);
    }
    let tools = open::parse_tools(common, rule.as_slice(), &config).await?;
    let sink = || -> Result<Box<dyn RecordSink>> {
        let path = records.as_deref().context("nobody said where the records go")?;
        Ok(Box::new(Records::create(path)?))
    };
    serve(tools, &Wire::new(socket), sink).await?;
    Ok(Exit::Ok)
}
