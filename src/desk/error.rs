//! The kinds of failure that a caller tells apart, as exit codes or as HTTP statuses.

use crate::objects::ObjectError;
use crate::store;

/// The result of a function of this room.
pub type Result<T, E = DeskError> = std::result::Result<T, E>;

/// A failure. Its text is one line and says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// It does not exist.
    #[error("{0}")]
    NotFound(String),
    /// Several match, so the request is ambiguous.
    #[error("{0}")]
    Ambiguous(String),
    /// The request is invalid, whatever the state of the system.
    #[error("{0}")]
    Invalid(String),
    /// It is in the wrong state for now.
    #[error("{0}")]
    Conflict(String),
    /// A legal hold forbids it.
    #[error("{0}")]
    OnHold(String),
    /// It existed, but was deleted or lost.
    #[error("{0}")]
    Gone(String),
    /// The database or the object store is not available now.
    #[error(transparent)]
    Unavailable(anyhow::Error),
    /// Anything else.
    #[error(transparent)]
    Other(anyhow::Error),
}

impl From<anyhow::Error> for DeskError {
    /// Keeps the kind of a failure that has one, and finds it for the others.
    fn from(error: anyhow::Error) -> Self {
        let error = match error.downcast::<Self>() {
            Ok(known) => return known,
            Err(error) => error,
        };
        let store_fails = error
            .chain()
            .any(|cause| matches!(cause.downcast_ref::<ObjectError>(), Some(ObjectError::Other(_))));
        if store_fails || store::passes(&error) { Self::Unavailable(error) } else { Self::Other(error) }
    }
}

impl From<ObjectError> for DeskError {
    fn from(error: ObjectError) -> Self {
        match error {
            ObjectError::NotFound { .. } => Self::NotFound(error.to_string()),
            ObjectError::Other(_) => Self::Unavailable(error.into()),
            other => Self::Other(other.into()),
        }
    }
}
