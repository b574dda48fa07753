//! The worker, end to end: real Postgres, real S3 protocol, real files.

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use parselog::archive::{Archived, Archiver};
use parselog::carry;
use parselog::objects::{Folder, Objects, Put, S3, S3Options};
use parselog::parser::{CommandOptions, Context, Outcome, ParseError, Parser, Submission, SummaryStatus};
use parselog::queue::{self, Claimant};
use parselog::record::Record;
use parselog::redact::Redactor;
use parselog::spool::{Spool, Syncer};
use parselog::store::{self, LogState, NewFile, Queued, Request, RunStatus};
use parselog::worker::{Parsers, Service, Watch, Worker};
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use crate::fault_server::{Fault, FaultServer};
use crate::localstack;
use crate::scope::{global, install};
use crate::support::{TestDb, accounting};

const SUBMISSION: &str = include_str!("../../samples/tanf-active-2021-q1.txt");

/// A database, an object store and a spool of one test, and a worker at them.
struct Bench {
    db: TestDb,
    dir: tempfile::TempDir,
    bucket: String,
    worker: Worker,
}

impl Bench {
    async fn at(objects: Objects, bucket: &str, parser: Option<Arc<dyn Parser>>) -> Self {
        install();
        let db = TestDb::new().await;
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(&dir.path().join("spool"), 1 << 30).unwrap();
        let redactor = Redactor::default();
        let mut parsers = Parsers::new(&[], &CommandOptions::default()).unwrap();
        if let Some(parser) = parser {
            parsers = parsers.with("*", "*", parser);
        }
        let worker = Worker {
            pool: db.pool.clone(),
            objects: objects.clone(),
            spool: spool.clone(),
            syncer: Arc::new(Syncer::start()),
            archiver: Archiver::new(db.pool.clone(), objects, spool, redactor.clone()),
            parsers: Arc::new(parsers),
            redactor,
            notifier: None,
            reports: None,
            claimant: Claimant {
                worker: "test-worker".to_owned(),
                lease: Duration::from_secs(15),
                timeout: Duration::from_secs(60),
            },
            scratch: dir.path().to_owned(),
        };
        Self { db, dir, bucket: bucket.to_owned(), worker }
    }

    async fn in_folder(parser: Option<Arc<dyn Parser>>) -> Self {
        let root = tempfile::tempdir().unwrap();
        let objects = Objects::Folder(Folder::open(root.path()).unwrap());
        let mut bench = Self::at(objects, "files", parser).await;
        // One folder to remove at the end; the store's lies beside the spool.
        fs::rename(root.keep(), bench.dir.path().join("objects")).unwrap();
        let objects = Objects::Folder(Folder::open(&bench.dir.path().join("objects")).unwrap());
        bench.use_objects(objects);
        bench
    }

    fn use_objects(&mut self, objects: Objects) {
        self.worker.objects = objects.clone();
        let (pool, spool) = (self.db.pool.clone(), self.worker.spool.clone());
        self.worker.archiver = Archiver::new(pool, objects, spool, Redactor::default());
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
        let stored = self.worker.objects.put_file(&self.bucket, &key, &path, &put).await.unwrap();
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
        let request = Request { max_attempts, ..Request::by("ann") };
        store::submit(&self.db.pool, &[file], &request).await.unwrap().remove(0)
    }

    async fn run_next(&self) -> parselog::worker::RunReport {
        let claimed =
            queue::claim(&self.db.pool, &self.worker.claimant).await.unwrap().expect("a run to claim");
        self.worker.run_one(claimed, &Watch::default(), None, || {}).await
    }

    async fn drain(&self, slots: usize) {
        self.worker.serve(service(slots, true), std::future::pending()).await.unwrap();
    }

