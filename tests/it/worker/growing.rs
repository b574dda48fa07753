//! The archive of a large log goes up in parts while its run goes on, and becomes the same object as one that is put at
//! once.

use std::time::Instant;

use parselog::gzip::{self, LineFacts};
use parselog::parser::{Category, Problem};
use parselog::record::{level_of, timestamp_of};

use super::*;
use crate::localstack::Bucket;

/// Bytes of a part; the least that S3 allows.
const PART: u64 = 5 << 20;

fn options() -> S3Options {
    S3Options {
        multipart_threshold: PART,
        part_size: PART,
        attempts: 1,
        first_backoff: Duration::from_millis(10),
        ..S3Options::default()
    }
}

/// A run whose log is large, and that goes on until it is told to end.
struct LargeRun {
    bench: Bench,
    bucket: Bucket,
    go_on: Arc<AtomicBool>,
    server: FaultServer,
    refusing: Arc<AtomicBool>,
}

impl LargeRun {
    async fn begin() -> Self {
        let refusing = Arc::new(AtomicBool::new(false));
        let refuses = Arc::clone(&refusing);
        let decide = move |request: &crate::fault_server::Request| {
            let is_log = request.target.contains("parsing_logs");
            if refuses.load(Ordering::SeqCst) && is_log { Fault::Answer(503, "") } else { Fault::Pass }
        };
        let server = FaultServer::start(&localstack::endpoint(), decide).await;
        let bucket =
            localstack::bucket_with(S3Options { endpoint: Some(server.endpoint.clone()), ..options() }).await;
        let go_on = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&go_on);
        let parser = By(move |_: &Submission<'_>, _: &mut Context<'_>| {
            write_large();
            while !told.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(10));
            }
            Problem { record: Some(9), message: "the last one", ..Problem::new(Category::Case) }.log();
            tracing::info!("the last event");
            Ok(outcome(SummaryStatus::Accepted))
        });
        let bench = Bench::at(bucket.objects.clone(), &bucket.name, Some(Arc::new(parser))).await;
        bench.submit("large.txt", SUBMISSION, 1).await;
        Self { bench, bucket, go_on, server, refusing }
    }

    /// Runs it to its end; `meanwhile` is done while it goes on.
    async fn run(&self, meanwhile: impl Future<Output = ()>) -> parselog::worker::RunReport {
        let meanwhile = async {
            meanwhile.await;
            self.go_on.store(true, Ordering::SeqCst);
        };
        tokio::join!(self.bench.run_next(), meanwhile).0
    }

    /// Waits until so many parts are up.
    async fn parts_are_up(&self, many: usize) {
        let began = Instant::now();
        while self.parts().await < many {
            assert!(began.elapsed() < PATIENCE, "{} parts went up", self.parts().await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn parts(&self) -> usize {
        let uploads = self.bucket.objects.stale_uploads(&self.bucket.name, "", Duration::ZERO).await.unwrap();
        let [upload] = &uploads[..] else { return 0 };
        self.bucket.objects.parts(&upload.named(&self.bucket.name)).await.unwrap().len()
    }

    /// Parts that were sent, by their numbers.
    fn sent(&self) -> Vec<String> {
        let requests = self.server.requests();
        let parts = requests.iter().filter(|request| request.is_part());
        let number = |target: &str| target.split("partNumber=").nth(1)?.split('&').next().map(str::to_owned);
        parts.filter_map(|request| number(&request.target)).collect()
    }

    /// Checks that the log is archived as if it had been put at once, and that nothing else is left.
    async fn check(&self, run: parselog::ids::RunId) {
        let row = self.bench.db.run(run).await;
        assert_eq!((row.status, row.log_state), (RunStatus::Success, LogState::Archived), "{row:?}");
        let archive = self.bench.archived(row.logs_uri.as_ref().unwrap()).await;
        let raw = gunzip(&archive);
        let mut at_once = Vec::new();
        let facts = |line: &[u8]| LineFacts {
            time: timestamp_of(line),
            level: level_of(line).map(|level| level as u8),
        };
        let summary = gzip::compress(&raw[..], &mut at_once, facts).unwrap();
        assert!(archive == at_once, "it differs from the archive that is made at once");
        assert_eq!(row.log_gzip_sha256, Some(summary.gzip_sha256));
        assert_eq!(row.log_raw_sha256, Some(summary.raw_sha256));
        assert_eq!(row.log_lines, Some(summary.lines as i64));
        assert_eq!(records(&raw).iter().filter(|line| line.target == "large").count(), LINES);
        let counted = "select k.category, k.field, c.problems from problem_tally t
             cross join lateral unnest(t.kinds, t.problems) as c (kind_id, problems)
             join problem_kind k on k.id = c.kind_id where t.run_id = $1 and k.id <> 0 order by 1";
        let counted: Vec<(i16, String, i64)> =
            sqlx::query_as(counted).bind(run).fetch_all(&self.bench.db.pool).await.unwrap();
        let wanted = [(2, "SEX".to_owned(), (LINES / LINES_FOR_A_PROBLEM) as i64), (4, String::new(), 1)];
        assert_eq!(counted, wanted);
        assert_eq!(self.bucket.open_uploads().await, 0);
        assert!(self.bench.spooled().is_empty(), "left in the spool: {:?}", self.bench.spooled());
        // Whoever repeats the put, whose answer was lost, finds the same parts.
        let path = self.bench.dir.path().join("at-once");
        fs::write(&path, at_once).unwrap();
        let put = Put {
            content_type: "application/gzip",
            metadata: Vec::new(),
            sha256: summary.gzip_sha256,
            if_none_match: true,
        };
        let key = row.logs_uri.unwrap();
        let key = key.split_once(&format!("{}/", self.bucket.name)).unwrap().1.split('?').next().unwrap();
        self.bucket.objects.put_file(&self.bucket.name, key, &path, &put).await.unwrap();
    }
}

const LINES: usize = 3000;
const LINES_FOR_A_PROBLEM: usize = 30;

/// Logs so many lines of 5,000 characters that hardly pack: three parts of them, nearly.
fn write_large() {
    let (mut state, mut line) = (7_u64, String::new());
    for number in 0..LINES {
        line.clear();
        line.extend((0..5000).map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'#' + ((state >> 33) % 56) as u8)
        }));
        tracing::info!(target: "large", "{line}");
        if number % LINES_FOR_A_PROBLEM == 0 {
            Problem { field: "SEX", message: "it is blank", ..Problem::new(Category::Field) }.log();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_log_goes_up_while_its_run_goes_on() {
    let large = LargeRun::begin().await;
    let report = large.run(large.parts_are_up(2)).await;
    assert_eq!(large.sent(), ["1", "2", "3"], "each once, and the last at the end");
    large.check(report.run).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_wait_for_a_store_that_is_away_and_go_up_in_order() {
    let large = LargeRun::begin().await;
    let meanwhile = async {
        large.parts_are_up(1).await;
        large.refusing.store(true, Ordering::SeqCst);
        let refused = large.sent().len() + 1;
        let began = Instant::now();
        while large.sent().len() < refused && began.elapsed() < Duration::from_secs(2) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        large.refusing.store(false, Ordering::SeqCst);
        large.parts_are_up(2).await;
    };
    let report = large.run(meanwhile).await;
    let sent = large.sent();
    assert!(sent.is_sorted() && sent.last().is_some_and(|last| last == "3"), "{sent:?}");
    large.check(report.run).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_aborted_from_outside_costs_nothing() {
    let large = LargeRun::begin().await;
    let meanwhile = async {
        large.parts_are_up(1).await;
        let (objects, bucket) = (&large.bucket.objects, &large.bucket.name);
        for upload in objects.stale_uploads(bucket, "", Duration::ZERO).await.unwrap() {
            objects.abort_upload(bucket, &upload).await.unwrap();
        }
    };
    let report = large.run(meanwhile).await;
    // It may have been about to complete.
    if large.bench.db.run(report.run).await.log_state != LogState::Archived {
        large.bench.sweep().await;
    }
    large.check(report.run).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_whose_last_part_is_refused_waits_and_leaves_no_upload() {
    let large = LargeRun::begin().await;
    let meanwhile = async {
        large.parts_are_up(1).await;
        large.refusing.store(true, Ordering::SeqCst);
    };
    let report = large.run(meanwhile).await;
    assert!(matches!(report.log, Some(Archived::Kept { store_is_down: true, .. })), "{report:?}");
    assert_eq!(large.bench.db.run(report.run).await.log_state, LogState::Fallback);
    large.refusing.store(false, Ordering::SeqCst);
    large.bench.sweep().await;
    // What was up by then is not sent again.
    let sent = large.sent();
    assert_eq!(sent.iter().filter(|number| *number == "1").count(), 1, "{sent:?}");
    large.check(report.run).await;
}
