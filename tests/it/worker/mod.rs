//! The worker, end to end: real Postgres, real S3 protocol, real files.

mod archiving;
mod endings;
mod fetching;
mod growing;
mod recovering;
mod responsive;
mod waiting;

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use parselog::archive::Archived;
use parselog::carry;
use parselog::config::{RemoteTailConfig, SpoolKeep, WorkerConfig};
use parselog::objects::{FolderStore, Objects, Put, S3, S3Options};
use parselog::parse::Parsers;
use parselog::parser::{CommandOptions, Context, Outcome, ParseError, Parser, Submission, SummaryStatus};
use parselog::queue::{self, Finished};
use parselog::record::Record;
use parselog::recovery::Swept;
use parselog::spool::Spool;
use parselog::store::{self, LogState, NewFile, Queued, Request, RunStatus};
use parselog::system::System;
use parselog::worker::{RecordsTo, RunsInFlight, Worker};
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use crate::fault_server::{Fault, FaultServer};
use crate::localstack;
use crate::scope::{global, install};
use crate::support::{PATIENCE, TestDb, accounting, head_of, request_by, unheld};

const SUBMISSION: &str = include_str!("../../../samples/tanf-active-2021-q1.txt");

/// A database, an object store and a spool of one test, and a worker at them.
struct Bench {
    db: TestDb,
    dir: tempfile::TempDir,
    bucket: String,
    config: WorkerConfig,
    worker: Worker,
}

impl Bench {
    async fn at(objects: Objects, bucket: &str, parser: Option<Arc<dyn Parser>>) -> Self {
        Self::beside(tempfile::tempdir().unwrap(), objects, bucket, parser).await
    }

    async fn beside(
        dir: tempfile::TempDir,
        objects: Objects,
        bucket: &str,
        parser: Option<Arc<dyn Parser>>,
    ) -> Self {
        install();
        let db = TestDb::new().await;
        let spool = Spool::open(&dir.path().join("spool"), 1 << 30).unwrap();
        let mut parsers = Parsers::new(&[], &CommandOptions::default()).unwrap();
        if let Some(parser) = parser {
            parsers = parsers.with("*", "*", parser);
        }
        let system = System::new(db.pool.clone(), objects, spool, dir.path());
        let config = config();
        let worker = Worker::new(system, parsers).with_config(config.clone()).with_heartbeat(OFTEN);
        Self { db, dir, bucket: bucket.to_owned(), config, worker }
    }

    async fn in_folder(parser: Option<Arc<dyn Parser>>) -> Self {
        // One folder to remove at the end; the store's lies beside the spool.
        let dir = tempfile::tempdir().unwrap();
        let objects = Objects::Folder(FolderStore::open(&dir.path().join("objects")).unwrap());
        Self::beside(dir, objects, "files", parser).await
    }

    /// Stores a submission and queues its run.
    async fn submit(&self, name: &str, content: &str, max_attempts: i32) -> Queued {
        let path = self.dir.path().join(name);
        fs::write(&path, content).unwrap();
        let key = format!("data_files/2021/{name}");
        let put = Put {
            content_type: "text/plain",
            metadata: Vec::new(),
            sha256: Sha256::digest(content).into(),
            if_none_match: false,
        };
        let stored = self.worker.system().objects.put_file(&self.bucket, &key, &path, &put).await.unwrap();
        let file = NewFile {
            bucket: self.bucket.clone(),
            key,
            version_id: stored.uri.version().unwrap_or_default().to_owned(),
            name: name.to_owned(),
            program: "tanf".to_owned(),
            section: "active".to_owned(),
            fiscal_year: 2021,
            fiscal_quarter: 1,
            ..NewFile::default()
        };
        let request = Request { max_attempts, ..request_by("ann") };
        store::submit(&self.db.pool, &[file], &request).await.unwrap().remove(0)
    }