    fn spooled(&self) -> Vec<PathBuf> {
        fs::read_dir(self.dir.path().join("spool")).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    async fn archived(&self, uri: &str) -> Vec<u8> {
        let to = self.dir.path().join("downloaded");
        self.worker.objects.download(&uri.parse().unwrap(), &to).await.unwrap();
        fs::read(to).unwrap()
    }
}

fn service(slots: usize, drain: bool) -> Service {
    Service {
        slots,
        heartbeat: Duration::from_millis(200),
        poll: Duration::from_millis(200),
        sweep: Duration::from_millis(300),
        shutdown_grace: Duration::from_millis(300),
        drain,
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
async fn a_submission_is_parsed_and_its_log_lies_beside_it_in_s3() {
    let bucket = localstack::bucket().await;
    let bench = Bench::at(bucket.objects.clone(), &bucket.name, None).await;
    let queued = bench.submit("small.txt", SUBMISSION, 1).await;
    bench.drain(2).await;

    let run = bench.db.run(queued.run_id).await;
    assert_eq!((run.status, run.log_state), (RunStatus::Success, LogState::Archived));
    let uri = run.logs_uri.clone().unwrap();
    let start =
        format!("s3://{}/data_files/2021/parsing_logs/parse-datafile-{}-", bucket.name, run.data_file_id);
    assert!(uri.starts_with(&start) && uri.contains(&format!("-{}.log.gz", run.id)), "{uri}");
    let archive = bench.archived(&uri).await;
    let raw = gunzip(&archive);
    assert_eq!(run.log_gzip_bytes, Some(archive.len() as i64));
    assert_eq!(run.log_raw_bytes, Some(raw.len() as i64));
    assert_eq!(run.log_gzip_sha256, Some(Sha256::digest(&archive).into()));
    assert_eq!(run.log_raw_sha256, Some(Sha256::digest(&raw).into()));
    let lines = records(&raw);
    assert_eq!(run.log_lines, Some(lines.len() as i64));
    let head = lines[0].head.as_ref().expect("the first record is the head");
    let tail = lines.last().unwrap().tail.as_ref().expect("the last record is the tail");
    assert_eq!((head.run, tail.dropped, run.log_dropped), (run.id, 0, Some(0)));
    let problems = lines.iter().filter(|line| line.target == "parselog::problem").count() as i64;
    assert_eq!(run.error_count, Some(problems), "each problem is one record");
    assert_eq!(bench.db.actions(run.id).await, ["run", "success"]);
    assert!(bench.spooled().is_empty(), "left in the spool: {:?}", bench.spooled());
    read_with_boto3(&bucket.name, uri.split_once(&format!("{}/", bucket.name)).unwrap().1, &raw);
}

/// Reads the archive as another language does; LocalStack's own Python has boto3.
fn read_with_boto3(bucket: &str, key: &str, raw: &[u8]) {
    let python =
        std::env::var("PARSELOG_TEST_PYTHON").expect("PARSELOG_TEST_PYTHON names a Python with boto3");
    let script = "import boto3, gzip, hashlib, os, sys
s3 = boto3.client('s3', endpoint_url=os.environ['PARSELOG_TEST_S3'])
o = s3.get_object(Bucket=sys.argv[1], Key=sys.argv[2])
assert o['ContentType'] == 'application/gzip' and 'ContentEncoding' not in o, o
raw = gzip.decompress(o['Body'].read())
assert o['Metadata']['sha256'] == hashlib.sha256(raw).hexdigest(), o['Metadata']
print(len(raw), o['Metadata']['run-id'], o['Metadata']['data-file-id'])";
    let key = key.split('?').next().unwrap();
    let output = Command::new(python).args(["-c", script, bucket, key]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).starts_with(&raw.len().to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_add_up_is_seen_when_a_test_ends() {
    let bench = Bench::in_folder(None).await;
    let queued = bench.submit("counted.txt", SUBMISSION, 1).await;
    bench.drain(1).await;
    assert_eq!(accounting::complaints(&bench.db.pool).await, [""; 0]);
    let change = async |by: i32| {
        let sql = "update parse_file_meta set log_dropped = log_dropped + $2 where id = $1";
        sqlx::query(sql).bind(queued.run_id).bind(by).execute(&bench.db.pool).await.unwrap();
    };
    change(1).await;
    assert_eq!(accounting::complaints(&bench.db.pool).await.len(), 1);
    change(-1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_of_one_file_have_two_logs_two_rows_and_two_keys() {
    let bench = Bench::in_folder(None).await;
    let mut uris = Vec::new();
    for _ in 0..2 {
        let queued = bench.submit("twice.txt", SUBMISSION, 1).await;
        bench.drain(1).await;
        let run = bench.db.run(queued.run_id).await;
        uris.push(run.logs_uri.unwrap());
    }
    let logs: Vec<_> =
        [bench.archived(&uris[0]).await, bench.archived(&uris[1]).await].map(|gz| gunzip(&gz)).into();
    assert_ne!(uris[0], uris[1]);
    assert_ne!(records(&logs[0])[0].head, records(&logs[1])[0].head);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_s3_down_the_outcome_stands_the_log_falls_back_and_is_archived_when_s3_is_back() {
    let bucket = localstack::bucket().await;
    let down = Arc::new(AtomicBool::new(false));
    let is_down = Arc::clone(&down);
    let server = FaultServer::start(&localstack::endpoint(), move |_| {
        if is_down.load(Ordering::SeqCst) {
            Fault::Answer(503, "<Error><Code>SlowDown</Code></Error>")
        } else {
            Fault::Pass
        }
    })
    .await;
    let options = S3Options {
        endpoint: Some(server.endpoint.clone()),
        attempts: 2,
        first_backoff: Duration::from_millis(10),
        ..S3Options::default()
    };
    let stopper = Arc::clone(&down);
    let parser = By(move |_: &Submission<'_>, _: &mut Context<'_>| {
        stopper.store(true, Ordering::SeqCst);
        tracing::info!("not replayed");
        tracing::warn!(
            record = 3u64,
            owner = "ann@example.org",
            "replayed, of 123-45-6789, while S3 is down"
        );
        Ok(outcome(SummaryStatus::AcceptedWithErrors))
    });
    let objects = Objects::S3(S3::connect(options).await);
    let bench = Bench::at(objects, &bucket.name, Some(Arc::new(parser))).await;
    let queued = bench.submit("outage.txt", SUBMISSION, 1).await;

    let report = bench.run_next().await;
    assert!(matches!(report.log, Some(Archived::Kept { store_is_down: true, .. })), "{report:?}");
    let run = bench.db.run(queued.run_id).await;
    assert_eq!((run.status, run.log_state), (RunStatus::Success, LogState::Fallback));
    assert!(run.logs_uri.is_none() && run.archive_error.is_some());
    assert!(bench.db.entries(run.id).await.contains(&"fell-back".to_owned()));
    let spooled = fs::read(bench.worker.spool.find(run.id).unwrap().path).unwrap();
    // A second try does not replay again.
    bench.worker.archiver.sweep().await.unwrap();
    let replayed = global("replayed, of 123-45-6789, while S3 is down");
    assert_eq!(replayed.len(), 1);
    assert_eq!(replayed[0].fields["run"], run.id.to_string());
    assert!(global("not replayed").is_empty());

    down.store(false, Ordering::SeqCst);
    let swept = bench.worker.archiver.sweep().await.unwrap();
    assert_eq!((swept.archived, swept.kept), (1, 0));
    let run = bench.db.run(queued.run_id).await;
    assert_eq!((run.log_state, run.archive_error), (LogState::Archived, None));
    let archive = bench.archived(&run.logs_uri.unwrap()).await;
    assert_eq!(gunzip(&archive), spooled, "gunzip gives the spooled log back byte for byte");
    assert!(bench.spooled().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_fails_its_run_and_nothing_else_and_is_tried_again() {
    let parser = By(|submission: &Submission<'_>, _: &mut Context<'_>| {
        assert!(submission.name != "bad.txt", "panic over 123-45-6789");
        tracing::info!("fine");
        Ok(outcome(SummaryStatus::Accepted))
    });
    let bench = Bench::in_folder(Some(Arc::new(parser))).await;
    let bad = bench.submit("bad.txt", SUBMISSION, 2).await;
    let good = bench.submit("good.txt", SUBMISSION, 2).await;
    bench.drain(2).await;

    assert_eq!(bench.db.run(good.run_id).await.status, RunStatus::Success);
    let run = bench.db.run(bad.run_id).await;
    assert_eq!((run.status, run.log_state), (RunStatus::Fail, LogState::Archived));
    assert!(!run.failure.unwrap().contains("6789"));
    let log = records(&gunzip(&bench.archived(&run.logs_uri.unwrap()).await));
    assert!(log.iter().any(|record| record.message.starts_with("panicked: ")));
    let filter = store::RunFilter { data_file: Some(bad.data_file_id), ..Default::default() };
    let runs = store::find(&bench.db.pool, &filter).await.unwrap();
    assert_eq!(
        runs.iter().map(|run| (run.attempt, run.status)).collect::<Vec<_>>(),
        [(2, RunStatus::Queued), (1, RunStatus::Fail)]
    );
    // The next attempt has a row and a log of its own.
    bench.db.make_due().await;
    bench.drain(1).await;
    let second = bench.db.run(runs[0].id).await;
    assert_eq!((second.status, second.log_state), (RunStatus::Fail, LogState::Archived));
}

/// A parser that says it began, and goes on until it is asked to stop.
fn endless() -> (Arc<dyn Parser>, oneshot::Receiver<()>) {
    let (began, has_begun) = oneshot::channel();
    let began = Mutex::new(Some(began));
    let parser = By(move |_: &Submission<'_>, context: &mut Context<'_>| {
        tracing::info!("began");
        if let Some(began) = began.lock().unwrap().take() {
            began.send(()).unwrap();
        }
        loop {
            context.cancel.check()?;
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    (Arc::new(parser), has_begun)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_reaches_a_running_parse_at_the_heartbeat() {
    let (parser, has_begun) = endless();
    let bench = Bench::in_folder(Some(parser)).await;
    let queued = bench.submit("endless.txt", SUBMISSION, 3).await;
    let worker = bench.worker.clone();
    let serving = carry::spawn(async move { worker.serve(service(1, true), std::future::pending()).await });
    has_begun.await.unwrap();
    queue::cancel(&bench.db.pool, queued.run_id, "ann").await.unwrap();
    serving.await.unwrap().unwrap();

    let run = bench.db.run(queued.run_id).await;
    assert_eq!((run.status, run.log_state), (RunStatus::Terminate, LogState::Archived));
    assert_eq!(bench.db.actions(run.id).await, ["run", "terminate"]);
    assert!(bench.db.claim("another").await.is_none(), "a cancelled run is not tried again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stops_hands_its_runs_back_and_archives_their_logs() {
    let (parser, has_begun) = endless();
    let bench = Bench::in_folder(Some(parser)).await;
    let queued = bench.submit("endless.txt", SUBMISSION, 1).await;
    let (stop, stopped) = oneshot::channel::<()>();
    let worker = bench.worker.clone();
    let serving =
        carry::spawn(async move { worker.serve(service(1, false), async { stopped.await.unwrap() }).await });
    has_begun.await.unwrap();
    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();

    let run = bench.db.run(queued.run_id).await;
    assert_eq!((run.status, run.log_state), (RunStatus::Terminate, LogState::Archived));
    let again = bench.db.claim("another").await.expect("the job is in the queue again");
    assert_eq!((again.run.attempt, again.run.data_file_id), (2, run.data_file_id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_past_its_deadline_is_terminated() {
    let (parser, _has_begun) = endless();
    let mut bench = Bench::in_folder(Some(parser)).await;
    bench.worker.claimant.timeout = Duration::from_millis(300);
    let queued = bench.submit("endless.txt", SUBMISSION, 1).await;
    bench.drain(1).await;
    let run = bench.db.run(queued.run_id).await;
    assert_eq!(run.status, RunStatus::Terminate);
    assert!(run.failure.unwrap().contains("deadline"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_that_is_gone_fails_at_once_with_a_clear_reason() {
    let bench = Bench::in_folder(None).await;
    let queued = bench.submit("gone.txt", SUBMISSION, 3).await;
    fs::remove_dir_all(bench.dir.path().join("objects/files/.versions")).unwrap();
    bench.drain(1).await;
    let run = bench.db.run(queued.run_id).await;
    assert_eq!((run.status, run.log_state), (RunStatus::Fail, LogState::Archived));
    assert!(run.failure.unwrap().contains("object version not found"));
    assert!(bench.db.claim("another").await.is_none(), "what is not there is not tried again");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_runs_at_once_misplace_no_line_and_their_counts_add_up() {
    const RUNS: usize = 200;
    let parser = By(|submission: &Submission<'_>, _: &mut Context<'_>| {
        let name = submission.name.to_owned();
        let inner = name.clone();
        let thread =
            carry::thread(move || (0..20).for_each(|event| tracing::info!(name = inner, event, "thread")));
        (0..20).for_each(|event| tracing::warn!(name, event, "parse"));
        thread.join().unwrap();
        Ok(outcome(SummaryStatus::Accepted))
    });
    let bench = Bench::in_folder(Some(Arc::new(parser))).await;
    let mut queued = Vec::new();
    for number in 0..RUNS {
        queued.push(bench.submit(&format!("file-{number}.txt"), "HEADER", 1).await);
    }
    bench.drain(RUNS).await;
    while bench.worker.archiver.sweep().await.unwrap() != Default::default() {}
    for (number, queued) in queued.iter().enumerate() {
        let run = bench.db.run(queued.run_id).await;
        assert_eq!(
            (run.status, run.log_state),
            (RunStatus::Success, LogState::Archived),
            "{:?}",
            run.archive_error
        );
        let log = records(&gunzip(&bench.archived(&run.logs_uri.unwrap()).await));
        let named: Vec<_> = log.iter().filter_map(|record| record.fields.get("name")).collect();
        assert_eq!(named.len(), 40);
        assert!(named.iter().all(|name| **name == format!("file-{number}.txt")));
        let events = run.log_events.unwrap().0;
        assert_eq!((events["WARN"], run.log_dropped), (20, Some(0)));
        assert_eq!(
            events.values().sum::<u64>(),
            log.iter().filter(|record| record.is_event()).count() as u64
        );
    }
}
