//! The embedded database: started on demand, shared between processes, and hard to lose.

mod keeping;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use parselog::cluster::{Cluster, Keep};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::{Connection as _, PgConnection};

use crate::support::PATIENCE;
use crate::support::skip::needs_root;

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

    /// The cluster, which stops when its last handle is dropped.
    fn start(&self) -> anyhow::Result<Cluster> {
        start(self.path())
    }

    /// Every process whose command line names this home.
    fn processes(&self) -> Vec<(Pid, String)> {
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").expect("/proc").flatten() {
            let pid = entry.file_name().to_str().and_then(|name| Pid::from_raw(name.parse().ok()?));
            let words = fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
            if let Some(pid) = pid.filter(|_| words.contains(self.path().to_str().expect("UTF-8"))) {
                found.push((pid, words.replace('\0', " ")));
            }
        }
        found
    }

    fn postmaster(&self) -> Option<Pid> {
        postmaster(&self.path().join("postgres/data"))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if !thread::panicking() {
            wait_until(|| self.processes().is_empty());
        }
    }
}

fn start(home: &Path) -> anyhow::Result<Cluster> {
    let program = env!("CARGO_BIN_EXE_parselog").into();
    Cluster::start(home, &Keep { program, idle: Duration::ZERO })
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
    let first = home.start().expect("the first start");
    assert_eq!(database(&first), "parselog");
    assert_eq!(query(&first.admin_url(), "select current_database()::text").expect("admin"), "postgres");
    assert_eq!(query(&first.url(), "show listen_addresses").expect("its settings"), "");
    let server = home.postmaster().expect("a server");

    let second = home.start().expect("a second handle");
    assert_eq!(home.postmaster(), Some(server), "the second handle joins the same server");
    drop(first);
    assert_eq!(database(&second), "parselog");

    let url = second.url();
    drop(second);
    wait_until(|| home.postmaster().is_none());
    assert!(query(&url, "select 'still there'").is_err(), "the last one stops the server");
}

#[test]
fn what_was_committed_is_there_at_the_next_start() {
    let home = Home::new();
    let cluster = home.start().expect("a cluster");
    query(&cluster.url(), "create or replace function kept() returns text return 'kept'").ok(); // No row.
    drop(cluster);
    let again = home.start().expect("the next start");
    assert_eq!(query(&again.url(), "select kept()").expect("the function"), "kept");
}

#[test]
fn a_killed_server_is_started_again_while_another_handle_is_open() {
    let home = Home::new();
    let first = home.start().expect("a cluster");
    for _ in 0..3 {
        let server = home.postmaster().expect("a server");
        kill_process(server, Signal::KILL).expect("the server dies");
        let next = home.start().expect("the next start");
        assert_ne!(home.postmaster(), Some(server));
        assert_eq!(database(&next), "parselog");
    }
    assert_eq!(database(&first), "parselog");
}

#[test]
fn a_pid_file_that_names_another_living_process_does_not_matter() {
    let home = Home::new();
    drop(home.start().expect("a cluster"));
    wait_until(|| home.postmaster().is_none());
    let data = home.path().join("postgres/data");
    let stale = format!("{}\n{}\n1\n5432\n", std::process::id(), data.display());
    fs::write(data.join("postmaster.pid"), stale).expect("a stale file");
    let next = home.start().expect("the next start");
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
                    database(&home.start().expect("a start"))
                })
            })
            .collect();
        starters.into_iter().map(|starter| starter.join().expect("no panic")).collect()
    });
    assert_eq!(names, ["parselog"; 4]);
    wait_until(|| home.processes().is_empty());
}

#[test]
fn a_path_may_hold_blanks_quotes_and_be_long() {
    let home = Home::new();
    for name in ["two words", "it's \"quoted\" $(touch x) `y`", &"long".repeat(40)] {
        let cluster = start(&home.path().join(name)).expect(name);
        assert_eq!(database(&cluster), "parselog");
        let socket = socket_dir(&cluster);
        assert!(socket.as_os_str().len() < 90, "{}", socket.display());
        assert_eq!(fs::metadata(&socket).expect("the socket's folder").permissions().mode() & 0o777, 0o700);
        drop(cluster);
        wait_until(|| home.processes().is_empty());
        fs::remove_dir_all(socket).expect("the socket's folder goes");
    }
}

#[test]
fn root_keeps_the_cluster_elsewhere_when_a_parent_is_closed() {
    if needs_root("run the server as another user") {
        return;
    }
    let closed = tempfile::tempdir().expect("a temporary folder");
    fs::set_permissions(closed.path(), Permissions::from_mode(0o700)).expect("its mode");
    let home = closed.path().join("home");
    let cluster = start(&home).expect("a cluster elsewhere");
    let base = socket_dir(&cluster).parent().expect("a parent").to_owned();
    assert!(!base.starts_with(closed.path()) && base.join("data").exists());
    assert_eq!(database(&cluster), "parselog");
    drop(cluster);
    wait_until(|| postmaster(&base.join("data")).is_none());
    fs::remove_dir_all(base).expect("the cluster goes");
}

#[test]
fn a_server_that_cannot_start_says_why_in_one_line() {
    let home = Home::new();
    drop(home.start().expect("a cluster"));
    wait_until(|| home.processes().is_empty());
    let control = home.path().join("postgres/data/global/pg_control");
    fs::remove_file(control).expect("a broken cluster");
    let error = format!("{:#}", home.start().expect_err("it can't start"));
    assert!(error.contains("pg_control") && !error.contains('\n'), "{error}");
}

fn wait_until(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited for too long");
        thread::sleep(Duration::from_millis(20));
    }
}
