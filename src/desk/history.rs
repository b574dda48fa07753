//! Every parse of a file over time.

use super::Result;
use super::lookup::find_file;
use crate::store::{self, PgPool, Run, RunFilter};

/// The runs of the file named `file`, in all its versions, the newest first; at most `limit`.
///
/// # Errors
/// No file has this name, or several have.
pub async fn history(pool: &PgPool, file: &str, limit: Option<i64>) -> Result<Vec<Run>> {
    let file = find_file(pool, file).await?;
    let filter = RunFilter { same_file_as: Some(file.id), limit, ..RunFilter::default() };
    Ok(store::find(pool, &filter).await?)
}
