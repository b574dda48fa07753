//! A pooler that hands each transaction to another server connection: PgBouncer in transaction mode.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant};

use parselog::queue;
use parselog::store::{self, Limits, PgPool};
use sqlx::postgres::PgConnectOptions;

use crate::support::skip::skip;
use crate::support::{Desk, KeptPort, PATIENCE, TestDb, claimant, sample_text};

/// A PgBouncer of this test's own, with fewer server connections than anybody wants at once.
struct Bouncer {
    process: Child,
    port: KeptPort,
    _folder: tempfile::TempDir,
}

impl Bouncer {
    /// `None` where it is not installed and may be missing.
    fn start(upstream: &str) -> Option<Self> {
        let Some(mut program) = program() else {
            skip("PgBouncer is missing; scripts/setup test installs it");
            return None;
        };
        let upstream = PgConnectOptions::from_str(upstream).unwrap();
        let host =
            upstream.get_socket().map_or(upstream.get_host().to_owned(), |dir| dir.display().to_string());
        let port = KeptPort::new();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pgbouncer.ini");
        let settings = format!(
            "[databases]\n* = host={host} port={} user={}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {}\nunix_socket_dir =\n\
             auth_type = any\npool_mode = transaction\ndefault_pool_size = 3\nmax_client_conn = 200\n{}",
            upstream.get_port(),
            upstream.get_username(),
            port.number(),
            server_user()
        );
        fs::write(&file, settings).unwrap();
        let process = program.arg("-q").arg(&file).stderr(Stdio::null()).spawn().unwrap();
        let bouncer = Self { process, port, _folder: folder };
        let began = Instant::now();
        while TcpStream::connect(bouncer.port.address()).is_err() {
            assert!(began.elapsed() < PATIENCE, "PgBouncer does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(bouncer)
    }

    fn url(&self, db: &TestDb) -> String {
        format!("postgres://postgres@{}/{}", self.port.address(), db.name())
    }

    async fn pool(&self, db: &TestDb, limits: Limits) -> PgPool {
        let pool = store::connect_within(&self.url(db), "parselog-test", limits).await.unwrap();
        assert!(pool.is_behind_pooler());
        pool
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The installed PgBouncer, or the one that `scripts/setup test` unpacked with its libraries.
fn program() -> Option<Command> {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/pgbouncer/usr");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = std::env::split_paths(&path).chain(["/usr/sbin".into()]).map(|dir| dir.join("pgbouncer"));
    if let Some(program) = installed.into_iter().find(|program| program.is_file()) {
        return Some(Command::new(program));
    }
    let program = unpacked.join("sbin/pgbouncer");
    let libraries = fs::read_dir(unpacked.join("lib")).ok()?.flatten().map(|entry| entry.path());
    let mut command = Command::new(&program);
    command.env("LD_LIBRARY_PATH", std::env::join_paths(libraries).ok()?);
    program.is_file().then_some(command)
}

/// Like Postgres it does not run as root, and the socket of the tests' Postgres belongs to that user.
fn server_user() -> &'static str {
    if !rustix::process::geteuid().is_root() {
        return "";
    }
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    if passwd.lines().any(|line| line.starts_with("postgres:")) {
        "user = postgres\n"
    } else {
        "user = nobody\n"
    }
}

#[tokio::test]
async fn a_direct_connection_is_known_as_such() {
    let db = TestDb::new().await;
    assert!(!db.pool.is_behind_pooler());
    let named = "select count(*) from pg_prepared_statements";
    let mut connection = db.pool.acquire().await.unwrap();
    sqlx::query("select $1::int").bind(1).execute(&mut connection).await.unwrap();
    let named: i64 = sqlx::query_scalar(named).fetch_one(&mut connection).await.unwrap();
    assert!(named > 0, "each statement is parsed anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_claims_at_once_through_few_server_connections_get_each_run_once() {
    let db = TestDb::new().await;
    let Some(bouncer) = Bouncer::start(&db.url()) else { return };
    let keys: Vec<String> = (0..30).map(|n| format!("{n}.txt")).collect();
    db.submit(&keys.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let pool = bouncer.pool(&db, Limits { connections: 10, ..Limits::default() }).await;

    let worker = claimant("w");
    let claims = futures_util::future::join_all((0..40).map(|_| queue::claim(&pool, &worker))).await;
    let mut claimed: Vec<_> =
        claims.into_iter().filter_map(|claim| claim.unwrap()).map(|claim| claim.run.id).collect();
    claimed.sort();
    claimed.dedup();
    assert_eq!(claimed.len(), 30);
    let beats: Vec<_> = claimed.iter().map(|run| (*run, uuid::Uuid::nil())).collect();
    assert!(queue::heartbeat(&pool, &beats, Duration::from_secs(5)).await.unwrap().is_empty());

    // The limit of a statement holds, whichever server connection it comes to.
    let hasty = bouncer.pool(&db, Limits { connections: 2, statement: Duration::from_millis(300) }).await;
    let mut locking = db.pool.begin().await.unwrap();
    sqlx::query("lock table parse_file_meta").execute(&mut *locking).await.unwrap();
    let error = format!("{:#}", queue::claim(&hasty, &worker).await.expect_err("the table is locked"));
    assert!(error.contains("statement timeout"), "{error}");
    locking.rollback().await.unwrap();
    // The limit is short, for a claim on a slow machine.
    let began = Instant::now();
    while !queue::claim(&hasty, &worker).await.is_ok_and(|claimed| claimed.is_none()) {
        assert!(began.elapsed() < PATIENCE, "no connection is of use any more");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_behind_pgbouncer_migrate_parse_and_archive_and_say_once_that_they_poll() {
    let desk = Desk { db: TestDb::empty().await, home: tempfile::tempdir().unwrap() };
    let Some(bouncer) = Bouncer::start(&desk.db.url()) else { return };
    let run = |arguments: &[&str]| {
        let output = desk.command(arguments).env("DATABASE_URL", bouncer.url(&desk.db)).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {err}");
        (String::from_utf8(output.stdout).unwrap(), err)
    };
    run(&["migrate"]);
    assert!(run(&["migrate"]).0.contains("up to date"));
    for name in ["one.txt", "two.txt", "three.txt", "four.txt"] {
        let file = desk.file(name, &sample_text("tanf-active-2021-q1.txt"));
        run(&["submit", &file]);
    }
    let drain = ["worker", "--drain", "--slots", "4", "--poll", "100ms"];
    let said = std::thread::scope(|scope| {
        let workers = [scope.spawn(|| run(&drain)), scope.spawn(|| run(&drain))];
        workers.map(|worker| worker.join().unwrap().1)
    });
    for said in said {
        assert_eq!(said.matches("connection pooler").count(), 1, "{said}");
    }
    let runs = run(&["runs", "--json"]).0;
    assert_eq!(runs.matches(r#""status":"success""#).count(), 4, "{runs}");
    assert_eq!(runs.matches(r#""log_state":"archived""#).count(), 4, "{runs}");
    assert!(run(&["logs", "@latest"]).0.contains("parsed"));
}
