//! Why somebody does not get what they asked for: the kinds that a caller tells apart, as exit codes or as
//! statuses of HTTP.

use crate::objects::ObjectError;
use crate::store;

/// The result of what people do.
pub type Result<T, E = DeskError> = std::result::Result<T, E>;

/// Why it was not done. The text of each is one line, and says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// It does not exist.
    #[error("{0}")]
    NotFound(String),
    /// Several fit, and which one is meant can't be told.
    #[error("{0}")]
    Ambiguous(String),
    /// What is asked for can't be, whatever the state of things.
    #[error("{0}")]
    Invalid(String),
    /// It is not in the state that this needs; it may be later.
    #[error("{0}")]
    Conflict(String),
    /// A legal hold forbids it.
    #[error("{0}")]
    OnHold(String),
    /// It existed, and was let go or lost.
    #[error("{0}")]
    Gone(String),
    /// The database or the object store does not do it now.
    #[error(transparent)]
    Unavailable(anyhow::Error),
    /// Anything else.
    #[error(transparent)]
    Other(anyhow::Error),
}

impl From<anyhow::Error> for DeskError {
    /// Keeps the kind of a failure that was one of these before, and finds it for the others.
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
