//! The optional result file: a JSON object in the shape of an outcome, in which any part may be missing.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io::Read as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::super::{CaseTotals, Category, FirstError, LARGEST_COUNT, Outcome, SummaryStatus};
use crate::ids::RunId;

const LARGEST_RESULT: u64 = 1 << 20;

/// What a result may state.
const KEYS: [&str; 9] = [
    "summary",
    "records_in_file",
    "records_created",
    "created_by_type",
    "cases",
    "errors",
    "deprecated_errors",
    "errors_by_month",
    "first_error",
];

/// A private folder for the program's result; gone when this is dropped.
pub(super) struct ResultFile {
    folder: PathBuf,
    path: PathBuf,
}

/// What the program said about its parse.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Stated {
    summary: Option<SummaryStatus>,
    records_in_file: Option<u64>,
    records_created: Option<u64>,
    created_by_type: Option<BTreeMap<String, u64>>,
    cases: CaseTotals,
    errors: Option<BTreeMap<Category, u64>>,
    deprecated_errors: Option<u64>,
    errors_by_month: Option<BTreeMap<String, BTreeMap<Category, u64>>>,
    first_error: Option<FirstError>,
}

impl ResultFile {
    pub(super) fn prepare(run: RunId) -> anyhow::Result<Self> {
        let folder = Self::folder_of(run);
        DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .with_context(|| format!("failed to make {}", folder.display()))?;
        let path = folder.join("result.json");
        Ok(Self { folder, path })
    }

    /// Removes what a dead process left of it.
    pub(super) fn remove_left_over(run: RunId) {
        // Mostly there is none, and a folder that stays holds counts, no data.
        let _ = fs::remove_dir_all(Self::folder_of(run));
    }

    fn folder_of(run: RunId) -> PathBuf {
        std::env::temp_dir().join(format!("parselog-result-{run}"))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file that the program wrote; it may be missing. Errors quote no part of it.
    pub(super) fn read(&self) -> anyhow::Result<Stated> {
        let Ok(found) = fs::symlink_metadata(&self.path) else { return Ok(Stated::default()) };
        if !found.is_file() || found.len() > LARGEST_RESULT {
            bail!("the parser's result is not a regular file of at most {LARGEST_RESULT} bytes");
        }
        let mut bytes = Vec::new();
        File::open(&self.path)
            .and_then(|file| file.take(LARGEST_RESULT).read_to_end(&mut bytes))
            .context("failed to read the parser's result")?;
        check_keys(&bytes)?;
        serde_json::from_slice(&bytes).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            anyhow::anyhow!(
                "the parser's result is not the JSON of an outcome (line {line}, column {column})"
            )
        })
    }
}

/// Refuses an unknown key, which may be misspelt.
fn check_keys(bytes: &[u8]) -> anyhow::Result<()> {
    let Ok(keys) = serde_json::from_slice::<BTreeMap<String, IgnoredAny>>(bytes) else { return Ok(()) };
    let Some(unknown) = keys.keys().find(|key| !KEYS.contains(&key.as_str())) else { return Ok(()) };
    let is_plain =
        unknown.len() <= 40 && unknown.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    let unknown = if is_plain { format!("'{unknown}'") } else { "that is not a name".to_owned() };
    bail!("the parser's result has an unknown key {unknown}: expected {}", KEYS.join(", "))
}

impl Drop for ResultFile {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Stated {
    /// The outcome: what the program stated, completed by the counts of its log. `by_exit` is the verdict of
    /// its exit code, if exit codes are verdicts.
    pub(super) fn into_outcome(self, counted: Outcome, by_exit: Option<SummaryStatus>) -> Outcome {
        let counts_records = self.records_in_file.is_some()
            || self.records_created.is_some()
            || self.created_by_type.is_some();
        let states_something = counts_records || self.errors.is_some();
        let errors = self.errors.unwrap_or(counted.errors);
        let by_type = self.created_by_type.unwrap_or_default();
        let created = by_type.values().fold(0, |total: u64, count| total.saturating_add(*count));
        let records_created = self.records_created.unwrap_or(created);
        let records_in_file = self.records_in_file.unwrap_or(records_created);
        if records_in_file.max(records_created).max(created) > LARGEST_COUNT {
            tracing::warn!(
                "the parser's result counts more than {LARGEST_COUNT} records: the row says so many"
            );
        }
        let has = |category: Category| errors.get(&category).is_some_and(|count| *count > 0);
        let derived = if has(Category::File) || by_exit == Some(SummaryStatus::Rejected) {
            SummaryStatus::Rejected
        } else if Category::ALL.into_iter().any(has) {
            SummaryStatus::AcceptedWithErrors
        } else if states_something {
            SummaryStatus::Accepted
        } else {
            by_exit.unwrap_or(SummaryStatus::NoVerdict)
        };
        Outcome {
            summary: self.summary.unwrap_or(derived),
            records_reported: counts_records,
            records_in_file,
            records_created,
            created_by_type: by_type,
            cases: self.cases,
            errors,
            deprecated_errors: self.deprecated_errors.unwrap_or(counted.deprecated_errors),
            errors_by_month: self.errors_by_month.unwrap_or(counted.errors_by_month),
            first_error: self.first_error.or(counted.first_error),
        }
    }
}
