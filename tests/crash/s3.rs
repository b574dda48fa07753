//! S3 in trouble while a real worker archives: outcomes stand, logs are kept, and all are archived
//! without anybody's help once it is well again.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use parselog::store::{self, LogState, Run, RunFilter, RunStatus};
use rustix::process::Signal;

use crate::fault_server::{Fault, FaultServer, Request};
use crate::oracle::{self, Losses};
use crate::support::PATIENCE;
use crate::turn;
use crate::world::World;

const SLOW_DOWN: &str = "<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>";
const DENIED: &str = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
const EXPIRED: &str = "<Error><Code>ExpiredToken</Code><Message>The token has expired.</Message></Error>";
const NO_BUCKET: &str = "<Error><Code>NoSuchBucket</Code><Message>It does not exist.</Message></Error>";
const INTERNAL: &str = "<Error><Code>InternalError</Code><Message>We met an error.</Message></Error>";

/// The fate of all requests about logs while S3 is ill.
fn faults() -> Vec<(&'static str, Fault)> {
    vec![
        ("503 SlowDown", Fault::Answer(503, SLOW_DOWN)),
        ("500", Fault::Answer(500, INTERNAL)),
        ("403", Fault::Answer(403, DENIED)),
        ("expired credentials", Fault::Answer(400, EXPIRED)),
        ("404 NoSuchBucket", Fault::Answer(404, NO_BUCKET)),
        ("200 with an error body", Fault::Answer(200, INTERNAL)),
        ("a reset in mid-body", Fault::ResetMidBody),
        ("an answer that is lost", Fault::LoseAnswer),
        (
            "a wrong checksum",
            Fault::Lie("x-amz-checksum-sha256", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_s3_does_outcomes_stand_and_every_log_is_archived_once_it_is_well() {
    let _turn = turn().await;
    for (name, fault) in faults() {
        let mut ill = Ill::start().await;
        ill.set(Some(fault));
        for _ in 0..3 {
            ill.world.submit(30, 1, 0).await;
        }
        let mut worker = ill
            .world
            .worker(None, &[("PARSELOG_S3_ATTEMPTS", "1"), ("AWS_ENDPOINT_URL_S3", &ill.server.endpoint)]);
        ill.until(name, |runs| runs.iter().all(|run| run.status == RunStatus::Success)).await;
        ill.until(name, |runs| runs.iter().all(|run| run.log_state == LogState::Fallback)).await;
        assert!(ill.runs().await.iter().all(|run| run.archive_error.is_some() && run.logs_uri.is_none()));
        ill.set(None);
        ill.until(name, |runs| runs.iter().all(|run| run.log_state == LogState::Archived)).await;
        assert!(worker.stop(Signal::TERM).success());
        ill.world.drain().await;
        let counts = oracle::check(&mut ill.world, Losses::None, name).await;
        assert_eq!(counts.acknowledged, 90, "{name}");

        // Said again once, in the global log: nine warnings and errors of each run.
        let log = ill.world.worker_log();
        let said_again = log.lines().filter(|line| line.contains("from=")).count();
        let fell_back = log.lines().filter(|line| line.contains("fell back")).count();
        assert_eq!((fell_back, said_again), (3, 3 * 9), "{name}");
        eprintln!("{name}: {} requests, {counts:?}", ill.requests.load(Ordering::Relaxed));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_s3_that_never_answers_holds_no_slot() {
    let _turn = turn().await;
    let mut ill = Ill::start().await;
    ill.set(Some(Fault::Hang));
    for _ in 0..20 {
        ill.world.submit(10, 1, 0).await;
    }
    let began = Instant::now();
    let environment = [
        ("PARSELOG_S3_ATTEMPTS", "1"),
        ("PARSELOG_SLOTS", "1"),
        ("AWS_ENDPOINT_URL_S3", ill.server.endpoint.as_str()),
    ];
    let mut worker = ill.world.worker(None, &environment);
    ill.until("hang", |runs| runs.iter().all(|run| run.status == RunStatus::Success)).await;
    assert!(began.elapsed() < PATIENCE, "20 runs took {:?}", began.elapsed());
    assert!(ill.runs().await.iter().all(|run| run.logs_uri.is_none()));
    ill.set(None);
    worker.stop(Signal::KILL);
    ill.world.drain().await;
    oracle::check(&mut ill.world, Losses::None, "hang").await;
}

/// The name of the endpoint does not resolve: for the log of a run that is over, and for the
/// submission of another.
#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_whose_name_does_not_resolve_costs_no_outcome_and_no_log() {
    let _turn = turn().await;
    let mut world = World::in_s3().await;
    for _ in 0..2 {
        world.submit(30, 1, 0).await;
    }
    let one_slot = ("PARSELOG_SLOTS", "1");
    let mut worker = world.worker(Some("ended:1"), &[one_slot]);
    assert!(worker.dies_within(PATIENCE).await, "no run ended");

    let began = Instant::now();
    let nowhere =
        [one_slot, ("AWS_ENDPOINT_URL_S3", "http://nowhere.invalid:4566"), ("PARSELOG_S3_ATTEMPTS", "1")];
    let mut worker = world.worker(None, &nowhere);
    let settled = |run: &Run| match run.status {
        RunStatus::Success | RunStatus::Fail => run.log_state == LogState::Fallback,
        RunStatus::Queued => true,
        _ => false,
    };
    until(&mut world, "no name", |runs| runs.len() == 3 && runs.iter().all(settled)).await;
    assert!(began.elapsed() < PATIENCE, "it took {:?}", began.elapsed());
    let runs = runs(&world).await;
    let statuses: Vec<_> = runs.iter().map(|run| run.status).collect();
    assert_eq!(statuses, [RunStatus::Queued, RunStatus::Fail, RunStatus::Success], "{runs:?}");
    assert!(runs[1].failure.as_ref().is_some_and(|why| why.contains("failed to fetch")), "{runs:?}");
    assert!(runs[1..].iter().all(|run| run.archive_error.is_some() && run.logs_uri.is_none()));
    assert!(worker.stop(Signal::TERM).success());

    world.drain().await;
    let counts = oracle::check(&mut world, Losses::None, "a name that does not resolve").await;
    assert_eq!(counts.acknowledged, 60);
}

async fn runs(world: &World) -> Vec<Run> {
    store::find(&world.db.pool, &RunFilter::default()).await.unwrap()
}

async fn until(world: &mut World, name: &str, holds: impl Fn(&[Run]) -> bool) {
    let began = Instant::now();
    loop {
        let runs = runs(world).await;
        if holds(&runs) {
            return;
        }
        if began.elapsed() > PATIENCE {
            let states: Vec<_> =
                runs.iter().map(|run| (run.status, run.log_state, &run.archive_error)).collect();
            world.fail(&format!("{name}: {states:?}"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A world whose S3 can fall ill, but only for requests about logs, so that submissions still come.
struct Ill {
    world: World,
    server: FaultServer,
    illness: Arc<Mutex<Option<Fault>>>,
    requests: Arc<AtomicUsize>,
}

impl Ill {
    async fn start() -> Self {
        let world = World::in_s3().await;
        let illness = Arc::new(Mutex::new(None));
        let requests = Arc::new(AtomicUsize::new(0));
        let (now, count) = (Arc::clone(&illness), Arc::clone(&requests));
        let decide = move |request: &Request| {
            let about_logs = request.target.contains("parsing_logs");
            count.fetch_add(usize::from(about_logs), Ordering::Relaxed);
            let fault: Option<Fault> = now.lock().unwrap().clone();
            fault.filter(|_| about_logs).unwrap_or(Fault::Pass)
        };
        let server = FaultServer::start(&std::env::var("PARSELOG_TEST_S3").unwrap(), decide).await;
        Self { world, server, illness, requests }
    }

    fn set(&self, fault: Option<Fault>) {
        *self.illness.lock().unwrap() = fault;
    }

    async fn runs(&self) -> Vec<Run> {
        runs(&self.world).await
    }

    async fn until(&mut self, name: &str, holds: impl Fn(&[Run]) -> bool) {
        until(&mut self.world, name, holds).await;
    }
}
