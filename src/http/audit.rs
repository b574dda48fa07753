//! The audit entry of each reading of a log: who, how, which lines, and what for. It stands in `log_entry` before
//! the first byte is answered; if it can't be written, nothing is answered.

use axum::http::StatusCode;

use super::asker::Asker;
use super::error::{Answered, HttpError};
use super::state::ServerState;
use crate::desk::words::counted;
use crate::ids::ServiceName;
use crate::store::reparse::Reparse;
use crate::store::{Run, entry};

/// What is done with a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LogUse {
    Shown,
    Followed,
    Searched,
    Downloaded,
    Compared,
}

impl LogUse {
    /// The code in the audit log.
    fn code(self) -> &'static str {
        match self {
            Self::Shown => "log-read",
            Self::Followed => "log-followed",
            Self::Searched => "log-searched",
            Self::Downloaded => "log-downloaded",
            Self::Compared => "log-compared",
        }
    }
}

/// Checks that the asker may read the log of a run, and notes it: call it before the first byte of the log. `lines`
/// says which, such as `lines 1-400` or `all`; `purpose` is what the reader gives as the reason, if anything.
///
/// # Errors
/// The run is of a program that the asker does not see, or the entry can't be written: answer nothing then.
pub(super) async fn run_read(
    state: &ServerState,
    asker: &Asker,
    run: &Run,
    log_use: LogUse,
    lines: &str,
    purpose: Option<&str>,
) -> Answered<()> {
    if !asker.may_read(&run.program) {
        // As if it were not there: whoever may not see it learns nothing of it.
        return Err(HttpError::new(StatusCode::NOT_FOUND, format!("no run {} that you may read", run.id)));
    }
    let detail = said(asker, lines, purpose);
    let is_noted =
        entry::about_run(&state.system.pool, run.id, Some(asker.name()), log_use.code(), Some(&detail))
            .await?;
    match is_noted {
        true => Ok(()),
        false => Err(HttpError::new(StatusCode::NOT_FOUND, format!("no run {}", run.id))),
    }
}

/// As [`run_read`], for the stream of a service.
///
/// # Errors
/// The asker sees some programs alone, or the entry can't be written: answer nothing then.
pub(super) async fn stream_read(
    state: &ServerState,
    asker: &Asker,
    service: &ServiceName,
    log_use: LogUse,
    lines: &str,
    purpose: Option<&str>,
) -> Answered<()> {
    check_streams(asker)?;
    let detail = format!("the stream of {service}: {}", said(asker, lines, purpose));
    Ok(entry::about(&state.system.pool, asker.name(), log_use.code(), &detail).await?)
}

/// As [`run_read`], for the logs of all runs of a reparse and of those before them, which are compared at once.
///
/// # Errors
/// The entry can't be written: answer nothing then.
pub(super) async fn reparse_read(state: &ServerState, asker: &Asker, reparse: &Reparse) -> Answered<()> {
    let files = counted(reparse.files.unsigned_abs(), "file");
    let what = format!("the problems of {files} of reparse {}, before and after", reparse.id);
    let (code, detail) = (LogUse::Compared.code(), said(asker, &what, None));
    Ok(entry::about(&state.system.pool, asker.name(), code, &detail).await?)
}

/// Refuses the streams of services to whoever sees the runs of some programs alone.
///
/// # Errors
/// It does.
pub(super) fn check_streams(asker: &Asker) -> Answered<()> {
    match asker.may_read_streams() {
        true => Ok(()),
        false => Err(HttpError::new(
            StatusCode::FORBIDDEN,
            "the streams of services hold records of every program, and you see some programs alone",
        )),
    }
}

fn said(asker: &Asker, lines: &str, purpose: Option<&str>) -> String {
    let purpose = purpose.map(|purpose| format!("; purpose: {purpose}")).unwrap_or_default();
    format!("{lines}, {}{purpose}", asker.how())
}
