//! What a worker process needs at most, and how fast it drains its queue:
//!
//! ```text
//! make bench BENCH="resources -- log 10GB"      writes and archives one log of this size
//! make bench BENCH="resources -- log 1GB 20MB"  the same, about so much of it in a second
//! make bench BENCH="resources -- queue 10000"   so many runs wait, then are done, each with a file of 100 KB
//! make bench BENCH="resources -- sample 10000"  the same with the sample of the README, which has 5 KB
//! ```
//!
//! Without arguments both, at 200 MB and 1,000 runs. It starts the program itself, with the embedded database and a
//! folder for objects, or in the S3 that `PARSELOG_TEST_S3` and `PARSELOG_BUCKET` name, and reads the peak of its memory
//! from the system.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytesize::ByteSize;
use parselog::carry;
use parselog::cluster::{Cluster, Keep};
use parselog::config::{GlobalFormat, WorkerConfig};
use parselog::desk::submit;
use parselog::objects::{FolderStore, Objects, Put, S3, S3Options};
use parselog::parse::{Parsers, prepare_scratch};
use parselog::parser::{CommandOptions, Outcome};
use parselog::queue::{self, Claimant, Ending, Takes};
use parselog::redact::Redactor;
use parselog::spool::Spool;
use parselog::store::{self, Limits, NewFile, PgPool, Request};
use parselog::system::System;
use parselog::telemetry;
use parselog::worker::Worker;
use parselog_benches::{Peak, parse_sample, processor_time, program, root, subscriber, watch, write_sample};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

const SLOTS: usize = 4;
/// Pairs of drains, in the worker's own process and in processes of their own.
const ROUNDS: usize = 4;
/// Bytes of an invented submission, and the shipped one.
const SUBMISSION: u64 = 100_000;
const SAMPLE: &str = "samples/tanf-active-2021-q1.txt";
/// Makes this bench the worker that parses in its own process.
const IN_PROCESS: &str = "work-in-process";

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if words == [IN_PROCESS] {
        return work_in_process().await;
    }
    tracing::subscriber::set_global_default(subscriber())?;
    match words[..] {
        [] => {
            log(200_000_000, None).await?;
            runs(1000, invented()?).await
        }
        ["log", size] => log(bytes(size)?, None).await,
        ["log", size, pace] => log(bytes(size)?, Some(bytes(pace)?)).await,
        ["queue", many] => runs(many.parse()?, invented()?).await,
        ["sample", many] => runs(many.parse()?, shipped()?).await,
        _ => bail!("log SIZE, queue RUNS or sample RUNS?"),
    }
}

fn bytes(text: &str) -> Result<u64> {
    Ok(text.parse::<ByteSize>().map_err(anyhow::Error::msg)?.as_u64())
}

/// One run whose external parser says so much that its log has about `bytes`, as fast as it can or at this pace.
async fn log(bytes: u64, pace: Option<u64>) -> Result<()> {
    const LINE: &str = "record %.0f: item 30 SEX is 7 and must be between 1 and 2, which is said at the length that such lines have";
    /// Of such a line in a log, with its time, number, level, target and span.
    const STORED: u64 = 245;
    let place = Place::new(invented()?).await?;
    place.submit(1, true).await?;
    let lines = bytes / STORED;
    let parser = match pace.map(|bytes| (bytes / STORED / 10).max(1)) {
        None => format!("tanf/*=seq -f '{LINE}' {lines}"),
        Some(each) => format!(
            "tanf/*=sh -c 'for i in $(seq {}); do seq -f \"{LINE}\" {each}; sleep 0.1; done'",
            lines / each
        ),
    };
    let worker = ["--drain", "--parser-for", &parser, "--log-cap", "1TiB", "--parser-silence", "1h"];
    let (peak, seconds) = place.worker(&worker)?;
    let run = store::find(&place.pool, &store::RunFilter::default()).await?.remove(0);
    let (raw, gzip) = (run.log_raw_bytes.context("no log")?, run.log_gzip_bytes.context("no archive")?);
    println!(
        "log        {} MB, {} lines, {} MB archived, {} dropped, in {seconds:.1} s",
        raw / 1_000_000,
        run.log_lines.unwrap_or_default(),
        gzip / 1_000_000,
        run.log_dropped.unwrap_or_default(),
    );
    println!(
        "           peak memory of the worker {} MB, of the parse process {} MB",
        peak.worker, peak.parse_process
    );
    let waited = run.log_archived_at.context("no archive")? - run.finished_at.context("it runs on")?;
    println!("           archived {:.2} s after the end of the run", waited.as_seconds_f64());
    let began = Instant::now();
    let mut verify = place.command(&["verify", "@latest"]);
    let peak = watch(&mut verify.spawn()?)?;
    println!("verify     {:.1} s, peak memory {} MB", began.elapsed().as_secs_f64(), peak.worker);
    Ok(())
}

