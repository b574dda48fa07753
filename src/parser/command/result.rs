//! The optional result file: a JSON object in the shape of an outcome, any part of it left out.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io::Read as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::Deserialize;

use super::super::{CaseTotals, Category, FirstError, Outcome, SummaryStatus};
use super::tally::Counted;
use crate::ids::RunId;

const LARGEST_RESULT: u64 = 1 << 20;

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
    created_by_type: BTreeMap<String, u64>,
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

    /// Removes what a process that died left of it.
    pub(super) fn remove_left_over(run: RunId) {
        // Mostly there is nothing, and a folder that stays holds counts and no data.
        let _ = fs::remove_dir_all(Self::folder_of(run));
    }

    fn folder_of(run: RunId) -> PathBuf {
        std::env::temp_dir().join(format!("parselog-result-{run}"))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads what the program wrote; nothing is fine. Errors hold no part of the file.
    pub(super) fn read(&self) -> anyhow::Result<Stated> {
        let Ok(found) = fs::symlink_metadata(&self.path) else { return Ok(Stated::default()) };
        if !found.is_file() || found.len() > LARGEST_RESULT {
            bail!("the parser's result is no ordinary file of at most {LARGEST_RESULT} bytes");
        }
        let mut bytes = Vec::new();
        File::open(&self.path)
            .and_then(|file| file.take(LARGEST_RESULT).read_to_end(&mut bytes))
            .context("failed to read the parser's result")?;
        serde_json::from_slice(&bytes).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            anyhow::anyhow!(
                "the parser's result is not the JSON of an outcome (line {line}, column {column})"
            )
        })
    }
}

impl Drop for ResultFile {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Stated {
    /// The outcome: what the program stated, and where it was silent what was counted in its log.
    pub(super) fn into_outcome(self, counted: Counted) -> Outcome {
        let errors = self.errors.unwrap_or(counted.errors);
        let created: u64 = self.created_by_type.values().sum();
        let records_created = self.records_created.unwrap_or(created);
        let clean = errors.values().all(|count| *count == 0);
        let derived = if clean { SummaryStatus::Accepted } else { SummaryStatus::AcceptedWithErrors };
        Outcome {
            summary: self.summary.unwrap_or(derived),
            records_in_file: self.records_in_file.unwrap_or(records_created),
            records_created,
            created_by_type: self.created_by_type,
            cases: self.cases,
            errors,
            deprecated_errors: self.deprecated_errors.unwrap_or(counted.deprecated_errors),
            errors_by_month: self.errors_by_month.unwrap_or(counted.errors_by_month),
            first_error: self.first_error.or(counted.first_error),
        }
    }
}
