//! Failures of the database: each states its reason once, and is either refused for good or passing.
//!
//! [`DbContext`] turns every error of a statement into one of these.

use std::borrow::Cow;
use std::fmt::Display;

/// The SQLSTATE of Postgres without free connections.
const TOO_MANY_CONNECTIONS: &str = "53300";

/// The SQLSTATE of a statement that waited for a lock for as long as it may.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// The SQLSTATE with which the database refuses a statement for good: a value, a rule of a table or the
/// statement itself is wrong, so a retry is useless. `None` for failures that pass by themselves: a lost
/// connection, a server that starts, stops or is full, a lock or a statement that took too long.
pub fn refusal(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(|cause| code_of_refusal(&cause.downcast_ref::<DbFailure>()?.error))
}

/// Whether somebody else held a lock for too long.
pub(super) fn is_locked_out(error: &anyhow::Error) -> bool {
    error.chain().find_map(|cause| cause.downcast_ref::<DbFailure>()).is_some_and(|failure| {
        matches!(&failure.error, sqlx::Error::Database(error) if error.code().as_deref() == Some(LOCK_NOT_AVAILABLE))
    })
}

/// Whether the failure passes by itself.
pub fn passes(error: &anyhow::Error) -> bool {
    error.chain().find_map(|cause| cause.downcast_ref::<DbFailure>()).is_some() && refusal(error).is_none()
}

/// A failed statement. sqlx's error is not its source: sqlx and the layers below repeat each other, and name
/// lines of Postgres' source.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {}", reason(.error))]
struct DbFailure {
    doing: String,
    error: sqlx::Error,
}

/// Puts the failed task before the single reason. anyhow's trait of this name would repeat the reason.
pub(crate) trait DbContext<T> {
    /// Names the failed task.
    fn context(self, doing: impl Display) -> anyhow::Result<T>;

    /// As [`DbContext::context`], with a text that is built only on failure.
    fn with_context<D: Display>(self, doing: impl FnOnce() -> D) -> anyhow::Result<T>;
}

impl<T> DbContext<T> for Result<T, sqlx::Error> {
    fn context(self, doing: impl Display) -> anyhow::Result<T> {
        self.with_context(|| doing)
    }

    fn with_context<D: Display>(self, doing: impl FnOnce() -> D) -> anyhow::Result<T> {
        self.map_err(|error| DbFailure { doing: doing().to_string(), error }.into())
    }
}

/// The reason, once, and what to do if that is known.
pub(super) fn reason(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) if error.code().as_deref() == Some(TOO_MANY_CONNECTIONS) => format!(
            "{}; lower PARSELOG_DATABASE_CONNECTIONS or --slots of its workers, or raise its max_connections",
            error.message()
        ),
        sqlx::Error::Database(error) => error.message().to_owned(),
        sqlx::Error::PoolTimedOut => {
            "all connections of this process were in use; raise PARSELOG_DATABASE_CONNECTIONS".to_owned()
        }
        error => innermost(error),
    }
}

/// The innermost reason: the outer ones only repeat its kind.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

fn code_of_refusal(error: &sqlx::Error) -> Option<String> {
    match error {
        sqlx::Error::Database(error) => {
            error.code().filter(|code| is_code_of_a_refusal(code)).map(Cow::into_owned)
        }
        // What the client can't write or read: the class of values that are wrong.
        sqlx::Error::Encode(_) | sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => {
            Some("22000".to_owned())
        }
        _ => None,
    }
}

/// By the class of the SQLSTATE: 0A not supported, 22 data, 23 constraints, 42 syntax and rights, 44 a
/// view's check, 54 limits of the server, P0 raised by a function.
fn is_code_of_a_refusal(code: &str) -> bool {
    ["0A", "22", "23", "42", "44", "54", "P0"].iter().any(|class| code.starts_with(class))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_stays_wrong_and_what_is_busy_passes() {
        for code in ["22021", "22P05", "22003", "23514", "42P01", "42501", "54000", "P0001"] {
            assert!(is_code_of_a_refusal(code), "{code}");
        }
        for code in ["08006", "25006", "40001", "40P01", "53300", "55P03", "57014", "57P01", "58030"] {
            assert!(!is_code_of_a_refusal(code), "{code}");
        }
        let failed = |error| Err::<(), sqlx::Error>(error).context("failed to end a run").unwrap_err();
        assert_eq!(refusal(&failed(sqlx::Error::PoolTimedOut)), None);
        let wrong = failed(sqlx::Error::Encode("x".into())).context("failed");
        assert_eq!(refusal(&wrong).as_deref(), Some("22000"));
        assert_eq!(format!("{wrong:#}"), "failed: failed to end a run: x");
    }
}
