//! A database that cuts its connections, or is gone for longer than a lease.

use std::str::FromStr;
use std::time::{Duration, Instant};

use parselog::store::{self, RunFilter, RunStatus};
use rustix::process::Signal;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection};

use crate::TURN;
use crate::oracle::{self, Losses};
use crate::rng::Rng;
use crate::world::World;

/// The server's own database, to govern the test's one from.
struct Server {
    connection: PgConnection,
    database: String,
}

impl Server {
    async fn of(world: &World) -> Self {
        let url = std::env::var("PARSELOG_TEST_DATABASE").unwrap();
        let connection = PgConnectOptions::from_str(&url).unwrap().connect().await.unwrap();
        let database: String =
            sqlx::query_scalar("select current_database()").fetch_one(&world.db.pool).await.unwrap();
        Self { connection, database }
    }

    /// Ends every connection that a worker has.
    async fn cut(&mut self) -> i64 {
        sqlx::query_scalar(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity
             where datname = $1 and application_name like 'parselog-%' and application_name <> 'parselog-test'",
        )
        .bind(&self.database)
        .fetch_one(&mut self.connection)
        .await
        .unwrap()
    }

    async fn let_in(&mut self, anybody: bool) {
        let sql = format!("alter database {} allow_connections {anybody}", self.database);
        sqlx::query(AssertSqlSafe(sql)).execute(&mut self.connection).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_cut_between_any_two_statements_lose_nothing() {
    let _turn = TURN.lock().await;
    let mut rng = Rng::new(7);
    let mut world = World::in_folder().await;
    let mut server = Server::of(&world).await;
    for _ in 0..40 {
        world.submit(20 + rng.below(100), 1, rng.below(200)).await;
    }
    let mut worker = world.worker(None, &[]);
    let (began, mut cuts) = (Instant::now(), 0);
    while world.waiting().await > 0 && began.elapsed() < Duration::from_secs(20) {
        tokio::time::sleep(Duration::from_millis(rng.below(60))).await;
        cuts += server.cut().await;
        world.db.make_due().await;
    }
    assert!(worker.stop(Signal::TERM).success(), "a cut connection ended the worker");
    world.drain().await;
    let counts = oracle::check(&mut world, Losses::None, "connections were cut").await;
    eprintln!("{cuts} connections cut; {counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_database_longer_than_a_lease_costs_no_run() {
    let _turn = TURN.lock().await;
    let mut world = World::in_folder().await;
    let mut server = Server::of(&world).await;
    for _ in 0..6 {
        world.submit(400, 1, 3000).await;
    }
    let mut worker = world.worker(None, &[("PARSELOG_LEASE", "3s")]);
    let began = Instant::now();
    while world.running().await < 3 {
        assert!(began.elapsed() < Duration::from_secs(20), "nothing runs");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    server.let_in(false).await;
    server.cut().await;
    tokio::time::sleep(Duration::from_millis(4500)).await;
    server.let_in(true).await;
    while world.waiting().await + world.running().await > 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "the runs do not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(worker.stop(Signal::TERM).success(), "the outage ended the worker");
    world.drain().await;
    let runs = store::find(&world.db.pool, &RunFilter::default()).await.unwrap();
    assert!(runs.iter().all(|run| run.status == RunStatus::Success && run.attempt == 1), "{runs:?}");
    oracle::check(&mut world, Losses::None, "the database was gone").await;
}
