//! What a worker asks of the database for each run, and at each tick.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use chrono::Utc;
use parselog::desk::submit;
use parselog::ids::RunId;
use parselog::parser::Outcome;
use parselog::queue::{self, Claimant, Ending, Takes};
use parselog::store::notice::Look;
use parselog::store::outbox::{self, Channel, Waits};
use parselog::store::{
    self, ArchivedLog, LogContent, NewFile, PgPool, Request, health, load, log, takeover, tally,
};
use uuid::Uuid;

use super::figures::{Figures, Times};

const HOUR: Duration = Duration::from_secs(3600);
/// Runs to work on, and ticks.
const RUNS: usize = 400;
const TICKS: usize = 60;
/// Runs that wait for a worker with another parser.
const WAITING: usize = 100_000;
/// Runs of one submission.
const SUBMITTED: usize = 1000;

const OF_A_RUN: [&str; 8] =
    ["submit", "claim", "claim of kinds", "heartbeat", "log opened", "finish", "log sealed", "log archived"];
const OF_A_TICK: [&str; 8] = [
    "reap",
    "running",
    "close_finished",
    "sweep: logs of others",
    "notices: look",
    "notices: due",
    "metrics",
    "metrics: runs",
];

/// Measures both databases in turns; then once more, behind a queue that waits for others.
pub(super) async fn measure(figures: &mut Figures, empty: &PgPool, full: &PgPool) -> Result<()> {
    for waiting in [0, WAITING] {
        for pool in [empty, full] {
            submit(pool, waiting, "audit").await?;
            sqlx::raw_sql("analyze").execute(pool).await?;
        }
        let behind = if waiting == 0 { "" } else { ", 100,000 wait" };
        if OF_A_RUN.iter().any(|what| figures.wants(what)) {
            let mut times = [Worked::default(), Worked::default()];
            for _ in 0..if waiting == 0 { RUNS } else { RUNS / 8 } {
                for (pool, times) in [empty, full].into_iter().zip(&mut times) {
                    Box::pin(one_run(pool, times)).await?;
                }
            }
            let [empty, full] = times;
            for ((what, empty), full) in OF_A_RUN.iter().zip(empty.0).zip(full.0) {
                figures.tell(&format!("{what}{behind}"), empty, full);
            }
        }
        for what in OF_A_TICK.iter().filter(|what| figures.wants(what)) {
            let mut times = [Times::default(), Times::default()];
            for _ in 0..TICKS {
                for (pool, times) in [empty, full].into_iter().zip(&mut times) {
                    times.take(tick(what, pool)).await?;
                }
            }
            let [empty, full] = times;
            figures.tell(&format!("{what}{behind}"), empty, full);
        }
    }
    Ok(())
}

/// The times of [`OF_A_RUN`].
#[derive(Default)]
struct Worked([Times; 8]);

/// All that one run costs, from its submission to its archive.
async fn one_run(pool: &PgPool, Worked(times): &mut Worked) -> Result<()> {
    let [submitted, claimed, claimed_of, beaten, opened, finished, sealed, archived] = times;
    let [any, ours] = [Takes::any(), Takes::of([("tanf".to_owned(), "*".to_owned())])]
        .map(|takes| Claimant { worker: "scale".to_owned(), lease: HOUR, timeout: HOUR, takes });
    for (claimant, claimed) in [(any, claimed), (ours, claimed_of)] {
        submitted.take(submit(pool, 1, "tanf")).await?;
        let run = claimed.take(queue::claim(pool, &claimant)).await?.context("nothing to claim")?;
        let (id, token) = (run.run.id, run.lease_token);
        beaten.take(queue::heartbeat(pool, &[(id, token)], HOUR)).await?;
        opened.take(log::opened(pool, id.into())).await?;
        finished.take(queue::finish(pool, id, token, &Ending::Success(Box::new(outcome())))).await?;
        sealed.take(log::sealed(pool, id.into(), &content())).await?;
        archived.take(log::archived(pool, id.into(), &archive(id))).await?;
    }
    Ok(())
}

async fn tick(what: &str, pool: &PgPool) -> Result<()> {
    let week = 7 * 24 * HOUR;
    match what {
        "reap" => drop(queue::reap(pool, Duration::ZERO).await?),
        "running" => drop(queue::running(pool).await?),
        "close_finished" => {
            store::batch::close_finished(pool, None, 1000).await?;
            tally::advance(pool, 50_000).await?;
        }
        "sweep: logs of others" => drop(takeover::left(pool, Uuid::nil(), HOUR).await?),
        "notices: look" => {
            store::notice::begin(pool).await?;
            health::stuck(pool, HOUR, HOUR).await?;
            health::overdue(pool).await?;
            let mut look = Look::begin(pool).await?;
            look.ended(Duration::from_secs(600), week).await?;
            look.kept_back(week).await?;
            look.queue(&[]).await?;
        }
        "notices: due" => drop(outbox::due(pool, Channel::Mail, Waits::default()).await?),
        "metrics" => {
            drop((load::counts(pool).await?, load::undelivered(pool).await?, load::kept_back(pool).await?));
        }
        _ => drop(tally::runs(pool).await?),
    }
    Ok(())
}

/// Queues runs of files of their own, all of this program.
async fn submit(pool: &PgPool, runs: usize, program: &str) -> Result<()> {
    let files: Vec<NewFile> = (0..runs).map(|_| file(program)).collect();
    for files in files.chunks(SUBMITTED) {
        let request = Request {
            submitted_by: "scale".to_owned(),
            reason: None,
            priority: submit::PRIORITY,
            max_attempts: submit::ATTEMPTS,
            run_after: None,
            deadline: None,
        };
        store::submit(pool, files, &request).await?;
    }
    Ok(())
}

fn file(program: &str) -> NewFile {
    let key = format!("scale/{}.txt", Uuid::new_v4());
    NewFile {
        bucket: "scale".to_owned(),
        name: key.clone(),
        key,
        version_id: "v1".to_owned(),
        size_bytes: Some(5000),
        program: program.to_owned(),
        section: "active".to_owned(),
        fiscal_year: 2021,
        fiscal_quarter: 1,
        ..NewFile::default()
    }
}

fn outcome() -> Outcome {
    Outcome { records_reported: true, records_in_file: 40, records_created: 40, ..Outcome::default() }
}

fn content() -> LogContent {
    let events = BTreeMap::from([("INFO".to_owned(), 40)]);
    LogContent { raw_bytes: 9000, lines: 42, events, dropped: 0, first_at: Utc::now(), last_at: Utc::now() }
}

fn archive(run: RunId) -> ArchivedLog {
    let uri = format!("s3://scale/{run}.log.gz");
    ArchivedLog { uri, content: content(), gzip_bytes: 900, raw_sha256: [1; 32], gzip_sha256: [2; 32] }
}
