//! What operators do: cancel, try again, parse files again, send a mail again. Each asks first on a page of its own,
//! which says what would happen; then the same function acts as for the command, which notes who asked.

use std::time::Duration;

use askama::Template;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use bytesize::ByteSize;
use chrono::Utc;

use super::super::asker::Asker;
use super::super::error::{Answered, HttpError};
use super::super::state::{ServerState, Shared};
use super::page::{Frame, Paged, go_to, send};
use super::parts::{Grid, PageCell, PageSection};
use super::{pairs, run_of, unnamed};
use crate::desk::submit::ATTEMPTS;
use crate::desk::words::counted;
use crate::desk::{RunOutcome, choose::RunChoice, reparse as desk};
use crate::notify::IN_DOUBT;
use crate::queue;
use crate::record::Safe;
use crate::store::reparse::{FileSelection, ReparseRequest, Selected};
use crate::store::{Run, notice};

/// How long a reparse may take, before it no longer blocks another.
const DEADLINE: Duration = Duration::from_secs(24 * 3600);

/// A page that asks.
#[derive(Debug, Default, Template)]
#[template(path = "confirm.html")]
pub(super) struct Question {
    pub(super) frame: Frame,
    /// What would happen, in sentences.
    pub(super) text: Vec<String>,
    pub(super) preview: Option<PageSection>,
    /// Fields to fill in, to see the preview: name, label, value.
    pub(super) choices: Vec<(&'static str, &'static str, String)>,
    /// Where the act is sent, and its fields.
    pub(super) action: String,
    pub(super) fields: Vec<(String, String)>,
    /// What the button says; empty if there is nothing to do yet.
    pub(super) act: &'static str,
    pub(super) asks_why: bool,
    pub(super) back: String,
}

pub(super) async fn ask_cancel(
    State(state): State<Shared>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
) -> Paged {
    let run = run_of(&state, &asker, &id).await?;
    if run.status.is_final() {
        return Err(ended(&run).into());
    }
    send(&Question {
        text: vec![
            "A queued run leaves the queue; a running one is stopped within seconds. Its log stays."
                .to_owned(),
        ],
        act: "Cancel it",
        ..Question::about(&asker, &run, "Cancel", "cancel")
    })
}

pub(super) async fn cancel(
    State(state): State<Shared>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
) -> Result<Response, super::page::PageError> {
    let run = run_of(&state, &asker, &id).await?;
    queue::cancel(&state.system.pool, run.id, asker.name()).await?;
    Ok(go_to(&format!("/runs/{}", run.id)))
}

pub(super) async fn ask_retry(
    State(state): State<Shared>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
) -> Paged {
    let run = to_retry(&state, &asker, &id).await?;
    send(&Question {
        text: vec![
            "Another attempt at the same bytes is queued at once. This run and its log stay.".to_owned(),
        ],
        act: "Try it again",
        ..Question::about(&asker, &run, "Try again", "retry")
    })
}

pub(super) async fn retry(
    State(state): State<Shared>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
) -> Result<Response, super::page::PageError> {
    let run = to_retry(&state, &asker, &id).await?;
    let retried = queue::retry(&state.system.pool, &[run.id], asker.name()).await?;
    let next = retried
        .first()
        .ok_or_else(|| HttpError::new(StatusCode::CONFLICT, "somebody tried it again already"))?;
    Ok(go_to(&format!("/runs/{}", next.run)))
}

pub(super) async fn ask_reparse(
    State(state): State<Shared>,
    Extension(asker): Extension<Asker>,
    RawQuery(query): RawQuery,
) -> Paged {
    let asked = pairs(query.unwrap_or_default().as_bytes());
    let value = |name: &str| asked.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let choices = [
        ("file", "File: number or name"),
        ("program", "Program"),
        ("section", "Section"),
        ("year", "Fiscal year"),
        ("quarter", "Quarter"),
        ("outcome", "Latest outcome"),
    ];
    let mut question = Question {
        frame: Frame::new(&asker, "Reparses", "Parse files again"),
        text: vec![
            "Each file is parsed again in exactly the submitted version, after all submissions.".to_owned(),
        ],
        choices: choices.map(|(name, label)| (name, label, value(name).unwrap_or_default())).into(),
        action: "/reparse".to_owned(),
        back: "/reparses".to_owned(),
        ..Question::default()
    };
    if !asked.is_empty() {
        let selection = selection(&state, &asker, &asked).await?;
        let selected = desk::preview(&state.system.pool, &selection).await?;
        question.preview = Some(preview(&selected));
        question.fields = asked;
        question.asks_why = true;
        question.act = "Parse them again";
    }
    send(&question)
}

