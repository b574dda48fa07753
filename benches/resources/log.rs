//! How soon the log of a run is archived, by its size: from its last record to the URI on its row, beside what a put of the
//! same rest takes.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use parselog::carry;
use parselog::objects::Put;
use parselog::store::{self, RunFilter};
use parselog_benches::{Peak, watch};
use sha2::{Digest, Sha256};
use sqlx::postgres::PgListener;
use tempfile::NamedTempFile;

use crate::place::{Place, invented};
use crate::store::Store;

const LINE: &str = "record %.0f: item 30 SEX is 7 and must be between 1 and 2, which is said at the length that such lines have";
/// Bytes of such a line in a log, with its time, number, level, target and span.
const STORED: u64 = 300;
/// Times a second that an external parser with a pace says something.
const TICKS: u64 = 20;

/// Puts of a rest, of which the median counts.
const PUTS: usize = 5;

/// The store is asked for what is longer than that in parts.
const PART: u64 = 8 << 20;

/// Tells when others see the URI on the row, which is when its transaction ends.
const TELL: [&str; 2] = [
    "create function bench_archived() returns trigger language plpgsql as
     $$ begin perform pg_notify('bench_archived', new.id::text); return null; end $$",
    "create trigger bench_archived after update of uri on log for each row
     when (old.uri is distinct from new.uri) execute function bench_archived()",
];

/// What the archive of one log took.
struct Archived {
    raw_mb: u64,
    /// From the last record of the log to the URI on the row.
    waited: Duration,
    /// A put of what was left.
    put: Duration,
    peak: Peak,
}

/// Logs of about so many bytes, one after the other, as fast as an external parser can or at this pace.
pub(crate) async fn logs(sizes: &[u64], pace: Option<u64>, store: Store) -> Result<()> {
    let place = Place::new(invented()?, store).await?;
    println!("logs       in {}, their ends a second old at most anywhere else", place.store.name());
    for statement in TELL {
        sqlx::query(statement).execute(&place.pool).await?;
    }
    let mut all = Vec::new();
    for bytes in sizes {
        all.push(log(&place, *bytes, pace).await?);
    }
    if place.store.keeps() {
        let began = Instant::now();
        let peak = watch(&mut place.command(&["verify", "@latest"]).spawn()?)?;
        println!("verify     {:.1} s, peak memory {} MB", began.elapsed().as_secs_f64(), peak.worker);
    }
    summary(&all);
    Ok(())
}

/// One run whose external parser says so much.
async fn log(place: &Place, bytes: u64, pace: Option<u64>) -> Result<Archived> {
    place.submit(1, true).await?;
    let lines = bytes / STORED;
    let parser = match pace.map(|bytes| (bytes / STORED / TICKS).max(1)) {
        None => format!("tanf/*=seq -f '{LINE}' {lines}"),
        Some(each) => format!(
            "tanf/*=sh -c 'for i in $(seq {}); do seq -f \"{LINE}\" {each}; sleep {}; done'",
            lines.div_ceil(each),
            1.0 / TICKS as f64
        ),
    };
    let mut options = vec!["--drain", "--parser-for", &parser, "--log-cap", "1TiB", "--parser-silence", "1h"];
    if place.store.bucket().is_some() {
        // As where machines share a database and a bucket.
        options.extend(["--remote-tail", "1s"]);
    }
    let mut listener = PgListener::connect(&place.cluster.url()).await?;
    listener.listen("bench_archived").await?;
    let told = carry::spawn(async move { listener.recv().await.map(|_| Utc::now()) });
    let (peak, seconds) = place.worker(&options)?;
    let run = store::latest(&place.pool, &RunFilter::default()).await?.context("no run")?;
    let (raw, gzip) = (run.log_raw_bytes.context("no log")?, run.log_gzip_bytes.context("no archive")?);
    let (started, ended) = (run.started_at.context("no start")?, run.finished_at.context("it runs on")?);
    let last: DateTime<Utc> = sqlx::query_scalar("select last_at from log where run_id = $1")
        .bind(run.id)
        .fetch_one(&place.pool)
        .await?;
    let archived = told.await??;
    let waited = (archived - last).to_std().context("archived before its end")?;
    let rest = match u64::try_from(gzip)? {
        whole if whole <= PART => whole,
        parts => (parts - 1) % PART + 1,
    };
    let put = put(place, rest).await?;
    println!(
        "log        {} MB at {:.0} MB/s, {} lines, {} MB archived, {} dropped, in {seconds:.1} s",
        raw / 1_000_000,
        raw as f64 / 1e6 / (ended - started).as_seconds_f64(),
        run.log_lines.unwrap_or_default(),
        gzip / 1_000_000,
        run.log_dropped.unwrap_or_default(),
    );
    println!(
        "           {} from the last record to the URI on the row; a put of the rest, {:.1} MB, {}; {} more",
        millis(waited),
        rest as f64 / 1e6,
        millis(put),
        millis(waited.saturating_sub(put))
    );
    if let Some(counts) = place.store.between(last, archived) {
        println!(
            "           the store was asked {} times meanwhile, with {:.1} MB, and took {}",
            counts.requests,
            counts.bytes as f64 / 1e6,
            millis(counts.took)
        );
    }
    println!(
        "           peak memory of the worker {} MB, of the parse process {} MB",
        peak.worker, peak.parse_process
    );
    Ok(Archived { raw_mb: u64::try_from(raw)? / 1_000_000, waited, put, peak })
}

/// How long a put of so many bytes takes, with all that makes it sure.
async fn put(place: &Place, bytes: u64) -> Result<Duration> {
    let file = NamedTempFile::new()?;
    let body = vec![b'x'; usize::try_from(bytes)?];
    std::fs::write(file.path(), &body)?;
    let sha256 = Sha256::digest(&body).into();
    let put = Put { content_type: "application/gzip", metadata: Vec::new(), sha256, if_none_match: true };
    let mut times = Vec::new();
    for _ in 0..PUTS {
        let key = format!("{}.gz", uuid::Uuid::new_v4());
        let began = Instant::now();
        place.objects.put_file(place.bucket(), &key, file.path(), &put).await?;
        times.push(began.elapsed());
    }
    times.sort();
    Ok(times[PUTS / 2])
}

/// How flat it is.
fn summary(all: &[Archived]) {
    if all.len() < 2 {
        return;
    }
    let waited = || all.iter().map(|one| one.waited.as_secs_f64());
    let (least, most) = (waited().fold(f64::INFINITY, f64::min), waited().fold(0.0, f64::max));
    let worst = all.iter().max_by_key(|one| one.waited.saturating_sub(one.put)).expect("there are some");
    let memory = || all.iter().map(|one| one.peak.worker);
    println!(
        "all        the longest wait is {:.1} times the shortest; {} more than a put at most, of {} MB; peak memory of the worker {} to {} MB",
        most / least,
        millis(worst.waited.saturating_sub(worst.put)),
        worst.raw_mb,
        memory().min().unwrap_or_default(),
        memory().max().unwrap_or_default()
    );
}

fn millis(time: Duration) -> String {
    format!("{:.0} ms", time.as_secs_f64() * 1000.0)
}
