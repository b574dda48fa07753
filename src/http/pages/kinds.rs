//! The problems of a run by kind, as its page and the viewer of its log show them. The viewer asks for them at
//! `/runs/{id}/log/problems`: they stand beside the lines, and each leads to the line of the first of its kind.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use bytesize::ByteSize;
use serde_json::json;
use url::form_urlencoded;

use super::super::asker::Asker;
use super::super::audit::{self, LogUse};
use super::super::error::{Answered, json_answer};
use super::super::state::{ServerState, Shared};
use super::run_of;
use crate::desk::answer::problems;
use crate::desk::words::{counted, place_in_record};
use crate::desk::{self, DeskError};
use crate::record::Safe;
use crate::report::ProblemGroup;
use crate::store::Run;

/// Kinds of problem to name.
pub(super) const NAMED: usize = 50;

/// The problems of a larger log (raw bytes) are counted only if somebody asks.
const AT_ONCE: i64 = 64 << 20;

/// `{"said":…,"mayAsk":…,"kinds":[{"count":…,"about":…,"text":…,"line":…},…]}`: what the kinds are together, or why there
/// are none, and whether they are there once somebody asks; the line is that of the log, from 1.
pub(super) async fn beside(
    State(state): State<Shared>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Answered<Response> {
    let run = run_of(&state, &asker, &id).await?;
    let asked = is_asked(query.as_deref());
    let answer = match groups(&state, &asker, &run, asked).await? {
        Ok(groups) => {
            let kind = |group: &ProblemGroup| {
                let about = format!("{}, {}", group.kind, place(group));
                json!({ "count": group.count, "about": about, "text": group.message(), "line": group.first_line })
            };
            let kinds: Vec<_> = groups.iter().take(NAMED).map(kind).collect();
            json!({ "said": in_short(&groups), "mayAsk": false, "kinds": kinds })
        }
        Err(error) => {
            let may_ask = run.status.is_final() && is_large(&run) && !asked;
            json!({ "said": Safe(&error.to_string()).to_string(), "mayAsk": may_ask, "kinds": [] })
        }
    };
    Ok(json_answer(StatusCode::OK, &answer))
}

/// Whether somebody asks for the problems of a run, however long its log is.
pub(super) fn is_asked(query: Option<&str>) -> bool {
    form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .any(|(name, value)| name == "problems" && value == "all")
}

/// Whether the problems of a run are counted only if somebody asks.
pub(super) fn is_large(run: &Run) -> bool {
    run.log_raw_bytes.is_some_and(|bytes| bytes > AT_ONCE)
}

/// The problems of a run that is over, or why they are not listed.
pub(super) async fn groups(
    state: &ServerState,
    asker: &Asker,
    run: &Run,
    asked: bool,
) -> Answered<desk::Result<Vec<ProblemGroup>>> {
    let later = |why: String| Ok(Err(DeskError::Conflict(why)));
    if !run.status.is_final() {
        return later("They are listed once the run is over.".to_owned());
    }
    if run.started_at.is_none() {
        return later("It was never parsed, so it has none.".to_owned());
    }
    let known = state.pages.problems(run.id);
    if known.is_none() && !asked && is_large(run) {
        let size = ByteSize(run.log_raw_bytes.map_or(0, i64::unsigned_abs));
        return later(format!("Its log has {size}, so they are counted only if you ask."));
    }
    audit::run_read(state, asker, run, LogUse::Shown, "its problems by kind", None).await?;
    if let Some(known) = known {
        return Ok(Ok(known.to_vec()));
    }
    let _turn = state.pages.turn().await?;
    let found = problems(&state.system, run).await;
    if let Ok(found) = &found {
        state.pages.keep_problems(run.id, Arc::new(found.clone()));
    }
    Ok(found)
}

/// `8 problems of 3 kinds, the most frequent first`.
pub(super) fn in_short(groups: &[ProblemGroup]) -> String {
    let all: u64 = groups.iter().map(|group| group.count).sum();
    let kinds = counted(groups.len() as u64, "kind");
    match all {
        0 => "no problem was found".to_owned(),
        _ => format!("{} of {kinds}, the most frequent first", counted(all, "problem")),
    }
}

/// What of a record a kind of problem is about.
pub(super) fn place(group: &ProblemGroup) -> String {
    let place = place_in_record([&group.record_type, &group.item, &group.field]);
    place.unwrap_or_else(|| "file".to_owned())
}
