//! How the whole system stands, and who would take a run that waits.

use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use anyhow::Context as _;
use chrono::{TimeDelta, Utc};
use serde::Serialize;

use super::Result;
use crate::carry;
use crate::queue::{REAPED_WITHIN, Takes};
use crate::store::health::{self, Stuck};
use crate::store::load::{self, Backlog, EndedRuns, Failing, KeptBack, RunningRun};
use crate::store::worker::{self, LiveWorker};
use crate::store::{PgPool, Run, RunStatus};
use crate::system::System;

/// Of what ended lately.
pub const LATELY: Duration = Duration::from_secs(3600);

/// Most reasons of failures to name.
const REASONS: i64 = 5;

/// A worker that has said nothing for so long may be gone, whatever its heartbeat.
const SILENT: TimeDelta = TimeDelta::seconds(15);

/// How the system stands.
#[derive(Debug, Serialize)]
pub struct SystemStatus {
    /// What is queued, by the kind of file.
    pub queue: Vec<QueuedKind>,
    pub workers: Vec<LiveWorker>,
    /// Seconds since any worker looked for runs; `None` if none did within a day.
    pub last_looked_seconds: Option<i64>,
    pub running: Vec<RunningRun>,
    /// Runs that should have ended.
    pub stuck: Vec<Stuck>,
    /// What ended in the last hour.
    pub ended: Vec<EndedRuns>,
    pub failing: Vec<Failing>,
    /// Logs that wait for the object store, and lost ones.
    pub kept_back: Vec<KeptBack>,
    /// This machine's spool.
    pub spool: SpoolLoad,
}

/// Queued runs of one kind of file, and whether a live worker has a parser for them.
#[derive(Debug, Serialize)]
pub struct QueuedKind {
    #[serde(flatten)]
    pub backlog: Backlog,
    pub is_taken: bool,
}

/// Logs in a spool, and their size.
#[derive(Debug, Default, Serialize)]
pub struct SpoolLoad {
    pub logs: usize,
    pub bytes: u64,
}

/// How the system stands now. A run counts as stuck once its lease is over and any worker would have ended it, or
/// `grace` after its deadline.
///
/// # Errors
/// The database fails, or the spool can't be read.
pub async fn status(system: &System, grace: Duration) -> Result<SystemStatus> {
    let pool = &system.pool;
    let workers = worker::live(pool).await?;
    let is_taken =
        |kind: &Backlog| workers.iter().any(|worker| takes(worker).has(&kind.program, &kind.section));
    let queue = load::backlog(pool).await?;
    let queue = queue.into_iter().map(|backlog| QueuedKind { is_taken: is_taken(&backlog), backlog });
    Ok(SystemStatus {
        queue: queue.collect(),
        last_looked_seconds: worker::last_looked(pool).await?.map(|ago| ago.num_seconds()),
        running: load::running(pool).await?,
        stuck: health::stuck(pool, REAPED_WITHIN.min(grace), grace).await?,
        ended: load::ended(pool, LATELY).await?,
        failing: load::failing(pool, LATELY, REASONS).await?,
        kept_back: load::kept_back(pool).await?,
        spool: spool_load(system).await?,
        workers,
    })
}

/// Why nobody will take a queued run soon, in words that say what to do; `None` if a worker will.
///
/// # Errors
/// The database fails.
pub async fn nobody_takes(pool: &PgPool, run: &Run) -> Result<Option<String>> {
    if run.status != RunStatus::Queued || run.run_after > Utc::now() {
        return Ok(None);
    }
    let workers = worker::live(pool).await?;
    if workers.is_empty() {
        return nobody_looks(pool).await;
    }
    let able = workers.iter().filter(|worker| takes(worker).has(&run.program, &run.section));
    let (slots, busy) =
        able.clone().fold((0, 0), |(slots, busy), worker| (slots + worker.slots, busy + worker.busy));
    Ok(match able.count() {
        0 => Some(format!(
            "no live worker has a parser for {}/{}: start one with --parser-for",
            run.program, run.section
        )),
        _ if busy >= slots => Some(format!("all {slots} slots of the live workers are busy")),
        _ => None,
    })
}

/// That no worker looks for runs, in words that say what to do; `None` if one did lately.
///
/// # Errors
/// The database fails.
pub async fn nobody_looks(pool: &PgPool) -> Result<Option<String>> {
    Ok(match worker::last_looked(pool).await? {
        Some(ago) if ago < SILENT => None,
        Some(ago) => {
            Some(format!("no worker has looked for {}: start one with `parselog worker`", words(ago)))
        }
        None => Some("no worker has looked yet: start one with `parselog worker`".to_owned()),
    })
}

/// The files that a worker has a parser for.
fn takes(worker: &LiveWorker) -> Takes {
    let kinds = worker.takes.iter().filter_map(|kind| kind.split_once('/'));
    Takes::of(kinds.map(|(program, section)| (program.to_owned(), section.to_owned())))
}

fn words(ago: TimeDelta) -> String {
    humantime::format_duration(Duration::from_secs(ago.num_seconds().unsigned_abs())).to_string()
}

async fn spool_load(system: &System) -> Result<SpoolLoad> {
    let spool = system.spool.clone();
    let listed = carry::spawn_blocking(move || spool.list()).await.context("reading the spool panicked")?;
    let logs = listed.context("failed to read the spool")?;
    // What a log gave back is not here.
    let size = |log: &crate::spool::SpooledLog| {
        std::fs::metadata(&log.path).map_or(0, |file| file.len().min(file.blocks() * 512))
    };
    Ok(SpoolLoad { logs: logs.len(), bytes: logs.iter().map(size).sum() })
}
