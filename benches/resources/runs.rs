//! How fast a worker drains its queue, and the queue alone.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use parselog::carry;
use parselog::cluster::{Cluster, Keep};
use parselog::config::{GlobalFormat, WorkerConfig};
use parselog::objects::{FolderStore, Objects};
use parselog::parse::{Parsers, prepare_scratch};
use parselog::parser::{CommandOptions, Outcome};
use parselog::queue::{self, Claimant, Ending, Takes};
use parselog::redact::Redactor;
use parselog::spool::Spool;
use parselog::store::{self, Limits, PgPool};
use parselog::system::System;
use parselog::telemetry;
use parselog::worker::Worker;
use parselog_benches::{parse_sample, processor_time, program};
use tempfile::NamedTempFile;

use crate::place::{Place, SLOTS};
use crate::store::Store;

/// Pairs of drains, in the worker's own process and in processes of their own.
const ROUNDS: usize = 4;

/// So many runs wait; the queue alone is drained, waiting for the disk and not, then as many whole runs, in
/// the worker's own process and in others.
pub(crate) async fn runs(many: usize, file: NamedTempFile) -> Result<()> {
    let place = Place::new(file, Store::usual()).await?;
    let outcome = parse_sample(place.file.path())?;
    for sync in ["on", "off"] {
        place.submit(many, false).await?;
        let url = format!("{}&options[synchronous_commit]={sync}", place.cluster.url());
        let pool = store::connect(&url, "bench").await?;
        let began = Instant::now();
        drain_queue(&pool, &outcome).await?;
        let seconds = began.elapsed().as_secs_f64();
        let pace = many as f64 / seconds;
        println!(
            "queue      {many} runs claimed, beaten for once and ended with an outcome in {seconds:.1} s: {pace:.0}/s, sync {sync}"
        );
    }

    // In turns, since the machine may grow slower or faster meanwhile.
    for round in 1..=ROUNDS {
        place.submit(many, true).await?;
        let began = processor_time("self").unwrap_or_default();
        place.worker_in_process()?;
        let here = place.pace(many).await?;
        let took_here = processor_time("self").unwrap_or_default() - began;
        place.submit(many, true).await?;
        let began = processor_time("self").unwrap_or_default();
        let (peak, _) = place.worker(&["--drain"])?;
        let apart = place.pace(many).await?;
        let took_apart = processor_time("self").unwrap_or_default() - began;
        let lost = 100.0 * (1.0 - apart / here);
        let each = |took: Duration| took.as_secs_f64() * 1000.0 / many as f64;
        println!(
            "worker     round {round}: {many} runs, logs archived: {here:.0}/s in the worker's own process, {apart:.0}/s in processes of their own, {lost:.1} % less"
        );
        println!(
            "           processor time of a run {:.2} and {:.2} ms, without the database's",
            each(took_here),
            each(took_apart)
        );
        println!(
            "           peak memory of the worker {} MB, of a parse process {} MB, {SLOTS} slots",
            peak.worker, peak.parse_process
        );
    }
    let runs = store::find(&place.pool, &store::RunFilter::default()).await?;
    let archived = runs.iter().filter(|run| run.logs_uri.is_some()).count();
    ensure!(archived == 2 * ROUNDS * many, "only {archived} logs are archived");
    Ok(())
}

/// Drains the queue as `parselog worker` does by default, and parses in this process.
pub(crate) async fn work_in_process() -> Result<()> {
    let levels = || "info".parse().map_err(anyhow::Error::msg);
    telemetry::init(levels()?, levels()?, GlobalFormat::Text, Redactor::default())?;
    let home = PathBuf::from(std::env::var_os("PARSELOG_HOME").context("no home")?);
    let cluster = Cluster::start(&home, &Keep { program: program(), idle: Duration::ZERO })?;
    // As many connections as the program allows itself.
    let limits = Limits { connections: 2 * u32::try_from(SLOTS)? + 6, ..Limits::default() };
    let pool = store::connect_within(&cluster.url(), "bench", limits).await?;
    let objects = Objects::Folder(FolderStore::open(&home.join("objects"))?);
    let (spool, scratch) = (home.join("spool"), home.join("scratch"));
    prepare_scratch(&scratch)?;
    let system = System::new(pool, objects, Spool::open(&spool, 1 << 30)?, scratch);
    let parsers = Parsers::new(&[], &CommandOptions::default())?;
    let config = WorkerConfig { slots: SLOTS, ..WorkerConfig::default() };
    let worker = Worker::new(system, parsers).with_config(config).with_drain(Some(Duration::ZERO));
    worker.serve(std::future::pending()).await?;
    Ok(())
}

async fn drain_queue(pool: &PgPool, outcome: &Outcome) -> Result<()> {
    let hour = Duration::from_secs(3600);
    let tasks: Vec<_> = (0..SLOTS)
        .map(|slot| {
            let (pool, outcome) = (pool.clone(), outcome.clone());
            let claimant = Arc::new(Claimant {
                worker: format!("bench-{slot}"),
                lease: hour,
                timeout: hour,
                takes: Takes::any(),
            });
            carry::spawn(async move {
                while let Some(claimed) = queue::claim(&pool, &claimant).await? {
                    let (run, token) = (claimed.run.id, claimed.lease_token);
                    queue::heartbeat(&pool, &[(run, token)], hour).await?;
                    queue::finish(&pool, run, token, &Ending::Success(Box::new(outcome.clone()))).await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(())
}