    async fn run_next(&self) -> parselog::worker::RunReport {
        let claimed =
            queue::claim(&self.db.pool, self.worker.claimant()).await.unwrap().expect("a run to claim");
        self.worker.run_one(claimed, &RunsInFlight::default(), RecordsTo::Nobody, || {}).await
    }

    /// What recovery does once, with every log that nobody in this process holds.
    async fn sweep(&self) -> Swept {
        unheld(&self.worker.system().spool).await;
        self.worker.recovery().sweep().await.unwrap()
    }

    async fn drain(&self, slots: usize) {
        self.serving(slots, true).serve(std::future::pending()).await.unwrap();
    }

    /// The worker with so many slots, which drains or serves on.
    fn serving(&self, slots: usize, drain: bool) -> Worker {
        let config = WorkerConfig { slots, ..self.config.clone() };
        let worker = self.worker.clone().with_config(config).with_heartbeat(OFTEN);
        worker.with_drain(drain.then_some(Duration::ZERO))
    }

    /// Works on the spool where blocking is allowed.
    async fn on_spool<T: Send + 'static>(&self, work: impl FnOnce(&Spool) -> T + Send + 'static) -> T {
        let spool = self.worker.system().spool.clone();
        carry::spawn_blocking(move || work(&spool)).await.unwrap()
    }

    fn spooled(&self) -> Vec<PathBuf> {
        fs::read_dir(self.dir.path().join("spool")).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    async fn archived(&self, uri: &str) -> Vec<u8> {
        let to = self.dir.path().join("downloaded");
        self.worker.system().objects.download(&uri.parse().unwrap(), &to).await.unwrap();
        fs::read(to).unwrap()
    }
}

const OFTEN: Duration = Duration::from_millis(200);

fn config() -> WorkerConfig {
    WorkerConfig {
        slots: 1,
        name: Some("test-worker".to_owned()),
        lease: PATIENCE,
        run_timeout: PATIENCE,
        poll: OFTEN,
        remote_tail: RemoteTailConfig::default(),
        spool_keep: SpoolKeep::All,
        sweep: Duration::from_millis(300),
        shutdown_grace: Duration::from_millis(300),
        ..WorkerConfig::default()
    }
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut raw = Vec::new();
    MultiGzDecoder::new(bytes).read_to_end(&mut raw).unwrap();
    raw
}

fn records(raw: &[u8]) -> Vec<Record> {
    raw.split_inclusive(|byte| *byte == b'\n').map(|line| Record::decode(line).expect("a record")).collect()
}

fn outcome(summary: SummaryStatus) -> Outcome {
    Outcome {
        summary,
        records_reported: true,
        records_in_file: 1,
        records_created: 1,
        created_by_type: Default::default(),
        cases: Default::default(),
        errors: Default::default(),
        deprecated_errors: 0,
        errors_by_month: Default::default(),
        first_error: None,
    }
}

/// A parser made of a function.
struct By<F>(F);

impl<F> Parser for By<F>
where
    F: Fn(&Submission<'_>, &mut Context<'_>) -> Result<Outcome, ParseError> + Send + Sync,
{
    fn parse(&self, submission: &Submission<'_>, context: &mut Context<'_>) -> Result<Outcome, ParseError> {
        (self.0)(submission, context)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_add_up_is_seen_when_a_test_ends() {
    let bench = Bench::in_folder(None).await;
    let queued = bench.submit("counted.txt", SUBMISSION, 1).await;
    bench.drain(1).await;
    assert_eq!(accounting::complaints(&bench.db.pool).await, [""; 0]);
    let change = async |by: i32| {
        let sql = "update log set dropped = dropped + $2 where run_id = $1";
        sqlx::query(sql).bind(queued.run_id).bind(by).execute(&bench.db.pool).await.unwrap();
    };
    change(1).await;
    assert_eq!(accounting::complaints(&bench.db.pool).await.len(), 1);
    change(-1).await;
}
