//! Why the database did not do what it was asked: refused for good, or gone for a while.

use std::borrow::Cow;

/// The SQLSTATE with which the database refuses a statement for good: a value, a rule of a table or the
/// statement itself is wrong, so asking again is of no use. `None` for all that passes by itself: a
/// connection that is gone, a server that starts, stops or is full, a lock or a statement that took
/// too long.
pub fn refusal(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(|cause| match cause.downcast_ref::<Complaint>() {
        Some(complaint) => complaint.refusal.clone(),
        None => cause.downcast_ref::<sqlx::Error>().and_then(code_of_refusal),
    })
}

/// What a SQL function complains of. It is made for people; the rest of such an error is its stack.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {message}")]
struct Complaint {
    doing: &'static str,
    message: String,
    refusal: Option<String>,
}

/// The error of a statement that calls a SQL function for `doing`, without the function's stack.
pub(super) fn of_function(error: sqlx::Error, doing: &'static str) -> anyhow::Error {
    let refusal = code_of_refusal(&error);
    match error {
        sqlx::Error::Database(error) => {
            Complaint { doing, message: error.message().to_owned(), refusal }.into()
        }
        error => anyhow::Error::new(error).context(doing),
    }
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
        let gone = anyhow::Error::new(sqlx::Error::PoolTimedOut).context("failed to end a run");
        assert_eq!(refusal(&gone), None);
        let wrong = anyhow::Error::new(sqlx::Error::Encode("x".into())).context("failed");
        assert_eq!(refusal(&wrong).as_deref(), Some("22000"));
    }
}
