//! The embedded database: started on demand, shared between processes, and hard to lose.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use parselog::cluster::Cluster;
use rustix::process::{Pid, Signal, geteuid, kill_process};
use sqlx::{Connection as _, PgConnection};

/// A home folder that the server's user can reach when the tests run as root.
struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("its mode");
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn postmaster(&self) -> Option<Pid> {
        postmaster(&self.path().join("postgres/data"))
    }
}

fn postmaster(data: &Path) -> Option<Pid> {
    let text = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    Pid::from_raw(text.lines().next()?.parse().ok()?)
}

fn query(url: &str, statement: &'static str) -> sqlx::Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut connection = PgConnection::connect(url).await?;
        sqlx::query_scalar(statement).fetch_one(&mut connection).await
    })
}

fn database(cluster: &Cluster) -> String {
    query(&cluster.url(), "select current_database()::text").expect("the cluster answers")
}

fn socket_dir(cluster: &Cluster) -> PathBuf {
    let url = cluster.url();
    let host = url.split_once("host=").and_then(|(_, rest)| rest.split('&').next());
    PathBuf::from(host.expect("a host in the URL"))
}

#[test]
fn a_cluster_is_made_shared_and_stopped_by_the_last_who_leaves() {
    let home = Home::new();
    let first = Cluster::start(home.path()).expect("the first start");
    assert_eq!(database(&first), "parselog");
    assert_eq!(query(&first.admin_url(), "select current_database()::text").expect("admin"), "postgres");
    assert_eq!(query(&first.url(), "show listen_addresses").expect("its settings"), "");
    let server = home.postmaster().expect("a server");

    let second = Cluster::start(home.path()).expect("a second handle");
    assert_eq!(home.postmaster(), Some(server), "the second handle joins the same server");
    first.stop().expect("the first leaves");
    assert_eq!(database(&second), "parselog");

    let url = second.url();
    drop(second);
    assert!(query(&url, "select 'still there'").is_err(), "the last one stops the server");
    assert_eq!(home.postmaster(), None);
}

#[test]
fn what_was_committed_is_there_at_the_next_start() {
    let home = Home::new();
    let cluster = Cluster::start(home.path()).expect("a cluster");
    query(&cluster.url(), "create or replace function kept() returns text return 'kept'").ok(); // No row.
    drop(cluster);
    let again = Cluster::start(home.path()).expect("the next start");
    assert_eq!(query(&again.url(), "select kept()").expect("the function"), "kept");
}

#[test]
fn a_killed_server_is_started_again_while_another_handle_is_open() {
    let home = Home::new();
    let first = Cluster::start(home.path()).expect("a cluster");
    for _ in 0..3 {
        let server = home.postmaster().expect("a server");
        kill_process(server, Signal::KILL).expect("the server dies");
        let next = Cluster::start(home.path()).expect("the next start");
        assert_ne!(home.postmaster(), Some(server));
        assert_eq!(database(&next), "parselog");
    }
    assert_eq!(database(&first), "parselog");
}

#[test]
fn a_server_that_outlived_its_processes_is_joined() {
    let home = Home::new();
    // Forgetting a handle is what kill -9 leaves, but for the lock, which the kernel would release;
    // so the forgotten one keeps the server alive when the others leave.
    std::mem::forget(Cluster::start(home.path()).expect("a cluster"));
    let server = home.postmaster().expect("a server");
    let next = Cluster::start(home.path()).expect("the next start");
    assert_eq!(home.postmaster(), Some(server));
    drop(next);
    assert_eq!(home.postmaster(), Some(server));
    kill_process(server, Signal::INT).expect("the server stops");
    wait_until(|| home.postmaster().is_none());
}

#[test]
fn a_pid_file_that_names_another_living_process_does_not_matter() {
    let home = Home::new();
    drop(Cluster::start(home.path()).expect("a cluster"));
    let data = home.path().join("postgres/data");
    let stale = format!("{}\n{}\n1\n5432\n", std::process::id(), data.display());
    fs::write(data.join("postmaster.pid"), stale).expect("a stale file");
    let next = Cluster::start(home.path()).expect("the next start");
    assert_eq!(database(&next), "parselog");
}

#[test]
fn many_may_start_at_once() {
    let home = Home::new();
    let barrier = Barrier::new(4);
    let names: Vec<String> = thread::scope(|scope| {
        let starters: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    database(&Cluster::start(home.path()).expect("a start"))
                })
            })
            .collect();
        starters.into_iter().map(|starter| starter.join().expect("no panic")).collect()
    });
    assert_eq!(names, ["parselog"; 4]);
    assert_eq!(home.postmaster(), None, "and nothing is left running");
}

#[test]
fn a_path_may_hold_blanks_quotes_and_be_long() {
    let home = Home::new();
    for name in ["two words", "it's \"quoted\" $(touch x) `y`", &"long".repeat(40)] {
        let cluster = Cluster::start(&home.path().join(name)).expect(name);
        assert_eq!(database(&cluster), "parselog");
        let socket = socket_dir(&cluster);
        assert!(socket.as_os_str().len() < 90, "{}", socket.display());
        assert_eq!(fs::metadata(&socket).expect("the socket's folder").permissions().mode() & 0o777, 0o700);
        drop(cluster);
        fs::remove_dir_all(socket).expect("the socket's folder goes");
    }
}

#[test]
fn root_keeps_the_cluster_elsewhere_when_a_parent_is_closed() {
    if !geteuid().is_root() {
        return; // An ordinary user runs the server itself, and can reach its own folders.
    }
    let closed = tempfile::tempdir().expect("a temporary folder");
    fs::set_permissions(closed.path(), Permissions::from_mode(0o700)).expect("its mode");
    let home = closed.path().join("home");
    let cluster = Cluster::start(&home).expect("a cluster elsewhere");
    let base = socket_dir(&cluster).parent().expect("a parent").to_owned();
    assert!(!base.starts_with(closed.path()) && base.join("data").exists());
    assert_eq!(database(&cluster), "parselog");
    drop(cluster);
    assert!(postmaster(&base.join("data")).is_none());
    fs::remove_dir_all(base).expect("the cluster goes");
}

#[test]
fn a_server_that_cannot_start_says_why_in_one_line() {
    let home = Home::new();
    drop(Cluster::start(home.path()).expect("a cluster"));
    let control = home.path().join("postgres/data/global/pg_control");
    fs::remove_file(control).expect("a broken cluster");
    let error = format!("{:#}", Cluster::start(home.path()).expect_err("it can't start"));
    assert!(error.contains("pg_control") && !error.contains('\n'), "{error}");
}

fn wait_until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "waited for too long");
        thread::sleep(Duration::from_millis(20));
    }
}
