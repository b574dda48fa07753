//! The process of a receiver, as its holder starts it.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::message::ReceiverNews;
use crate::parse::{Received, Wire};

/// How long a new receiver may take to be ready.
const READY: Duration = Duration::from_secs(30);

/// How a holder starts a receiver.
#[derive(Debug, Clone)]
pub struct ReceiverPlan {
    /// The program; an upgrade starts the one that is there by then.
    pub program: PathBuf,
    /// Its command line. It finds the wire on stdin.
    pub arguments: Vec<OsString>,
}

/// A receiver that is ready to begin. It ends by itself once its holder is gone.
#[derive(Debug)]
pub(super) struct ReceiverProcess {
    child: Child,
    pub(super) wire: Arc<Wire>,
}

impl ReceiverPlan {
    /// Starts a receiver, and waits until it can begin at once.
    pub(super) fn start(&self) -> Result<ReceiverProcess> {
        let (ours, theirs) = UnixStream::pair().context("failed to make a wire")?;
        ours.set_read_timeout(Some(READY)).context("failed to set up a wire")?;
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(OwnedFd::from(theirs));
        let child = command.spawn().context("failed to start a receiver")?;
        // Our copy of its end: without it we learn that the receiver is gone.
        drop(command);
        let clock = ours.try_clone().context("failed to set up a wire")?;
        let receiver = ReceiverProcess { child, wire: Arc::new(Wire::new(ours)) };
        match receiver.wire.receive::<ReceiverNews>() {
            Ok(Some(Received { message: ReceiverNews::Ready, .. })) => {}
            _ => bail!("it ended before it was ready: {}", receiver.end(true)?),
        }
        clock.set_read_timeout(None).context("failed to set up a wire")?;
        Ok(receiver)
    }
}

impl ReceiverProcess {
    /// Waits until it has ended; kills it first, unless it was told to end by itself.
    pub(super) fn end(mut self, is_killed: bool) -> Result<ExitStatus> {
        if is_killed {
            // One that is gone can't be killed.
            let _ = self.child.kill();
        }
        self.child.wait().context("failed to learn how a receiver ended")
    }
}