pub(super) async fn reparse(
    State(state): State<Shared>,
    Extension(asker): Extension<Asker>,
    body: Bytes,
) -> Result<Response, super::page::PageError> {
    let mut asked = pairs(&body);
    let reason = asked.iter().position(|(name, _)| name == "why").map(|at| asked.remove(at).1);
    let selection = selection(&state, &asker, &asked).await?;
    let request = ReparseRequest {
        requested_by: asker.name().to_owned(),
        reason,
        priority: desk::PRIORITY,
        max_attempts: ATTEMPTS,
        deadline: Utc::now() + DEADLINE,
        force: false,
    };
    let (id, _) = desk::queue(&state.system.pool, &selection, &request).await?;
    Ok(go_to(&format!("/reparses/{id}")))
}

pub(super) async fn ask_resend(Extension(asker): Extension<Asker>, Path(id): Path<i64>) -> Paged {
    check_all(&asker)?;
    send(&Question {
        frame: Frame::new(&asker, "Attention", format_args!("Send mail {id} again")),
        text: vec![
            "The mail server may have taken it already: then its reader gets it twice. A mail that was sent is \
             not sent again."
                .to_owned(),
        ],
        action: format!("/notices/{id}/resend"),
        act: "Send it again",
        back: "/attention".to_owned(),
        ..Question::default()
    })
}

pub(super) async fn resend(
    State(state): State<Shared>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<i64>,
) -> Result<Response, super::page::PageError> {
    check_all(&asker)?;
    let settled = notice::settle(&state.system.pool, &[id], true, IN_DOUBT, asker.name()).await?;
    match settled {
        0 => {
            Err(HttpError::new(StatusCode::CONFLICT, format!("mail {id} is not one that can be sent again"))
                .into())
        }
        _ => Ok(go_to("/attention")),
    }
}

impl Question {
    fn about(asker: &Asker, run: &Run, title: &str, act: &str) -> Self {
        let here = format!("/runs/{}", run.id);
        Self {
            frame: Frame::new(asker, "Runs", format_args!("{title}: {}", run.name)),
            action: format!("{here}/{act}"),
            back: here,
            ..Self::default()
        }
    }
}

async fn to_retry(state: &ServerState, asker: &Asker, id: &str) -> Answered<Run> {
    let run = run_of(state, asker, id).await?;
    let choice = RunChoice { named: vec![run.id.to_string()], ..RunChoice::default() };
    let mut runs = choice.to_retry(&state.system.pool).await?;
    runs.pop().ok_or_else(|| ended(&run))
}

fn ended(run: &Run) -> HttpError {
    HttpError::new(StatusCode::CONFLICT, format!("run {} is {}", run.id, run.verdict()))
}

/// Mails are about runs of every program.
fn check_all(asker: &Asker) -> Answered<()> {
    match asker.programs().is_empty() {
        true => Ok(()),
        false => Err(HttpError::new(StatusCode::FORBIDDEN, "you see some programs alone")),
    }
}

/// The files that somebody asks for, of programs that the asker sees.
async fn selection(
    state: &ServerState,
    asker: &Asker,
    asked: &[(String, String)],
) -> Answered<FileSelection> {
    let (mut rest, mut files) = (FileSelection::default(), Vec::new());
    for (name, value) in asked {
        let number = || HttpError::bad(format!("{name}: '{}' is not a number", Safe(value)));
        match name.as_str() {
            "file" => files.push(value.clone()),
            "program" => rest.program = Some(value.to_lowercase()),
            "section" => rest.section = Some(value.to_lowercase()),
            "year" => rest.fiscal_year = Some(value.parse().map_err(|_| number())?),
            "quarter" => rest.fiscal_quarter = Some(value.parse().map_err(|_| number())?),
            "outcome" => {
                let outcome: RunOutcome = value.parse().map_err(HttpError::bad)?;
                rest.status.push(outcome.to_string());
            }
            _ => return Err(HttpError::bad(format!("unknown field '{}'", Safe(name)))),
        }
    }
    let none = "no file fits".to_owned();
    let selection = desk::selection(&state.system.pool, &files, rest).await;
    let selection = selection.map_err(|error| unnamed(asker, error, none.clone()))?;
    let selected = desk::preview(&state.system.pool, &selection).await?;
    match selected.iter().all(|row| asker.may_read(&row.program)) {
        true => Ok(selection),
        false => Err(HttpError::new(StatusCode::NOT_FOUND, none)),
    }
}

fn preview(selected: &[Selected]) -> PageSection {
    let mut grid =
        Grid::new("What would be parsed again", &["Program", "Section", "Period", ">Files", ">Size"]);
    for row in selected {
        grid.row([
            PageCell::text(&row.program),
            PageCell::text(&row.section),
            PageCell::text(format_args!("{} Q{}", row.fiscal_year, row.fiscal_quarter)),
            PageCell::count(Some(row.files)),
            PageCell::text(ByteSize(row.size_bytes.unsigned_abs())),
        ]);
    }
    let files = selected.iter().map(|row| row.files.unsigned_abs()).sum();
    let bytes = selected.iter().map(|row| row.size_bytes.unsigned_abs()).sum();
    let all = format!("{}, {}, would be parsed again.", counted(files, "file"), ByteSize(bytes));
    PageSection::new("preview", "Preview").say(all).list(grid, "")
}
