//! Which run a person means: by id, by a piece of it, by file, or `@latest` and `@failed`.

use anyhow::Result;

use super::CliError;
use crate::ids::RunId;
use crate::store::{self, PgPool, Run, RunFilter, RunStatus};

/// What a command's help says about naming a run.
pub(super) const TARGET_HELP: &str =
    "Run id or a piece of it, data file id, file name or key (its latest run), @latest or @failed";

/// Finds the run that `text` names.
///
/// # Errors
/// None or several fit.
pub(super) async fn find_run(pool: &PgPool, text: &str) -> Result<Run> {
    let none = |what: &str| CliError::not_found(format!("{what}: `parselog runs` lists what there is"));
    let latest =
        async |filter: RunFilter, what: &str| store::latest(pool, &filter).await?.ok_or_else(|| none(what));
    match text {
        "@latest" => return latest(RunFilter::default(), "there is no run yet").await,
        "@failed" => {
            let status = vec![RunStatus::Fail, RunStatus::Crash, RunStatus::Terminate];
            return latest(RunFilter { status, ..RunFilter::default() }, "no run failed").await;
        }
        _ => {}
    }
    if let Ok(id) = text.parse::<RunId>() {
        return store::run::get(pool, id).await?.ok_or_else(|| none(&format!("there is no run {id}")));
    }
    // A file's number or name goes before a piece of a run id: four digits may be both.
    if let Some(file) = store::data_file::matching(pool, text).await?.first() {
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
