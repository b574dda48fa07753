//! The file that a person means by a name: as it was submitted, as it was printed, or nearly so. A name that means
//! several files is refused with a list of them, never guessed.

use std::fmt::Write as _;
use std::path::Path;

use super::{DeskError, Result};
use crate::ids::RunId;
use crate::objects::ObjectUri;
use crate::store::{DataFile, PgPool, data_file};

/// Most files that a text may mean: a message that names more helps nobody.
const MOST: i64 = 20;

/// Names to compare with one that nobody knows: the latest.
const COMPARED: i64 = 10_000;

/// Names to suggest, and how like they must be.
const SUGGESTED: usize = 3;
const LIKE: f64 = 0.85;

/// The newest submission of the file with this id, name, key or URI; `None` if there is none.
///
/// # Errors
/// Several files match.
pub(super) async fn exactly(pool: &PgPool, text: &str) -> Result<Option<DataFile>> {
    let found = data_file::matching(pool, text, MOST).await?;
    if !found.is_empty() {
        return one_file(found, text);
    }
    let (place, version) = match text.parse::<ObjectUri>() {
        Ok(ObjectUri::S3 { bucket, key, version }) => (format!("/{bucket}/{key}"), version),
        Ok(ObjectUri::File { path, version }) => (path, version),
        Err(_) => return Ok(None),
    };
    one_file(data_file::stored_at(pool, &place, version.as_deref(), MOST).await?, text)
}

/// The newest submission of the file with the last part of this path as its name, whatever the case.
///
/// # Errors
/// Several files match.
pub(super) async fn loosely(pool: &PgPool, text: &str) -> Result<Option<DataFile>> {
    let name = Path::new(text).file_name().and_then(|name| name.to_str()).unwrap_or(text);
    let as_written = data_file::matching(pool, name, MOST).await?;
    if !as_written.is_empty() && name != text {
        return one_file(as_written, text);
    }
    one_file(data_file::named_in_any_case(pool, name, MOST).await?, text)
}

/// The run whose archived log has this URI, by the id in its name.
pub(super) fn run_of_log(text: &str) -> Option<RunId> {
    let place = text.split('?').next().unwrap_or_default();
    let stem = place.rsplit_once('/')?.1.strip_suffix(".log.gz")?;
    stem.get(stem.len().checked_sub(36)?..)?.parse().ok()
}

/// ` (did you mean 'a.txt'?)` for a name that nobody knows, if there is one like it.
///
/// # Errors
/// The database fails.
pub(super) async fn suggestion(pool: &PgPool, text: &str) -> Result<String> {
    let name = Path::new(text).file_name().and_then(|name| name.to_str()).unwrap_or(text).to_lowercase();
    let known = data_file::latest_names(pool, COMPARED).await?;
    let like = |known: &String| strsim::jaro_winkler(&name, &known.to_lowercase());
    let mut near: Vec<(f64, String)> = known.into_iter().map(|known| (like(&known), known)).collect();
    near.retain(|(likeness, _)| *likeness >= LIKE);
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut text = String::new();
    for (nth, (_, known)) in near.iter().take(SUGGESTED).enumerate() {
        let before = if nth == 0 { " (did you mean " } else { " or " };
        // Writing to a string does not fail.
        let _ = write!(text, "{before}'{known}'");
    }
    Ok(if text.is_empty() { text } else { text + "?)" })
}

/// The only one of these files; an error if there are several.
fn one_file(found: Vec<DataFile>, text: &str) -> Result<Option<DataFile>> {
    if found.len() > 1 {
        let each = found.iter().map(|file| {
            format!(
                "{} ({} {} {} Q{}, {})",
                file.id, file.program, file.section, file.fiscal_year, file.fiscal_quarter, file.owner
            )
        });
        let more = if found.len() as i64 == MOST { " and others" } else { "" };
        return Err(DeskError::Ambiguous(format!(
            "'{text}' may be any of the data files {}{more}: give the id",
            each.collect::<Vec<_>>().join(", ")
        )));
    }
    Ok(found.into_iter().next())
}

#[cfg(test)]
mod tests {
    use super::run_of_log;

    #[test]
    fn the_uri_of_a_log_has_the_id_of_its_run() {
        let id = "01a1fd0e-adc4-7bdf-87e8-32e8b0a2289e";
        for uri in [
            format!("file:///home/objects/files/parsing_logs/parse-datafile-1-20261121T074240Z-{id}.log.gz"),
            format!(
                "s3://b/parsing_logs/parse-datafile-1-20261121T074240Z-reparse-4-{id}.log.gz?versionId=x/y"
            ),
        ] {
            assert_eq!(run_of_log(&uri).map(|run| run.to_string()).as_deref(), Some(id), "{uri}");
        }
        assert_eq!(run_of_log("s3://b/x.log.gz").or(run_of_log("a.txt")), None);
    }
}
