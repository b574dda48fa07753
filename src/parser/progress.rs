//! Watches and stops a running parse.

use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// The progress of a parse; the progress bar reads it while the parse runs.
#[derive(Debug, Default)]
pub struct Progress {
    /// Bytes read of the submitted file.
    pub bytes: AtomicU64,
    /// Size of the submitted file in bytes.
    pub total_bytes: AtomicU64,
    /// Records seen.
    pub records: AtomicU64,
    /// Problems found.
    pub problems: AtomicU64,
}

/// A request to stop; the first reason given stands.
#[derive(Debug, Default)]
pub struct Cancel(AtomicU8);

/// Why a parse should stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub enum CancelReason {
    /// A person asked for it.
    Requested = 1,
    /// The worker is shutting down and hands the job back.
    Shutdown = 2,
    /// The run passed its deadline.
    TimedOut = 3,
    /// Another attempt has taken over; nothing that this run says counts.
    Fenced = 4,
    /// An external parser was silent for too long.
    Silent = 5,
}

impl Cancel {
    /// Asks the parse to stop. Only the first call has an effect.
    pub fn set(&self, reason: CancelReason) {
        let _ = self.0.compare_exchange(0, reason as u8, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// The reason to stop, if there is one.
    pub fn reason(&self) -> Option<CancelReason> {
        match self.0.load(Ordering::Relaxed) {
            1 => Some(CancelReason::Requested),
            2 => Some(CancelReason::Shutdown),
            3 => Some(CancelReason::TimedOut),
            4 => Some(CancelReason::Fenced),
            5 => Some(CancelReason::Silent),
            _ => None,
        }
    }

    /// Returns the error to leave with if the parse should stop.
    ///
    /// # Errors
    /// [`super::ParseError::Cancelled`] once a reason is set.
    pub fn check(&self) -> Result<(), super::ParseError> {
        self.reason().map_or(Ok(()), |reason| Err(super::ParseError::Cancelled(reason)))
    }
}

impl fmt::Display for CancelReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Requested => "cancel was requested",
            Self::Shutdown => "the worker is shutting down",
            Self::TimedOut => "the run passed its deadline",
            Self::Fenced => "the run was taken over by another attempt",
            Self::Silent => "the parser said nothing for longer than it may",
        })
    }
}
