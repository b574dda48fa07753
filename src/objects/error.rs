//! Errors about objects, told apart if callers act differently.

use std::fmt;

/// Each is one line, and none holds a secret, a request id or an unescaped control character.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// A retry will not help until somebody stores it.
    #[error("{missing} not found: {name}")]
    NotFound { missing: Missing, name: String },
    #[error("access to {name} denied: {reason}")]
    Denied { name: String, reason: String },
    /// Anything else: the store is down, slow or full, or its answer is impossible.
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

/// What exactly is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    Bucket,
    Key,
    Version,
    /// It has ended.
    Upload,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bucket => "bucket",
            Self::Key => "object",
            Self::Version => "object version",
            Self::Upload => "upload",
        })
    }
}
