//! A database that cuts its connections, is gone for longer than a lease, or is restarted.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, Instant};

use parselog::cluster::{Cluster, Keep};
use parselog::store::{self, RunFilter, RunStatus};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection};

use crate::oracle::{self, Losses};
use crate::rng::Rng;
use crate::support::PATIENCE;
use crate::support::TestDb;
use crate::turn;
use crate::world::World;

/// The server's own database, from which the tests govern their own.
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
    let _turn = turn().await;
    let mut rng = Rng::new(7);
    let mut world = World::in_folder().await;
    let mut server = Server::of(&world).await;
    for _ in 0..40 {
        world.submit(20 + rng.below(100), 1, rng.below(200)).await;
    }
    let mut worker = world.worker(None, &[]);
    let (began, mut cuts) = (Instant::now(), 0);
    // Without a database a worker does not begin.
    while !world.says(&worker) {
        assert!(began.elapsed() < PATIENCE, "the worker does not start");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    while world.waiting().await > 0 && began.elapsed() < PATIENCE {
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
    let _turn = turn().await;
    let mut world = World::in_folder().await;
    let mut server = Server::of(&world).await;
    // As many as there are slots, and long enough that all of them are parsed at once.
    for _ in 0..3 {
        world.submit(400, 1, 20_000).await;
    }
    let mut worker = world.worker(None, &[("PARSELOG_LEASE", "3s")]);
    let began = Instant::now();
    // A claim whose answer is cut off has no owner; these have, and are parsed.
    while in_flight(&world).await.len() < 3 {
        assert!(began.elapsed() < PATIENCE, "nothing runs");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    server.let_in(false).await;
    server.cut().await;
    tokio::time::sleep(Duration::from_millis(4500)).await;
    server.let_in(true).await;
    while world.unfinished().await > 0 {
        assert!(began.elapsed() < PATIENCE, "the runs do not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(worker.stop(Signal::TERM).success(), "the outage ended the worker");
    world.drain().await;
    let runs = store::find(&world.db.pool, &RunFilter::default()).await.unwrap();
    assert!(runs.iter().all(|run| run.status == RunStatus::Success && run.attempt == 1), "{runs:?}");
    oracle::check(&mut world, Losses::None, "the database was gone").await;
}

/// A server of the test's own, restarted as `pg_ctl restart` does it: at random moments, and once for
/// longer than a lease.
#[tokio::test(flavor = "multi_thread")]
async fn restarts_of_postgres_in_mid_parse_cost_no_run_that_a_worker_has() {
    let _turn = turn().await;
    let home = tempfile::tempdir().unwrap();
    let keep = Keep { program: env!("CARGO_BIN_EXE_parselog").into(), idle: Duration::ZERO };
    let cluster = Cluster::start(home.path(), &keep).unwrap();
    let mut world = World::in_folder_and(TestDb::on(cluster.admin_url()).await);
    let data: String = sqlx::query_scalar("select current_setting('data_directory')")
        .fetch_one(&world.db.pool)
        .await
        .unwrap();
    let mut rng = Rng::new(11);
    // Enough that some are left for the last restart, however long this test takes between two of them.
    for _ in 0..40 {
        world.submit(100 + rng.below(200), 1, 5000).await;
    }
    let mut worker = world.worker(None, &[("PARSELOG_LEASE", "3s")]);
    let mut had = BTreeSet::new();
    for restart in 0..5 {
        let began = Instant::now();
        while in_flight(&world).await.is_subset(&had) {
            assert!(began.elapsed() < PATIENCE, "no other run begins after {restart} restarts");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_millis(rng.below(500))).await;
        had.extend(in_flight(&world).await);
        // Its keeper would start it again at once.
        let keeper = keeper(home.path());
        kill_process(keeper, Signal::STOP).unwrap();
        // SIGQUIT is `-m immediate`, SIGINT is `-m fast`.
        end(Path::new(&data), if restart % 2 == 0 { Signal::QUIT } else { Signal::INT }).await;
        if restart == 2 {
            tokio::time::sleep(Duration::from_secs(4)).await;
        }
        kill_process(keeper, Signal::CONT).unwrap();
        drop(Cluster::start(home.path(), &keep).unwrap());
    }
    let began = Instant::now();
    while world.unfinished().await > 0 {
        assert!(began.elapsed() < PATIENCE, "the runs do not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(worker.stop(Signal::TERM).success(), "a restart ended the worker");
    world.drain().await;
    let runs = store::find(&world.db.pool, &RunFilter::default()).await.unwrap();
    for run in runs.iter().filter(|run| had.contains(&run.id.to_string())) {
        assert_eq!(run.status, RunStatus::Success, "the lease of a living worker was taken: {run:?}");
    }
    let counts = oracle::check(&mut world, Losses::None, "Postgres was restarted").await;
    eprintln!("5 restarts with {} runs in flight; {counts:?}", had.len());
    drop((world, cluster));
}

/// The runs that the worker is parsing, and knows that it has; none while the server can't say.
async fn in_flight(world: &World) -> BTreeSet<String> {
    let running: Vec<String> =
        sqlx::query_scalar("select id::text from parse_file_meta where status = 'running'")
            .fetch_all(&world.db.pool)
            .await
            .unwrap_or_default();
    running.into_iter().filter(|run| world.acks().join(format!("{run}.acks")).exists()).collect()
}

/// The process that starts the server of this home.
fn keeper(home: &Path) -> Pid {
    let text = fs::read_to_string(home.join("postgres/keeper")).unwrap();
    Pid::from_raw(text.split(' ').next().unwrap().parse().unwrap()).unwrap()
}

/// Ends the server of this data folder, and waits until it is gone.
async fn end(data: &Path, how: Signal) {
    let file = fs::read_to_string(data.join("postmaster.pid")).unwrap();
    let pid = file.lines().next().and_then(|pid| Pid::from_raw(pid.trim().parse().ok()?)).unwrap();
    kill_process(pid, how).unwrap();
    let began = Instant::now();
    while test_kill_process(pid).is_ok() {
        assert!(began.elapsed() < PATIENCE, "the server does not end");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
