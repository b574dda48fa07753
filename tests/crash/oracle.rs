//! The oracle: looks at rows, archives and acknowledgements when all is done, and says what is lost.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::fs;
use std::io::Read;
use std::time::Duration;

use parselog::gzip;
use parselog::ids::RunId;
use parselog::objects::ObjectUri;
use parselog::record::Record;
use parselog::store::{self, LogState, Run, RunFilter, RunStatus};
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;

use crate::world::World;

/// What was looked at.
#[derive(Debug, Default, Clone)]
pub(crate) struct Counts {
    pub(crate) runs: u64,
    pub(crate) crashed: u64,
    /// Runs whose worker died before it could open a log, or say anything.
    pub(crate) without_log: u64,
    pub(crate) acknowledged: u64,
    /// Of these, those that are in a log.
    pub(crate) acknowledged_stored: u64,
    /// Events in all logs, those of the worker itself too.
    pub(crate) stored: u64,
    /// Declared by the logs themselves, all of logs that reached their cap.
    pub(crate) dropped: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        self.crashed += other.crashed;
        self.without_log += other.without_log;
        self.acknowledged += other.acknowledged;
        self.acknowledged_stored += other.acknowledged_stored;
        self.stored += other.stored;
        self.dropped += other.dropped;
    }
}

/// What logs may have dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Losses {
    None,
    /// What lies between the head and the tail of a log past its cap.
    BelowCap,
    /// Anything, the last events too, as long as it is counted.
    AnyCounted,
}

/// Checks everything that was promised.
pub(crate) async fn check(world: &mut World, losses: Losses, about: &str) -> Counts {
    let mut complaints = String::new();
    let mut counts = Counts::default();
    let runs = store::find(&world.db.pool, &RunFilter::default()).await.unwrap();
    let mut places = HashSet::new();
    for run in &runs {
        let checked = check_run(world, run, losses, &mut counts).await;
        if let Err(complaint) = checked {
            let _ =
                writeln!(complaints, "run {} ({}, log {}): {complaint}", run.id, run.status, run.log_state);
        }
        if let Some(uri) = &run.logs_uri
            && !places.insert(uri.clone())
        {
            let _ = writeln!(complaints, "two runs say that their log is {uri}");
        }
    }
    check_jobs(&runs, &mut complaints);
    for entry in fs::read_dir(world.acks()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".overlapped") {
            let _ = writeln!(complaints, "two runs of one file at once: {name}");
        }
    }
    let stale = world.objects.stale_uploads(&world.bucket, &world.prefix, Duration::ZERO).await.unwrap();
    if !stale.is_empty() {
        let _ = writeln!(complaints, "uploads were left behind: {stale:?}");
    }
    check_audit(world, &mut complaints).await;
    if !complaints.is_empty() {
        world.fail(&format!("{about}:\n{complaints}"));
    }
    counts
}

async fn check_run(world: &World, run: &Run, losses: Losses, counts: &mut Counts) -> Result<(), String> {
    counts.runs += 1;
    counts.crashed += u64::from(run.status == RunStatus::Crash);
    if matches!(run.status, RunStatus::Queued | RunStatus::Running) {
        return Err("it has not ended".to_owned());
    }
    let acks = fs::read_to_string(world.acks().join(format!("{}.acks", run.id))).unwrap_or_default();
    let acks: Vec<u64> = acks.lines().map(|line| line.parse().unwrap()).collect();
    counts.acknowledged += acks.len() as u64;
    if run.log_state == LogState::None && acks.is_empty() && run.status == RunStatus::Crash {
        counts.without_log += 1;
        return Ok(());
    }
    let all_dropped = run.log_dropped.is_some_and(|dropped| dropped.cast_unsigned() >= acks.len() as u64);
    if losses == Losses::AnyCounted && run.log_state == LogState::Lost && all_dropped {
        counts.without_log += 1;
        counts.dropped += run.log_dropped.unwrap_or_default().cast_unsigned();
        return Ok(());
    }
    if run.log_state != LogState::Archived {
        return Err(format!("{} events were acknowledged", acks.len()));
    }
    let records = read_archive(world, run).await?;
    let events: Vec<&Record> = records.iter().filter(|record| record.is_event()).collect();
    let head = records.first().and_then(|record| record.head.as_ref()).ok_or("no head")?;
    let tail = records.last().and_then(|record| record.tail.as_ref()).ok_or("no tail")?;
    if head.run != run.id {
        return Err(format!("it holds the log of run {}", head.run));
    }
    if records.iter().filter(|record| record.tail.is_some() || record.head.is_some()).count() != 2 {
        return Err("more than one head or tail".to_owned());
    }
    if events.windows(2).any(|pair| pair[0].seq >= pair[1].seq) {
        return Err("its events are not in order".to_owned());
    }
    let stored = events.len() as u64;
    let emitted = events.last().map_or(0, |event| event.seq);
    let seen_to_be_missing = emitted - stored;
    let counted = match losses {
        Losses::AnyCounted => tail.dropped >= seen_to_be_missing,
        _ => tail.dropped == seen_to_be_missing,
    };
    if tail.events.total() != stored || !counted {
        return Err(format!("{emitted} emitted, {stored} stored, but its tail is {tail:?}"));
    }
    let said: u64 = run.log_events.as_ref().map_or(0, |events| events.values().sum());
    if (said, run.log_dropped) != (stored, Some(tail.dropped.cast_signed())) {
        return Err(format!("the row says {said} events, {:?} dropped", run.log_dropped));
    }
    if tail.dropped > 0 && losses == Losses::None {
        return Err(format!("{} events were dropped", tail.dropped));
    }
    counts.stored += stored;
    counts.dropped += tail.dropped;
    counts.acknowledged_stored += check_acknowledged(run.id, &acks, &events, tail.dropped)?;
    Ok(())
}

