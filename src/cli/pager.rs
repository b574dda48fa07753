//! The pager, where git would use one: `PARSELOG_PAGER`, else `PAGER`, else `less`; an empty one or `cat` is none.

use std::env;
use std::io::Write;
use std::process::{Child, Command, Stdio};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Leaves after one screen, shows colours, and leaves the text on the screen.
const LESS: &str = "FRX";

/// A running pager.
pub(super) struct Pager {
    child: Child,
    /// ^C is the pager's: it interrupts a search, and must not end us in front of it.
    _interrupts: Option<Signal>,
}

impl Pager {
    /// Starts it; `None` if nobody wants one, or it does not start.
    pub(super) fn start() -> Option<(Self, Box<dyn Write + Send>)> {
        let wanted = ["PARSELOG_PAGER", "PAGER"].into_iter().find_map(|name| env::var(name).ok());
        let wanted = wanted.unwrap_or_else(|| "less".to_owned());
        if matches!(wanted.trim(), "" | "cat") {
            return None;
        }
        let mut command = Command::new("sh");
        command.arg("-c").arg(&wanted).stdin(Stdio::piped());
        if env::var_os("LESS").is_none() {
            command.env("LESS", LESS);
        }
        let mut child = command.spawn().ok()?;
        let input = child.stdin.take()?;
        Some((Self { child, _interrupts: signal(SignalKind::interrupt()).ok() }, Box::new(input)))
    }

    /// Waits until the reader has left it. Its input must be closed.
    pub(super) fn wait(mut self) {
        let _ = self.child.wait();
    }
}
