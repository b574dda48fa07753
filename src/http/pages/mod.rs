//! The pages that staff read with a browser: what the commands show, from the same functions of `desk`.
//!
//! Every page works without JavaScript; the scripts in `assets/` add what lives and scrolls. A page is made of
//! `parts`, which make every text from outside safe to look at, and is written by a template in `templates/`, which
//! escapes it for HTML. The table of routes below says who may see what.

mod acts;
mod assets;
mod attention;
mod diff;
mod download;
mod events;
mod file;
mod holds;
mod kinds;
mod lines;
mod log;
mod memory;
mod notes;
mod page;
mod parts;
mod problems;
mod query;
mod records;
mod reparses;
mod run;
mod runs;
mod streams;
mod watch;
mod watches;

use axum::http::StatusCode;
use axum::routing::{self, MethodRouter};
use url::form_urlencoded;

pub(super) use self::memory::PageMemory;
use super::asker::Asker;
use super::error::{Answered, HttpError};
use super::route::{HttpRoute, Row};
use super::state::{ServerState, Shared};
use crate::desk::{DeskError, lookup};
use crate::ids::DataFileId;
use crate::store::{DataFile, Role, Run, data_file};

/// The routes of the pages.
pub(super) fn table() -> Vec<Row> {
    type Answers = MethodRouter<Shared>;
    let get = |path, answer: Answers| (HttpRoute::page("GET", path, Some(Role::Staff)), answer);
    let admin = |path, answer: Answers| (HttpRoute::page("GET", path, Some(Role::Admin)), answer);
    let asks = |path, answer: Answers| (HttpRoute::page("GET", path, Some(Role::Operator)), answer);
    let acts = |path, answer: Answers| (HttpRoute::page("POST", path, Some(Role::Operator)), answer);
    vec![
        (HttpRoute::page("GET", "/assets/{name}", None), routing::get(assets::asset)),
        get("/", routing::get(runs::first)),
        get("/runs", routing::get(runs::list)),
        get("/runs/{id}", routing::get(run::show)),
        get("/runs/{id}/log", routing::get(log::show)),
        get("/runs/{id}/log/lines", routing::get(log::more)),
        get("/runs/{id}/log/lines/{number}", routing::get(log::line)),
        get("/runs/{id}/log/map", routing::get(log::map)),
        get("/runs/{id}/log/problems", routing::get(kinds::beside)),
        get("/runs/{id}/log/events", routing::get(events::follow)),
        get("/runs/{id}/log/download", routing::get(download::log)),
        get("/runs/{id}/report", routing::get(download::report)),
        get("/runs/{id}/diff", routing::get(diff::show)),
        get("/files/{id}", routing::get(file::show)),
        get("/reparses", routing::get(reparses::list)),
        get("/reparses/{id}", routing::get(reparses::show)),
        get("/problems", routing::get(problems::list)),
        get("/streams", routing::get(streams::list)),
        get("/streams/{service}", routing::get(streams::show)),
        get("/streams/{service}/records", routing::get(records::more)),
        get("/streams/{service}/records/{place}", routing::get(records::whole)),
        get("/streams/{service}/events", routing::get(records::follow)),
        get("/attention", routing::get(attention::show)),
        admin("/audit", routing::get(notes::show)),
        asks("/runs/{id}/cancel", routing::get(acts::ask_cancel)),
        acts("/runs/{id}/cancel", routing::post(acts::cancel)),
        asks("/runs/{id}/retry", routing::get(acts::ask_retry)),
        acts("/runs/{id}/retry", routing::post(acts::retry)),
        asks("/reparse", routing::get(acts::ask_reparse)),
        acts("/reparse", routing::post(acts::reparse)),
        asks("/files/{id}/hold", routing::get(holds::ask)),
        acts("/files/{id}/hold", routing::post(holds::change)),
        asks("/notices/{id}/resend", routing::get(acts::ask_resend)),
        acts("/notices/{id}/resend", routing::post(acts::resend)),
    ]
}

/// The fields of a form, or of the query of an address, that are filled in.
fn pairs(form: &[u8]) -> Vec<(String, String)> {
    let filled = form_urlencoded::parse(form).filter(|(_, value)| !value.trim().is_empty());
    filled.map(|(name, value)| (name.into_owned(), value.trim().to_owned())).collect()
}

/// The run that an address names, if the asker may see it.
async fn run_of(state: &ServerState, asker: &Asker, text: &str) -> Answered<Run> {
    let none = || format!("'{text}' names no run and no data file");
    let found = lookup::find_run(&state.system.pool, text).await;
    let run = found.map_err(|error| unnamed(asker, error, none()))?;
    match asker.may_read(&run.program) {
        true => Ok(run),
        // As if it were not there: whoever may not see it learns nothing of it.
        false => Err(HttpError::new(StatusCode::NOT_FOUND, none())),
    }
}

/// Why nothing was found, for the asker. The reason may name what is near, of any program: whoever sees some programs
/// alone is only told that there is `none`.
fn unnamed(asker: &Asker, error: DeskError, none: String) -> HttpError {
    match error {
        DeskError::NotFound(_) | DeskError::Ambiguous(_) if !asker.programs().is_empty() => {
            HttpError::new(StatusCode::NOT_FOUND, none)
        }
        error => error.into(),
    }
}

/// The file that an address names by its number, if the asker may see it.
async fn file_of(state: &ServerState, asker: &Asker, text: &str) -> Answered<DataFile> {
    let none = || HttpError::new(StatusCode::NOT_FOUND, format!("there is no data file '{text}'"));
    let id = text.parse().map_err(|_| none())?;
    let file = data_file::get(&state.system.pool, DataFileId(id)).await?;
    file.filter(|file| asker.may_read(&file.program)).ok_or_else(none)
}
