//! A database, or the way to it, that answers nothing any more: every wait has an end.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use parselog::queue::{self, Claimant};
use parselog::store::{self, Limits, RunStatus};
use rustix::process::{Pid, Signal, kill_process};

use super::proxy::Proxy;
use crate::support::{Desk, PATIENCE, TestDb, claimant, sample_text};

#[tokio::test]
async fn a_claim_a_statement_and_a_commit_over_a_silent_connection_fail_in_time_and_work_afterwards() {
    let db = TestDb::new().await;
    db.submit(&["a.txt", "b.txt", "c.txt"]).await;
    let proxy = Proxy::start(&db.url()).await;
    let limits = Limits { connections: 3, statement: Duration::from_secs(3) };
    let pool = store::connect_within(&proxy.url(db.name()), "parselog-test", limits).await.unwrap();
    queue::claim(&pool, &claimant("w")).await.unwrap().expect("a run");
    let committing = pool.begin().await.unwrap();
    let mut asking = pool.begin().await.unwrap();

    proxy.swallow(true);
    let silent = async {
        let commit = async { committing.commit().await.expect_err("nobody answers") };
        let ask = async { sqlx::query("select 1").execute(&mut *asking).await.expect_err("nobody answers") };
        let worker = claimant("w");
        // More of them than connections: none may keep one for ever.
        let claims = futures_util::future::join_all((0..6).map(|_| queue::claim(&pool, &worker)));
        let (commit, ask, claims) = tokio::join!(commit, ask, claims);
        for claim in claims {
            claim.expect_err("nobody answers");
        }
        (commit.to_string(), ask.to_string())
    };
    let (commit, ask) = tokio::time::timeout(PATIENCE, silent).await.expect("a call waits for ever");
    assert!(commit.contains("no answer in") && ask.contains("no answer in"), "{commit}; {ask}");
    drop(asking);

    proxy.swallow(false);
    let again = async {
        for _ in 0..2 {
            queue::claim(&pool, &claimant("w")).await.unwrap().expect("a run");
        }
    };
    tokio::time::timeout(PATIENCE, again).await.expect("the pool has no connection left");
}

#[tokio::test]
async fn after_silence_longer_than_a_lease_a_living_worker_keeps_its_run() {
    let db = TestDb::new().await;
    db.submit(&["a.txt"]).await;
    let proxy = Proxy::start(&db.url()).await;
    let limits = Limits { connections: 3, statement: Duration::from_secs(3) };
    let pool = store::connect_within(&proxy.url(db.name()), "parselog-test", limits).await.unwrap();
    // Connections that are older than a lease and that nobody uses while bytes are swallowed.
    let held = [pool.acquire().await.unwrap(), pool.acquire().await.unwrap(), pool.acquire().await.unwrap()];
    drop(held);
    let lease = Duration::from_secs(1);
    let claimed = queue::claim(&pool, &Claimant { lease, ..claimant("w") }).await.unwrap().expect("a run");
    while pool.steady_for() < lease * 2 {
        queue::running(&pool).await.unwrap();
    }

    proxy.swallow(true);
    queue::reap(&pool, lease).await.expect_err("nobody answers");
    proxy.swallow(false);
    assert!(queue::reap(&pool, Duration::from_secs(30)).await.unwrap().is_empty(), "its worker lives");
    let beats = queue::heartbeat(&pool, &[(claimed.run.id, claimed.lease_token)], lease).await.unwrap();
    assert_eq!(beats.len(), 1);
    // Once it lets the lease go while the database answers, the run is ended as any other.
    while queue::reap(&pool, lease).await.unwrap().is_empty() {
        assert!(pool.steady_for() < PATIENCE, "the run is never ended");
    }
}

#[tokio::test]
async fn a_statement_that_waits_for_a_lock_is_ended_by_the_server() {
    let db = TestDb::new().await;
    db.submit(&["a.txt"]).await;
    let limits = Limits { connections: 3, statement: Duration::from_millis(300) };
    let pool = store::connect_within(&db.url(), "parselog-test", limits).await.unwrap();
    let mut locking = db.pool.begin().await.unwrap();
    sqlx::query("lock table parse_file_meta").execute(&mut *locking).await.unwrap();
    for pool in [pool.clone(), pool.patient()] {
        let began = Instant::now();
        let ended = queue::claim(&pool, &claimant("w")).await;
        let error = format!("{:#}", ended.expect_err("the table is locked"));
        assert!(error.contains("statement timeout"), "after {:?}: {error}", began.elapsed());
    }
    locking.rollback().await.unwrap();
    // The limit is short, for a claim on a slow machine.
    let began = Instant::now();
    while !queue::claim(&pool, &claimant("w")).await.is_ok_and(|claimed| claimed.is_some()) {
        assert!(began.elapsed() < PATIENCE, "no connection is of use any more");
    }
}

/// A worker's process, killed at the end of a test that fails.
struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_outlives_silence_works_on_afterwards_and_stops_in_time_in_the_middle_of_it() {
    let desk = Desk::new().await;
    let proxy = Proxy::start(&desk.db.url()).await;
    let mut command = desk.command(&["worker", "--shutdown-grace", "1s", "--poll", "200ms"]);
    let command = command
        .env("DATABASE_URL", proxy.url(desk.db.name()))
        .env("PARSELOG_DATABASE_TIMEOUT", "3s")
        .stderr(Stdio::null());
    let mut worker = Worker(command.spawn().unwrap());
    let submit = |name: &str| {
        let file = desk.file(name, &sample_text("tanf-active-2021-q1.txt"));
        desk.ok(&["submit", &file]);
    };
    submit("before.txt");
    succeeded(&desk, 1).await;

    proxy.swallow(true);
    submit("during.txt");
    // Its connections are used, and so lost.
    proxy.swallowed(3).await;
    proxy.swallow(false);
    succeeded(&desk, 2).await;

    proxy.swallow(true);
    proxy.swallowed(1).await;
    let pid = Pid::from_raw(worker.0.id().cast_signed()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let began = Instant::now();
    let status = loop {
        if let Some(status) = worker.0.try_wait().unwrap() {
            break status;
        }
        assert!(began.elapsed() < PATIENCE, "a silent database holds SIGTERM");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(status.success(), "{status}");
}

/// Waits until so many runs have succeeded.
async fn succeeded(desk: &Desk, runs: usize) {
    let began = Instant::now();
    loop {
        let filter = store::RunFilter { status: vec![RunStatus::Success], ..Default::default() };
        if store::find(&desk.db.pool, &filter).await.unwrap().len() >= runs {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "run {runs} does not end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
