//! A home with a database and a store, in which a bench runs the program.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use parselog::cluster::{Cluster, Keep};
use parselog::desk::submit;
use parselog::objects::{Objects, Put};
use parselog::store::{self, NewFile, PgPool, Request};
use parselog_benches::{Peak, program, root, watch, write_sample};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use crate::IN_PROCESS;
use crate::store::Store;

pub(crate) const SLOTS: usize = 4;
/// Bytes of an invented submission, and the shipped one.
const SUBMISSION: u64 = 100_000;
const SAMPLE: &str = "samples/tanf-active-2021-q1.txt";
/// The bucket in a folder.
const FOLDER_BUCKET: &str = "files";

/// An invented submission.
pub(crate) fn invented() -> Result<NamedTempFile> {
    let file = NamedTempFile::new()?;
    write_sample(file.path(), SUBMISSION)?;
    Ok(file)
}

/// The sample that the README parses.
pub(crate) fn shipped() -> Result<NamedTempFile> {
    let file = NamedTempFile::new()?;
    fs::copy(root().join(SAMPLE), file.path())?;
    Ok(file)
}

/// A home with a database and a store of objects.
pub(crate) struct Place {
    pub(crate) home: tempfile::TempDir,
    /// What is submitted.
    pub(crate) file: NamedTempFile,
    pub(crate) pool: PgPool,
    pub(crate) objects: Objects,
    pub(crate) store: Store,
    pub(crate) cluster: Cluster,
}

impl Place {
    pub(crate) async fn new(file: NamedTempFile, store: Store) -> Result<Self> {
        let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let cluster = Cluster::start(home.path(), &Keep { program: program(), idle: Duration::ZERO })?;
        let pool = store::connect(&cluster.url(), "bench").await?;
        store::migrate(&pool).await?;
        let objects = store.objects(home.path()).await?;
        Ok(Self { home, file, pool, objects, store, cluster })
    }

    pub(crate) fn bucket(&self) -> &str {
        self.store.bucket().unwrap_or(FOLDER_BUCKET)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(arguments).env_remove("DATABASE_URL").env("PARSELOG_HOME", self.home.path());
        self.store.tell(&mut command);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Runs per second of the last `many` runs, from the start of the first to the last archived log: how long a
    /// program takes to start and to end is no part of it.
    pub(crate) async fn pace(&self, many: usize) -> Result<f64> {
        let limit = Some(i64::try_from(many)?);
        let runs = store::find(&self.pool, &store::RunFilter { limit, ..Default::default() }).await?;
        let began = runs.iter().filter_map(|run| run.started_at).min().context("no run")?;
        let ended = runs.iter().filter_map(|run| run.log_archived_at).max().context("no archived log")?;
        Ok(many as f64 / (ended - began).as_seconds_f64())
    }

    /// Drains the queue with a worker that parses in its own process: a process as new as the other worker's, so
    /// that both pay alike for connections whose statements the database has not seen.
    pub(crate) fn worker_in_process(&self) -> Result<()> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(IN_PROCESS).env("PARSELOG_HOME", self.home.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        watch(&mut command.spawn()?)?;
        Ok(())
    }

    /// Runs a worker to its end; the peaks of its memory, and seconds.
    pub(crate) fn worker(&self, arguments: &[&str]) -> Result<(Peak, f64)> {
        let slots = SLOTS.to_string();
        let arguments = [&["worker", "--slots", &slots][..], arguments].concat();
        let began = Instant::now();
        let peak = watch(&mut self.command(&arguments).spawn()?)?;
        Ok((peak, began.elapsed().as_secs_f64()))
    }

    /// Queues so many runs, each of a file of its own, which is `stored` or only said to be.
    pub(crate) async fn submit(&self, many: usize, stored: bool) -> Result<()> {
        let file = &self.file;
        let bytes = fs::read(file.path())?;
        let sha256 = Sha256::digest(&bytes).into();
        let put = Put { content_type: "text/plain", metadata: Vec::new(), sha256, if_none_match: false };
        let (mut files, bucket) = (Vec::new(), self.bucket());
        for number in 0..many {
            let key = format!("{}/{number}.txt", uuid::Uuid::new_v4());
            let mut version_id = String::new();
            if stored {
                let stored = self.objects.put_file(bucket, &key, file.path(), &put).await?;
                version_id = stored.uri.version().unwrap_or_default().to_owned();
            }
            files.push(NewFile {
                bucket: bucket.to_owned(),
                key,
                version_id,
                // What `parselog submit` learns from the file it stores.
                size_bytes: Some(i64::try_from(bytes.len())?),
                sha256: Some(sha256),
                state: Some("55".to_owned()),
                name: format!("{number}.txt"),
                program: "tanf".to_owned(),
                section: "active".to_owned(),
                fiscal_year: 2021,
                fiscal_quarter: 1,
                ..NewFile::default()
            });
        }
        let request = Request {
            submitted_by: "bench".to_owned(),
            reason: None,
            priority: submit::PRIORITY,
            max_attempts: submit::ATTEMPTS,
            run_after: None,
            deadline: None,
        };
        store::submit(&self.pool, &files, &request).await?;
        Ok(())
    }
}
