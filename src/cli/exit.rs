//! How a command ends: its exit code, and the errors that have one of their own.

use crate::desk::DeskError;
use crate::worker::HelperDied;

/// How a command ends, for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Success; every submission was accepted, with or without errors.
    Ok = 0,
    /// Failure; one line on stderr says why.
    Failed = 1,
    /// The command line is wrong. clap uses the same number.
    Usage = 2,
    /// The parse worked, and a submission was rejected.
    Rejected = 3,
    /// The command names something that does not exist.
    NotFound = 4,
    /// A vital part of the worker died; the worker handed its runs back.
    HelperDied = 5,
    /// The parse worked, and its parser gave no verdict.
    NoVerdict = 6,
}

/// An error that ends the command with another code than [`Exit::Failed`].
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct CliError {
    exit: Exit,
    message: String,
}

impl CliError {
    pub(super) fn not_found(message: impl Into<String>) -> anyhow::Error {
        Self { exit: Exit::NotFound, message: message.into() }.into()
    }

    pub(super) fn usage(message: impl Into<String>) -> anyhow::Error {
        Self { exit: Exit::Usage, message: message.into() }.into()
    }
}

impl From<&DeskError> for Exit {
    fn from(error: &DeskError) -> Self {
        match error {
            DeskError::NotFound(_) => Self::NotFound,
            DeskError::Ambiguous(_) | DeskError::Invalid(_) | DeskError::OnHold(_) => Self::Usage,
            DeskError::Conflict(_) | DeskError::Gone(_) | DeskError::Unavailable(_) | DeskError::Other(_) => {
                Self::Failed
            }
        }
    }
}

impl Exit {
    /// The exit code of a command that failed.
    pub(super) fn of(error: &anyhow::Error) -> Self {
        match error.downcast_ref::<CliError>() {
            Some(error) => error.exit,
            None if let Some(error) = error.downcast_ref::<DeskError>() => Self::from(error),
            None if error.is::<HelperDied>() => Self::HelperDied,
            None => Self::Failed,
        }
    }
}
