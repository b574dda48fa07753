//! The intake: what becomes of the records of other processes.

mod actions;
mod keeping;
mod reading;
mod storing;

use std::path::Path;
use std::time::Duration;

use parselog::carry;
use parselog::config::IntakeConfig;
use parselog::intake::Streams;
use parselog::objects::{FolderStore, Objects};
use parselog::record::{Arrival, Incoming, Record};
use parselog::spool::Spool;
use parselog::system::System;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::support::TestDb;

/// A system with a database and a folder of its own.
pub(crate) struct Place {
    pub(crate) db: TestDb,
    pub(crate) dir: TempDir,
    pub(crate) system: System,
}

/// Streams that somebody keeps.
pub(crate) struct KeptStreams {
    pub(crate) streams: Streams,
    stop: oneshot::Sender<()>,
    keeper: JoinHandle<()>,
}

impl Place {
    pub(crate) async fn new() -> Self {
        let (db, dir) = (TestDb::new().await, tempfile::tempdir().unwrap());
        let spool = Spool::open(&dir.path().join("spool"), 1 << 30).unwrap();
        let objects = Objects::Folder(FolderStore::open(&dir.path().join("objects")).unwrap());
        let system = System::new(db.pool.clone(), objects, spool, dir.path());
        Self { db, dir, system }
    }

    /// Streams that nobody keeps, as those of a process that dies.
    pub(crate) fn streams(&self) -> Streams {
        Streams::open(&self.system, IntakeConfig::default()).unwrap()
    }

    pub(crate) fn kept(&self, config: IntakeConfig) -> KeptStreams {
        let streams = Streams::open(&self.system, config).unwrap();
        let ((stop, stopped), kept) = (oneshot::channel(), streams.clone());
        let keeper = carry::spawn(async move {
            let stopped = async { stopped.await.unwrap() };
            kept.keep(stopped).await.unwrap();
        });
        KeptStreams { streams, stop, keeper }
    }

    /// The segments of the spool whose names end so.
    pub(crate) fn spooled(&self, ending: &str) -> Vec<Vec<Record>> {
        let files = std::fs::read_dir(self.dir.path().join("spool")).unwrap();
        let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        paths.retain(|path| path.extension().is_some_and(|found| found == ending));
        paths.sort();
        paths.iter().map(|path| records(path)).collect()
    }

    /// The rows of the segments of a stream, in order: state, events, and those dropped.
    pub(crate) async fn rows(&self, service: &str) -> Vec<(String, i64, i64)> {
        sqlx::query_as(
            "select state, coalesce((select sum(value::bigint) from jsonb_each_text(events)), 0)::bigint,
                    coalesce(dropped, 0)
             from log where service = $1 order by first_at, id",
        )
        .bind(service)
        .fetch_all(&self.db.pool)
        .await
        .unwrap()
    }
}

impl KeptStreams {
    /// Ends the streams in order.
    pub(crate) async fn end(self) {
        self.stop.send(()).unwrap();
        self.keeper.await.unwrap();
    }
}

/// A record as a logger of this name sends it.
pub(crate) fn incoming(logger: &str, level: &str, message: &str) -> Incoming {
    let object = serde_json::json!({"name": logger, "levelname": level, "message": message});
    Incoming::of_object(object.as_object().unwrap().clone()).unwrap()
}

/// Where a record came from.
pub(crate) fn at(connection: u64, end: u64) -> Option<Arrival> {
    Some(Arrival { connection, end })
}

/// Does what may block.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    carry::spawn_blocking(work).await.unwrap()
}

/// Waits until something holds.
pub(crate) async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let waited = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(crate::support::PATIENCE, waited).await.expect("it comes");
}

/// The events of a spooled log.
fn records(path: &Path) -> Vec<Record> {
    let bytes = std::fs::read(path).unwrap();
    let lines = bytes.split(|byte| matches!(byte, b'\n' | 0)).filter(|line| !line.is_empty());
    lines.map(|line| Record::decode(line).expect("a record")).filter(Record::is_event).collect()
}
