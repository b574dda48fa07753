//! The problems of all runs as Parquet files in the bucket, which other programs read as one table.
//!
//! There is one file for each program, fiscal year, quarter and month, under a key of its own, and it is written as a
//! whole from what is counted. So nothing is put for a single run, nothing has to be put together later, and a file that
//! is lost or wrong is written anew. Whoever writes a file has its lease; what changes meanwhile makes it due again.

mod table;

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use tempfile::NamedTempFile;

use self::table::ProblemTable;
use crate::ids::{ProblemsKey, RunId};
use crate::objects::{Put, sha256_of};
use crate::store::problem_file::{self, ClaimedFile, ProblemFileId, WrittenFile};
use crate::store::problem_file_run as rows;
use crate::system::System;
use crate::{carry, faults};

/// How long a file stays somebody's who says nothing.
const LEASE: Duration = Duration::from_secs(60);

/// The pause after the first failure.
const PAUSE: Duration = Duration::from_secs(30);

/// How often to look whether somebody else has written a file.
const LOOK: Duration = Duration::from_millis(200);

/// How long to wait for somebody else who may be dead, and then for what may follow.
const PATIENCE: Duration = Duration::from_secs(3 * 60);

/// Why a file is not written by who began with it.
const TAKEN: &str = "another process took it over, and writes it";

/// Changes to note, and runs to read, in one statement.
const CHANGES: i32 = 10_000;
const PAGE: i64 = 2000;

/// Writes the files with the problems of all runs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ProblemFiles {
    system: System,
    age: Duration,
}

impl ProblemFiles {
    /// Writes into the system's bucket. What changed is due after `age`.
    pub fn new(system: &System, age: Duration) -> Self {
        Self { system: system.clone(), age }
    }

    /// Takes note of what changed.
    ///
    /// # Errors
    /// The database fails.
    pub async fn collect(&self) -> Result<()> {
        while problem_file::collect(&self.system.pool, None, self.age, CHANGES).await? >= CHANGES {}
        Ok(())
    }

    /// Takes note of what changed, and writes what is due; with `early`, everything that changed. `each` gets the number
    /// of files that are still to be written, after each file. Files that others write now are left to them. Returns how
    /// many were written.
    ///
    /// # Errors
    /// The first file that could not be written, which is due again later, or the database fails.
    pub async fn write_due(&self, early: bool, mut each: impl FnMut(u64)) -> Result<u64> {
        self.collect().await?;
        let pool = &self.system.pool;
        let began = problem_file::now(pool).await?;
        let mut files = 0;
        while let Some(claimed) = problem_file::claim(pool, began, early, LEASE).await? {
            self.write(&claimed).await?;
            files += 1;
            each(problem_file::count_changed(pool).await?.unsigned_abs());
        }
        Ok(files)
    }