/// Every acknowledged event is in the log once, or among those that its tail declares dropped.
fn check_acknowledged(run: RunId, acks: &[u64], events: &[&Record], dropped: u64) -> Result<u64, String> {
    let mut logged = HashSet::new();
    for event in events.iter().filter(|event| event.message == "acknowledged event") {
        if event.fields["run"] != run.to_string() {
            return Err(format!("it holds an event of run {}", event.fields["run"]));
        }
        let n = event.fields["n"].as_u64().ok_or("an event without its number")?;
        if !logged.insert(n) {
            return Err(format!("event {n} is in it twice"));
        }
    }
    let missing: Vec<_> = acks.iter().filter(|n| !logged.contains(n)).collect();
    if missing.len() as u64 > dropped {
        return Err(format!("acknowledged events are missing: {missing:?}, {dropped} declared dropped"));
    }
    Ok((acks.len() - missing.len()) as u64)
}

/// The archive's records, after its bytes are what the row says.
async fn read_archive(world: &World, run: &Run) -> Result<Vec<Record>, String> {
    let uri: ObjectUri =
        run.logs_uri.as_ref().ok_or("no URI")?.parse().map_err(|error| format!("{error}"))?;
    let (stored, mut stream) =
        world.objects.open(&uri).await.map_err(|error| format!("its URI points at nothing: {error}"))?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.map_err(|error| error.to_string())?;
    let size = Some(bytes.len() as i64);
    if run.log_gzip_bytes != size || stored.size != bytes.len() as u64 {
        return Err(format!("{size:?} bytes, but the row says {:?}", run.log_gzip_bytes));
    }
    if run.log_gzip_sha256 != Some(Sha256::digest(&bytes).into()) {
        return Err("the object has another SHA-256 than the row says".to_owned());
    }
    let mut raw = Vec::new();
    gzip::Reader::new(&bytes[..], 1 << 30).read_to_end(&mut raw).map_err(|error| error.to_string())?;
    let lines = raw.iter().filter(|byte| **byte == b'\n').count() as i64;
    if run.log_raw_sha256 != Some(Sha256::digest(&raw).into())
        || (run.log_raw_bytes, run.log_lines) != (Some(raw.len() as i64), Some(lines))
        || !raw.ends_with(b"\n")
    {
        return Err(format!("{} raw bytes, {lines} lines: not what the row says", raw.len()));
    }
    raw.split_inclusive(|byte| *byte == b'\n')
        .map(|line| {
            Record::decode(line).ok_or_else(|| format!("no record: {}", String::from_utf8_lossy(line)))
        })
        .collect()
}

/// No job is lost: its attempts follow one another, none begins before the one before it ended, and
/// the last is a success, or there were as many as may be.
fn check_jobs(runs: &[Run], complaints: &mut String) {
    let mut jobs: BTreeMap<_, Vec<&Run>> = BTreeMap::new();
    for run in runs {
        jobs.entry((run.batch_id, run.data_file_id)).or_default().push(run);
    }
    for ((batch, file), mut attempts) in jobs {
        attempts.sort_by_key(|run| run.attempt);
        let numbers: Vec<_> = attempts.iter().map(|run| run.attempt).collect();
        let last = attempts.last().unwrap();
        let expected: Vec<_> = (1..=attempts.len() as i32).collect();
        let done = last.status == RunStatus::Success || last.attempt == last.max_attempts;
        if numbers != expected || !done {
            let _ = writeln!(
                complaints,
                "the job of batch {batch}, file {file} is lost: attempts {numbers:?}, {last:?}"
            );
        }
        for pair in attempts.windows(2) {
            if pair[1].started_at < pair[0].finished_at {
                let _ = writeln!(complaints, "runs {} and {} overlapped", pair[0].id, pair[1].id);
            }
        }
    }
}

/// Each run has one last action, and its log was archived once.
async fn check_audit(world: &World, complaints: &mut String) {
    let ended_twice: Vec<String> = sqlx::query_scalar(
        "select run_id::text from run_action where action <> 'run' group by run_id having count(*) <> 1
         union all
         select run_id::text from log_entry where entry in ('archived', 'fell-back')
         group by run_id, entry having count(*) <> 1",
    )
    .fetch_all(&world.db.pool)
    .await
    .unwrap();
    if !ended_twice.is_empty() {
        let _ = writeln!(complaints, "ended or archived more than once: {ended_twice:?}");
    }
}