/// So many runs wait; the queue alone is drained, waiting for the disk and not, then as many whole runs, in
/// the worker's own process and in others.
async fn runs(many: usize, file: NamedTempFile) -> Result<()> {
    let place = Place::new(file).await?;
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
async fn work_in_process() -> Result<()> {
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

/// An invented submission.
fn invented() -> Result<NamedTempFile> {
    let file = NamedTempFile::new()?;
    write_sample(file.path(), SUBMISSION)?;
    Ok(file)
}

/// The sample that the README parses.
fn shipped() -> Result<NamedTempFile> {
    let file = NamedTempFile::new()?;
    fs::copy(root().join(SAMPLE), file.path())?;
    Ok(file)
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

/// A home with a database and a folder of objects.
struct Place {
    home: tempfile::TempDir,
    /// What is submitted.
    file: NamedTempFile,
    pool: PgPool,
    objects: Objects,
    /// Where the objects are in S3.
    bucket: Option<String>,
    cluster: Cluster,
}

impl Place {
    async fn new(file: NamedTempFile) -> Result<Self> {
        let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let cluster = Cluster::start(home.path(), &Keep { program: program(), idle: Duration::ZERO })?;
        let pool = store::connect(&cluster.url(), "bench").await?;
        store::migrate(&pool).await?;
        let (objects, bucket) = match std::env::var("PARSELOG_TEST_S3") {
            Ok(endpoint) => {
                let options = S3Options { endpoint: Some(endpoint), ..S3Options::default() };
                let bucket = std::env::var("PARSELOG_BUCKET").unwrap_or_else(|_| "parselog".to_owned());
                (Objects::S3(S3::connect(options).await), Some(bucket))
            }
            Err(_) => (Objects::Folder(FolderStore::open(&home.path().join("objects"))?), None),
        };
        Ok(Self { home, file, pool, objects, bucket, cluster })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(arguments).env_remove("DATABASE_URL").env_remove("PARSELOG_BUCKET");
        command.env("PARSELOG_HOME", self.home.path());
        command.envs(self.bucket.iter().map(|bucket| ("PARSELOG_BUCKET", bucket)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Runs per second of the last `many` runs, from the start of the first to the last archived log: how long a
    /// program takes to start and to end is no part of it.
    async fn pace(&self, many: usize) -> Result<f64> {
        let limit = Some(i64::try_from(many)?);
        let runs = store::find(&self.pool, &store::RunFilter { limit, ..Default::default() }).await?;
        let began = runs.iter().filter_map(|run| run.started_at).min().context("no run")?;
        let ended = runs.iter().filter_map(|run| run.log_archived_at).max().context("no archived log")?;
        Ok(many as f64 / (ended - began).as_seconds_f64())
    }

    /// Drains the queue with a worker that parses in its own process: a process as new as the other worker's, so
    /// that both pay alike for connections whose statements the database has not seen.
    fn worker_in_process(&self) -> Result<()> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(IN_PROCESS).env("PARSELOG_HOME", self.home.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        watch(&mut command.spawn()?)?;
        Ok(())
    }

    /// Runs a worker to its end; the peaks of its memory, and seconds.
    fn worker(&self, arguments: &[&str]) -> Result<(Peak, f64)> {
        let slots = SLOTS.to_string();
        let arguments = [&["worker", "--slots", &slots][..], arguments].concat();
        let began = Instant::now();
        let peak = watch(&mut self.command(&arguments).spawn()?)?;
        Ok((peak, began.elapsed().as_secs_f64()))
    }

    /// Queues so many runs, each of a file of its own, which is `stored` or only said to be.
    async fn submit(&self, many: usize, stored: bool) -> Result<()> {
        let file = &self.file;
        let bytes = fs::read(file.path())?;
        let sha256 = Sha256::digest(&bytes).into();
        let put = Put { content_type: "text/plain", metadata: Vec::new(), sha256, if_none_match: false };
        let (mut files, bucket) = (Vec::new(), self.bucket.as_deref().unwrap_or("files"));
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