    /// Returns once these files have nothing of the runs whose logs were let go.
    ///
    /// # Errors
    /// A file can't be written, or nobody else writes it in time; it is due.
    pub async fn write_without(&self, files: impl IntoIterator<Item = ProblemFileId>) -> Result<()> {
        let pool = &self.system.pool;
        for file in files {
            let began = Instant::now();
            while problem_file::collect(pool, Some(file), self.age, CHANGES).await? >= CHANGES {}
            while problem_file::is_stale(pool, file).await? {
                match problem_file::claim_one(pool, file, LEASE).await? {
                    Some(claimed) => {
                        self.write(&claimed).await?;
                        break;
                    }
                    None => {
                        ensure!(
                            began.elapsed() < PATIENCE,
                            "another process has not written the Parquet file of these problems yet: a worker does it"
                        );
                        tokio::time::sleep(LOOK).await;
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes a file, and keeps its lease meanwhile.
    async fn write(&self, claimed: &ClaimedFile) -> Result<()> {
        faults::point("problems-claimed");
        let done = tokio::select! {
            done = self.store(claimed) => done,
            lost = self.keep_lease(claimed) => Err(lost),
        };
        let Err(failure) = done else { return Ok(()) };
        let reason = self.system.redactor.redact(&format!("{failure:#}")).into_owned();
        problem_file::failed(&self.system.pool, claimed, &reason, PAUSE).await?;
        Err(failure.context("failed to write a Parquet file of problems"))
    }

    /// Prolongs the lease until it is lost.
    async fn keep_lease(&self, claimed: &ClaimedFile) -> anyhow::Error {
        loop {
            tokio::time::sleep(LEASE / 4).await;
            match problem_file::renew(&self.system.pool, claimed, LEASE).await {
                Ok(true) => {}
                Ok(false) => return anyhow!(TAKEN),
                // The lease goes on for a while.
                Err(error) => tracing::debug!("a claim is not prolonged: {error:#}"),
            }
        }
    }

    async fn store(&self, claimed: &ClaimedFile) -> Result<()> {
        let key = key_of(claimed)?;
        let (objects, bucket) = (&self.system.objects, &*self.system.bucket);
        let began = Instant::now();
        let (file, runs) = self.fill(claimed.id).await?;
        let (mut uri, mut bytes) = (None, 0);
        if runs == 0 {
            objects.delete_others(bucket, key.as_str(), None).await?;
        } else {
            let path = file.path().to_owned();
            let hash = carry::spawn_blocking(move || sha256_of(&path)).await?;
            let put = Put {
                content_type: "application/vnd.apache.parquet",
                metadata: Vec::new(),
                sha256: hash.context("failed to read the file")?,
                if_none_match: false,
            };
            ensure!(problem_file::renew(&self.system.pool, claimed, LEASE).await?, TAKEN);
            let stored = objects.put_file(bucket, key.as_str(), file.path(), &put).await?;
            faults::point("problems-stored");
            // What was let go is in them.
            objects.delete_others(bucket, key.as_str(), Some(&stored.uri)).await?;
            bytes = stored.size;
            uri = Some(objects.uri(bucket, key.as_str(), None)?.to_string());
        }
        if let Some(was) = claimed.uri.as_ref().filter(|was| uri.as_ref().is_some_and(|uri| uri != *was)) {
            tracing::warn!("{key} is in another bucket now; delete {was}, which nobody writes any more");
        }
        faults::point("problems-replaced");
        let written = WrittenFile { runs, bytes, took: began.elapsed() };
        let uri = uri.as_deref();
        let held = problem_file::written(&self.system.pool, claimed, uri, &written, self.age, LEASE).await?;
        ensure!(held, TAKEN);
        Ok(())
    }

    /// Writes the table into a scratch file; returns it, and how many runs are in it.
    async fn fill(&self, id: ProblemFileId) -> Result<(NamedTempFile, u64)> {
        let scratch = self.system.scratch.clone();
        let made = carry::spawn_blocking(move || {
            let file = make_scratch(&scratch).context("failed to make a file in the scratch folder")?;
            let table = ProblemTable::begin(file.as_file().try_clone()?)?;
            Ok::<_, anyhow::Error>((file, table))
        });
        let (file, mut table) = made.await??;
        let mut snapshot = rows::snapshot(&self.system.pool).await?;
        let (mut after, mut runs) = (None::<RunId>, 0);
        loop {
            let page = rows::page(&mut *snapshot, id, after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.run_id);
            runs += page.len() as u64;
            let kinds = rows::kinds(&mut *snapshot, &table.unknown_kinds(&page)).await?;
            table = carry::spawn_blocking(move || table.add(&page, kinds).map(|()| table)).await??;
        }
        snapshot.rollback().await.context("failed to end reading")?;
        carry::spawn_blocking(move || table.finish()).await??;
        Ok((file, runs))
    }
}

fn key_of(file: &ClaimedFile) -> Result<ProblemsKey> {
    let ClaimedFile { program, fiscal_year, fiscal_quarter, month, .. } = file;
    ProblemsKey::new(program, *fiscal_year, *fiscal_quarter, *month).with_context(|| {
        format!("no key can have the program {program:?} in {fiscal_year} Q{fiscal_quarter}")
    })
}

/// Makes a file which the next process removes if this one dies: its name ends so, and it is locked.
fn make_scratch(scratch: &Path) -> std::io::Result<NamedTempFile> {
    DirBuilder::new().recursive(true).mode(0o700).create(scratch)?;
    loop {
        let file = tempfile::Builder::new().prefix("problems-").suffix(".copy").tempfile_in(scratch)?;
        // Before it was locked, another process may have removed it as left behind.
        if file.as_file().try_lock().is_ok() && file.path().exists() {
            return Ok(file);
        }
    }
}
