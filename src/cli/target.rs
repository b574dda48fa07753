//! Which run a person means: by id, by a piece of it, by file, or `@latest` and `@failed`.

use anyhow::Result;

use super::CliError;
use crate::ids::{BatchId, RunId};
use crate::store::reparse::{self, Reparse};
use crate::store::{self, DataFile, PgPool, Run, RunFilter, RunStatus};

/// What a command's help says about naming a run.
pub(super) const TARGET_HELP: &str = "Run id or a piece of it; data file id, file name or key (its latest run), also with @latest, \
     @previous or @failed behind it; or one of these alone";

/// Finds the run that `text` names.
///
/// # Errors
/// None or several fit.
pub(super) async fn find_run(pool: &PgPool, text: &str) -> Result<Run> {
    let none = |what: &str| CliError::not_found(format!("{what}: `parselog runs` lists what there is"));
    let latest =
        async |filter: RunFilter, what: &str| store::latest(pool, &filter).await?.ok_or_else(|| none(what));
    let failed = vec![RunStatus::Fail, RunStatus::Crash, RunStatus::Terminate];
    if let Some((file, which @ ("latest" | "previous" | "failed"))) = text.rsplit_once('@') {
        let mut filter = RunFilter::default();
        if !file.is_empty() {
            filter.same_file_as = Some(find_file(pool, file).await?.id);
        }
        return match which {
            "failed" => latest(RunFilter { status: failed, ..filter }, "no run of it failed").await,
            "latest" => latest(filter, "there is no run yet").await,
            _ => previous(pool, &latest(filter, "there is no run yet").await?).await,
        };
    }
    if let Ok(id) = text.parse::<RunId>() {
        return store::run::get(pool, id).await?.ok_or_else(|| none(&format!("there is no run {id}")));
    }
    // A file's number or name goes before a piece of a run id: four digits may be both.
    if let Some(file) = newest_of_one_owner(store::data_file::matching(pool, text).await?, text)? {
        let filter = RunFilter { data_file: Some(file.id), ..RunFilter::default() };
        return latest(filter, &format!("data file {} was never parsed", file.id)).await;
    }
    match store::matching(pool, text).await?.as_slice() {
        [] => Err(none(&format!("'{text}' names no run and no data file"))),
        [id] => store::run::get(pool, *id).await?.ok_or_else(|| none(&format!("there is no run {id}"))),
        several => {
            let ids: Vec<String> = several.iter().map(ToString::to_string).collect();
            Err(CliError::usage(format!("'{text}' may be any of {}: give more of the id", ids.join(", "))))
        }
    }
}

/// Finds the reparse that `text` names: its id, or `@latest`.
///
/// # Errors
/// There is none.
pub(super) async fn find_reparse(pool: &PgPool, text: &str) -> Result<Reparse> {
    let (found, missing) = match text.parse() {
        Ok(id) => (reparse::get(pool, BatchId(id)).await?, format!("there is no reparse {id}")),
        Err(_) if text == "@latest" => {
            (reparse::list(pool, 1).await?.pop(), "there is no reparse yet".to_owned())
        }
        Err(_) => return Err(CliError::usage(format!("'{text}' names no reparse: give its id, or @latest"))),
    };
    found.ok_or_else(|| CliError::not_found(format!("{missing}: see `parselog reparses`")))
}

/// Finds the run of the same file, in any submission of it, before this one.
///
/// # Errors
/// There is none.
pub(super) async fn previous(pool: &PgPool, run: &Run) -> Result<Run> {
    let filter =
        RunFilter { same_file_as: Some(run.data_file_id), before: Some(run.id), ..RunFilter::default() };
    store::latest(pool, &filter).await?.ok_or_else(|| {
        let name = &run.name;
        CliError::not_found(format!(
            "run {} is the first of '{name}', so there is none before it: submit it again, or parse it \
             once more with `parselog reparse {}`",
            run.id, run.data_file_id
        ))
    })
}

/// Finds the data file that `text` names: by id, name or key, the newest of several of one owner.
///
/// # Errors
/// None fits, or files of several owners do.
pub(super) async fn find_file(pool: &PgPool, text: &str) -> Result<DataFile> {
    newest_of_one_owner(store::data_file::matching(pool, text).await?, text)?
        .ok_or_else(|| CliError::not_found(format!("'{text}' names no data file")))
}

/// The first of these files, if any. One state's file is never taken for another's of the same name.
fn newest_of_one_owner(found: Vec<DataFile>, text: &str) -> Result<Option<DataFile>> {
    let Some(newest) = found.first() else { return Ok(None) };
    if found.iter().any(|file| file.owner != newest.owner) {
        let each = found.iter().map(|file| format!("{} ({})", file.id, file.owner));
        return Err(CliError::usage(format!(
            "'{text}' may be any of the data files {}: give the id",
            each.collect::<Vec<_>>().join(", ")
        )));
    }
    Ok(found.into_iter().next())
}
