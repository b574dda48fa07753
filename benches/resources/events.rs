//! What an archive that grows with its log costs those who log: events a second at the call, with the archive and the
//! remote tail of the log and without, in turns.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chrono::Utc;
use parselog::archive::{Archived, Archiver, KeptTail};
use parselog::carry;
use parselog::queue::{self, Claimant, Takes};
use parselog::record::LogEnding;
use parselog::scope::LogScope;
use parselog::spool::{Spool, Syncer};
use parselog::system::System;
use tokio_util::task::AbortOnDropHandle;
use tracing::Span;

use crate::place::{Place, invented};
use crate::store::Store;

/// Events of a round: more than a second's, since an archive begins when its log is large.
const EVENTS: u64 = 5_000_000;

/// How old an event may become before it is shipped.
const SHIPPED: Duration = Duration::from_secs(1);

/// As many rounds of each.
pub(crate) async fn events(rounds: usize) -> Result<()> {
    ensure!(rounds > 0, "no round, no figure");
    let place = Place::new(invented()?, Store::named("counting").await?).await?;
    place.submit(2 * rounds, false).await?;
    let spool = Spool::open(&place.home.path().join("spool"), 1 << 40)?;
    let system = System::new(place.pool.clone(), place.objects.clone(), spool, place.home.path());
    let its = system.spool.clone();
    let kept = KeptTail { every: SHIPPED, spool: carry::spawn_blocking(move || its.id()).await?? };
    let archiver = Archiver::new(system.clone()).keeping(Some(kept));
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        // Whoever goes first finds the disk as the other left it.
        for grows in [round % 2 == 1, round % 2 == 0] {
            let pace = one(&place, &system, &archiver, grows).await?;
            if grows { &mut with } else { &mut without }.push(pace);
        }
    }
    let (without, with) = (Figures::of(without), Figures::of(with));
    println!("events     {EVENTS} of each of {rounds} rounds, in turns, by one thread:");
    println!("           {without} a second without a remote tail and an archive that grows");
    println!("           {with} a second with both, {:+.1} %", 100.0 * (with.median / without.median - 1.0));
    Ok(())
}

/// Events a second of one run.
async fn one(place: &Place, system: &System, archiver: &Archiver, grows: bool) -> Result<f64> {
    let day = Duration::from_secs(86_400);
    let claimant = Claimant { worker: "bench".to_owned(), lease: day, timeout: day, takes: Takes::any() };
    let claimed = queue::claim(&place.pool, &claimant).await?.context("no run waits")?;
    let head = claimed.run.head(claimed.lease_token, &claimant.worker, Utc::now());
    let syncer = Arc::new(Syncer::start());
    let (scope, error) = {
        let (spool, syncer, head) = (system.spool.clone(), Arc::clone(&syncer), head.clone());
        carry::spawn_blocking(move || LogScope::open(&spool, &syncer, &head)).await?
    };
    ensure!(error.is_none(), "{error:?}");
    let helpers =
        grows.then(|| (archiver.tail().begin(head.log), ship(archiver.clone()), archiver.grow(&head)));

    let span = scope.span().clone();
    let took = carry::spawn_blocking(move || log_events(&span)).await?;
    let log = carry::spawn_blocking(move || scope.seal(LogEnding::Success, None)).await??;
    let log = log.context("no log")?;
    ensure!(log.tail.events.warn == EVENTS && log.tail.dropped == 0, "not all events are stored");
    match helpers {
        Some((_shipping, _rounds, growing)) => {
            let archived = archiver.archive_grown(log, growing).await;
            ensure!(matches!(archived, Archived::Yes { .. }), "the log is not archived: {archived:?}");
        }
        None => carry::spawn_blocking(move || log.remove()).await??,
    }
    Ok(EVENTS as f64 / took.as_secs_f64())
}

/// Ships what is due, as a worker does, until it is dropped.
fn ship(archiver: Archiver) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(carry::spawn(async move {
        loop {
            tokio::time::sleep(archiver.tail().tick()).await;
            archiver.tail().ship().await;
        }
    }))
}

fn log_events(span: &Span) -> Duration {
    span.in_scope(|| {
        let began = Instant::now();
        for record in 0..EVENTS {
            tracing::warn!(
                target: "parselog::problem",
                record,
                category = 2,
                record_type = "T1",
                item = "30",
                field = "SEX",
                "item {} {} is not between {} and {}",
                30,
                "SEX",
                1,
                2
            );
        }
        began.elapsed()
    })
}

/// Paces of several rounds.
struct Figures {
    least: f64,
    median: f64,
    most: f64,
}

impl Figures {
    fn of(mut paces: Vec<f64>) -> Self {
        paces.sort_by(f64::total_cmp);
        Self { least: paces[0], median: paces[paces.len() / 2], most: paces[paces.len() - 1] }
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let millions = |pace: f64| pace / 1e6;
        let (least, median, most) = (millions(self.least), millions(self.median), millions(self.most));
        write!(f, "{median:.2} million ({least:.2} to {most:.2})")
    }
}
