//! Finds the run that a person means: by id or part of it, by file, or by `@latest`, `@failed` and `@rejected`.

use super::{DeskError, Result, names};
use crate::ids::{BatchId, DataFileId, RunId};
use crate::parser::SummaryStatus;
use crate::reader::LogSource;
use crate::store::reparse::{self, Reparse};
use crate::store::{self, DataFile, LogState, PgPool, Run, RunFilter, RunStatus};
use crate::system::System;

/// Most runs that a text may mean: a message that names more helps nobody.
const MOST_RUNS: i64 = 10;

/// Finds the run that `text` names.
///
/// # Errors
/// None or several match.
pub async fn find_run(pool: &PgPool, text: &str) -> Result<Run> {
    let none = |what: &str| DeskError::NotFound(format!("{what}: `parselog runs` lists what there is"));
    let latest =
        async |filter: RunFilter, what: &str| store::latest(pool, &filter).await?.ok_or_else(|| none(what));
    let failed = vec![RunStatus::Fail, RunStatus::Crash, RunStatus::Terminate];
    if let Some((file, which @ ("latest" | "previous" | "failed" | "rejected"))) = text.rsplit_once('@') {
        let mut filter = RunFilter::default();
        if !file.is_empty() {
            filter.same_file_as = Some(find_file(pool, file).await?.id);
        }
        return match which {
            "failed" => latest(RunFilter { status: failed, ..filter }, "no run of it failed").await,
            "rejected" => {
                let verdict = vec![SummaryStatus::Rejected];
                latest(RunFilter { verdict, ..filter }, "no run of it was rejected").await
            }
            "latest" => latest(filter, "no runs yet").await,
            _ => previous(pool, &latest(filter, "no runs yet").await?).await,
        };
    }
    if let Ok(id) = text.parse::<RunId>() {
        return store::run::get(pool, id).await?.ok_or_else(|| none(&format!("run {id} not found")));
    }
    if let Some(id) = names::run_of_log(text) {
        return store::run::get(pool, id).await?.ok_or_else(|| none(&format!("run {id} not found")));
    }
    let of_file = async |file: DataFile| {
        let filter = RunFilter { data_file: Some(file.id), ..RunFilter::default() };
        latest(filter, &format!("data file {} was never parsed", file.id)).await
    };
    // A file's number or name takes precedence over a part of a run id: four digits may be both.
    if let Some(file) = names::exactly(pool, text).await? {
        return of_file(file).await;
    }
    match store::matching(pool, text, MOST_RUNS).await?.as_slice() {
        [] => match names::loosely(pool, text).await? {
            Some(file) => of_file(file).await,
            None => {
                let near = names::suggestion(pool, text).await?;
                Err(none(&format!("'{text}' names no run and no data file{near}")))
            }
        },
        [id] => store::run::get(pool, *id).await?.ok_or_else(|| none(&format!("run {id} not found"))),
        several => {
            let ids: Vec<String> = several.iter().map(ToString::to_string).collect();
            Err(DeskError::Ambiguous(format!(
                "'{text}' may be any of {}: give more of the id",
                ids.join(", ")
            )))
        }
    }
}

/// Finds the run whose log `text` asks for: as [`find_run`], but of a file whose latest run has no log yet, the latest
/// that has one, with the run that was passed over.
///
/// # Errors
/// As [`find_run`].
pub async fn find_run_with_log(pool: &PgPool, text: &str) -> Result<(Run, Option<Run>)> {
    let run = find_run(pool, text).await?;
    if run.log_state != LogState::None || text.parse::<RunId>().is_ok() {
        return Ok((run, None));
    }
    let log_state = LogState::ALL.iter().copied().filter(|state| *state != LogState::None).collect();
    let filter = RunFilter { same_file_as: Some(run.data_file_id), log_state, ..RunFilter::default() };
    Ok(match store::latest(pool, &filter).await? {
        Some(logged) => (logged, Some(run)),
        None => (run, None),
    })
}

/// Finds the reparse that `text` names: its id, or `@latest`.
///
/// # Errors
/// There is none.
pub async fn find_reparse(pool: &PgPool, text: &str) -> Result<Reparse> {
    let (found, missing) = match text.parse() {
        Ok(id) => (reparse::get(pool, BatchId(id)).await?, format!("reparse {id} not found")),
        Err(_) if text == "@latest" => (reparse::list(pool, 1).await?.pop(), "no reparses yet".to_owned()),
        Err(_) => {
            return Err(DeskError::Invalid(format!("'{text}' names no reparse: give its id, or @latest")));
        }
    };
    found.ok_or_else(|| DeskError::NotFound(format!("{missing}: see `parselog reparses`")))
}

/// Finds the run of the same file, in any submission of it, before this one.
///
/// # Errors
/// There is none.
pub async fn previous(pool: &PgPool, run: &Run) -> Result<Run> {
    let filter =
        RunFilter { same_file_as: Some(run.data_file_id), before: Some(run.id), ..RunFilter::default() };
    store::latest(pool, &filter).await?.ok_or_else(|| {
        let name = &run.name;
        DeskError::NotFound(format!(
            "run {} is the first of '{name}', so there is none before it: submit it again, or parse it \
             again with `parselog reparse {}`",
            run.id, run.data_file_id
        ))
    })
}

/// Finds another attempt at the job of this run, by its number.
///
/// # Errors
/// There is none.
pub async fn attempt(pool: &PgPool, run: &Run, number: i32) -> Result<Run> {
    let filter =
        RunFilter { batch: Some(run.batch_id), data_file: Some(run.data_file_id), ..RunFilter::default() };
    let mut attempts = store::find(pool, &filter).await?.into_iter();
    attempts.find(|run| run.attempt == number).ok_or_else(|| {
        DeskError::NotFound(format!("attempt {number} of the job of run {} not found", run.id))
    })
}

/// Finds the log of a run.
///
/// # Errors
/// The log is gone, or can't be read from here yet.
pub async fn log(system: &System, run: &Run) -> Result<LogSource> {
    LogSource::find(run, system).await.map_err(|error| match run.log_state {
        LogState::Pruned | LogState::Lost => DeskError::Gone(format!("{error:#}")),
        LogState::Archived => DeskError::Other(error),
        _ => DeskError::Conflict(format!("{error:#}")),
    })
}

/// Finds the data file that `text` names: by id, name, key, path or URI; of several submissions, the newest.
///
/// # Errors
/// None matches, or several files do.
pub async fn find_file(pool: &PgPool, text: &str) -> Result<DataFile> {
    if let Some(file) = names::exactly(pool, text).await? {
        return Ok(file);
    }
    if let Some(file) = names::loosely(pool, text).await? {
        return Ok(file);
    }
    let near = names::suggestion(pool, text).await?;
    Err(DeskError::NotFound(format!("'{text}' names no data file{near}")))
}

/// The runs of the file named `file`, in all its versions, the newest first; at most `limit`.
///
/// # Errors
/// No file has this name, or several have.
pub async fn history(pool: &PgPool, file: &str, limit: Option<i64>) -> Result<Vec<Run>> {
    history_of(pool, find_file(pool, file).await?.id, limit).await
}

/// As [`history`], of the file of this submission.
///
/// # Errors
/// The database fails.
pub async fn history_of(pool: &PgPool, file: DataFileId, limit: Option<i64>) -> Result<Vec<Run>> {
    let filter = RunFilter { same_file_as: Some(file), limit, ..RunFilter::default() };
    Ok(store::find(pool, &filter).await?)
}
