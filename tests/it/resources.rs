//! What a worker holds does not grow with the runs it has done. `make bench BENCH=resources` has the large
//! figures.

use std::fs;
use std::io::Write;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use parselog::config::{RemoteTailConfig, SpoolKeep, WorkerConfig};
use parselog::objects::{FolderStore, Objects, Put};
use parselog::parse::Parsers;
use parselog::parser::CommandOptions;
use parselog::spool::Spool;
use parselog::store::{self, NewFile};
use parselog::system::System;
use parselog::worker::Worker;
use sha2::{Digest, Sha256};

use crate::scope::install;
use crate::support::{Desk, PATIENCE, new_file, request_by};

/// Queues so many runs of small files, in the folder store of the desk.
async fn submit(desk: &Desk, objects: &Objects, many: usize, prefix: &str) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"HEADER20241A06   TAN1 D\n").unwrap();
    let sha256 = Sha256::digest(fs::read(file.path()).unwrap()).into();
    let put = Put { content_type: "text/plain", metadata: Vec::new(), sha256, if_none_match: false };
    let mut files = Vec::new();
    for number in 0..many {
        let key = format!("{prefix}/{number}.txt");
        let stored = objects.put_file("files", &key, file.path(), &put).await.unwrap();
        let version_id = stored.uri.version().unwrap_or_default().to_owned();
        files.push(NewFile { bucket: "files".to_owned(), version_id, ..new_file(&key) });
    }
    store::submit(&desk.db.pool, &files, &request_by("ann")).await.unwrap();
}

fn objects(desk: &Desk) -> Objects {
    Objects::Folder(FolderStore::open(&desk.home.path().join("objects")).unwrap())
}

/// Waits until every run has ended and every log is archived.
async fn drained(desk: &Desk) {
    let began = Instant::now();
    loop {
        let left: i64 = sqlx::query_scalar(
            "select count(*) from run where log_state <> 'archived' or finished_at is null",
        )
        .fetch_one(&desk.db.pool)
        .await
        .unwrap();
        if left == 0 {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{left} runs are left");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Open files of a process that are no sockets, and those that are.
fn open_files(id: u32) -> (usize, usize) {
    let links = fs::read_dir(format!("/proc/{id}/fd")).unwrap();
    let links: Vec<_> = links.flatten().filter_map(|link| fs::read_link(link.path()).ok()).collect();
    let sockets = links.iter().filter(|link| link.to_string_lossy().starts_with("socket:")).count();
    (links.len() - sockets, sockets)
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = (self.0.kill(), self.0.wait());
    }
}

#[tokio::test]
async fn after_a_thousand_runs_a_worker_has_as_many_files_open_as_before() {
    let desk = Desk::new().await;
    let objects = objects(&desk);
    let mut command = desk.command(&["worker", "--slots", "4", "--poll", "50ms", "--sweep", "100ms"]);
    let worker = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let worker = Running(worker);
    submit(&desk, &objects, 40, "first").await;
    drained(&desk).await;
    let (files, sockets) = open_files(worker.0.id());

    submit(&desk, &objects, 1000, "then").await;
    drained(&desk).await;
    let began = Instant::now();
    let mut now = open_files(worker.0.id());
    // The last log's file is closed a moment after the row says that it is archived.
    while now.0 > files && began.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(20)).await;
        now = open_files(worker.0.id());
    }
    assert!(now.0 <= files, "{} files are open, {files} were", now.0);
    assert!(now.1 <= sockets + 10, "{} sockets are open, {sockets} were: more than a pool of ten", now.1);
}

#[tokio::test]
async fn after_its_runs_a_worker_leaves_no_task_behind() {
    install();
    let desk = Desk::new().await;
    let objects = objects(&desk);
    let spool = Spool::open(&desk.home.path().join("spool"), 1 << 30).unwrap();
    let system = System::new(desk.db.pool.clone(), objects.clone(), spool, desk.home.path());
    let often = Duration::from_millis(50);
    let config = WorkerConfig {
        slots: 4,
        name: Some("test-worker".to_owned()),
        lease: PATIENCE,
        run_timeout: PATIENCE,
        poll: often,
        remote_tail: RemoteTailConfig::default(),
        spool_keep: SpoolKeep::All,
        sweep: often,
        shutdown_grace: often,
        ..WorkerConfig::default()
    };
    let worker = Worker::new(system, Parsers::new(&[], &CommandOptions::default()).unwrap())
        .with_config(config)
        .with_heartbeat(often)
        .with_drain(Some(Duration::ZERO));
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let mut alive = Vec::new();
    for round in 0..4 {
        submit(&desk, &objects, 50, &round.to_string()).await;
        worker.serve(std::future::pending()).await.unwrap();
        // A task that was told to stop is gone when the runtime comes to it.
        let began = Instant::now();
        while alive.last().is_some_and(|before| tasks() > *before) && began.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        alive.push(tasks());
    }
    assert!(alive.last() <= alive.first(), "tasks after each round of 50 runs: {alive:?}");
}
