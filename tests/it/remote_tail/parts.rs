//! An archive that two machines made, one of which is gone: whoever reads gzip reads it, and the index finds its lines.

use std::path::Path;
use std::sync::{Arc, Mutex};

use parselog::archive::{GrowingArchive, ShippingGuard};
use parselog::gzip::{self, LineFacts};
use parselog::objects::ObjectUri;
use parselog::reader::{LogSource, Selection};
use parselog::record::{LogEnding, level_of, timestamp_of};

use super::*;
use crate::clients::Installed;
use crate::localstack::{self, Bucket};
use crate::support::{PATIENCE, new_file, request_by};

/// Bytes of a part; the least that S3 allows.
const PART: u64 = 5 << 20;

/// Logs lines of 5,000 characters that hardly pack.
fn log_large(journal: &mut Journal, numbers: std::ops::Range<u64>) {
    let (mut encoder, mut state, mut text) = (Encoder::default(), 7_u64, String::new());
    for number in numbers {
        text.clear();
        text.extend((0..5000).map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(number | 1);
            char::from(b'#' + ((state >> 33) % 56) as u8)
        }));
        let origin = Origin::new(Level::Info, "parser", None);
        encoder.start(&origin);
        encoder.message(format_args!("event {number} {text}"));
        journal.append(Level::Info, encoder.finish(&origin, b""));
    }
}

/// A running log of which two parts are up, and two machines; it is on the first one.
pub(super) struct Growing {
    pub(super) db: TestDb,
    pub(super) objects: Objects,
    pub(super) one: Machine,
    pub(super) two: Machine,
    pub(super) run: parselog::ids::RunId,
    pub(super) journal: Journal,
    /// What ships and grows, as long as it is there.
    pub(super) working: (ShippingGuard, GrowingArchive),
    pub(super) bucket: Bucket,
}

impl Growing {
    async fn begin(cap: u64) -> Self {
        Box::pin(Self::begin_with(cap, false)).await
    }

    pub(super) async fn begin_with(cap: u64, gives_back: bool) -> Self {
        Box::pin(Self::begin_at(cap, gives_back, None)).await
    }

    /// With a store that is reached there.
    pub(super) async fn begin_at(cap: u64, gives_back: bool, endpoint: Option<String>) -> Self {
        let db = TestDb::new().await;
        let attempts = if endpoint.is_some() { 1 } else { S3Options::default().attempts };
        let options = S3Options {
            multipart_threshold: PART,
            part_size: PART,
            endpoint,
            attempts,
            ..S3Options::default()
        };
        let bucket = localstack::bucket_with(options).await;
        let objects = bucket.objects.clone();
        let (mut one, two) = (Machine::new(&db, &objects, cap).await, Machine::new(&db, &objects, cap).await);
        one.archiver = one.archiver.giving_back(gives_back);
        let mut file = new_file("a/1.txt");
        file.bucket.clone_from(&bucket.name);
        store::submit(&db.pool, &[file], &request_by("ann")).await.unwrap();
        let claimed = db.claim_and_die("one").await;
        let journal = one.open(&claimed).await;
        let run = claimed.run.id;
        let working = (one.archiver.tail().begin(run.into()), one.archiver.grow(&head_of(&claimed)));
        let growing = Self { db, objects, one, two, run, journal, working, bucket }.log(1..3000).await;
        let began = Instant::now();
        while growing.parts().await < 2 {
            assert!(began.elapsed() < PATIENCE, "{} parts were noted", growing.parts().await);
            growing.one.ship().await;
        }
        growing
    }

    pub(super) async fn log(mut self, numbers: std::ops::Range<u64>) -> Self {
        let logged = carry::spawn_blocking(move || {
            log_large(&mut self.journal, numbers);
            self
        });
        let logged = logged.await.unwrap();
        logged.one.ship().await;
        logged
    }

    pub(super) async fn parts(&self) -> i64 {
        sqlx::query_scalar("select count(*) from log_part").fetch_one(&self.db.pool).await.unwrap()
    }

    /// What the file of the log has by now.
    pub(super) async fn raw(&self) -> Vec<u8> {
        let (spool, run) = (self.one.system.spool.clone(), self.run);
        let read = carry::spawn_blocking(move || std::fs::read(spool.find(run).unwrap().path).unwrap());
        let mut raw = read.await.unwrap();
        raw.truncate(raw.iter().position(|byte| *byte == 0).unwrap_or(raw.len()));
        raw
    }

    /// The other machine takes the log over; returns its row.
    pub(super) async fn taken_over(&self) -> parselog::store::Run {
        queue::reap(&self.db.pool, Duration::ZERO).await.unwrap();
        assert_eq!(self.two.recovery().take_over(Duration::ZERO).await.unwrap(), 1);
        assert_eq!((self.parts().await, pieces(&self.db).await, self.bucket.open_uploads().await), (0, 0, 0));
        let row = self.db.run(self.run).await;
        let uri = row.logs_uri.as_ref().unwrap();
        assert!(!uri.contains(".remote.") && !uri.contains(".fuller."), "{uri}");
        row
    }
}

/// A log of which two parts were up when its machine was lost, and that another one completed.
struct Completed {
    objects: Objects,
    uri: ObjectUri,
    /// Of the whole log.
    raw_bytes: u64,
    /// What it had when its machine was lost.
    raw: Vec<u8>,
}

async fn completed() -> Completed {
    let mut growing = Box::pin(Growing::begin(1 << 30)).await;
    log(&mut growing.journal, 3000..3100);
    growing.one.ship().await;
    growing.one.ship().await;
    let (raw, row) = (growing.raw().await, growing.taken_over().await);
    let uri = row.logs_uri.unwrap().parse().unwrap();
    Completed { objects: growing.objects, uri, raw_bytes: row.log_raw_bytes.unwrap().cast_unsigned(), raw }
}

/// What a program gives on its standard output.
fn output_of(command: &mut Command) -> Vec<u8> {
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", output.status);
    output.stdout
}

/// What Python's `gzip` gives of a file, and of an object that `boto3` fetches.
fn by_python(archive: &Path, uri: &ObjectUri) -> Vec<Vec<u8>> {
    let file = "import gzip, shutil, sys; shutil.copyfileobj(gzip.open(sys.argv[1]), sys.stdout.buffer)";
    let object = "import boto3, gzip, sys
s3 = boto3.client('s3', endpoint_url=sys.argv[1], region_name='us-east-1')
body = s3.get_object(Bucket=sys.argv[2], Key=sys.argv[3])['Body']
sys.stdout.buffer.write(gzip.GzipFile(fileobj=body).read())";
    let ObjectUri::S3 { bucket, key, .. } = uri else { panic!("{uri}") };
    let mut all = vec![output_of(Command::new("python3").args(["-c", file]).arg(archive))];
    if let Some(python) = Installed::find().and_then(|installed| installed.path("python/bin/python")) {
        let endpoint = localstack::endpoint();
        all.push(output_of(Command::new(python).args(["-c", object, &endpoint, bucket, key])));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_of_two_machines_is_read_byte_for_byte_by_gunzip_zcat_python_and_boto3() {
    let Completed { objects, uri, raw, .. } = Box::pin(completed()).await;
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("archive.log.gz");
    objects.download(&uri, &path).await.unwrap();
    let check = move || {
        let all = output_of(Command::new("zcat").arg(&path));
        assert!(all.starts_with(&raw), "it is not the log of the lost machine");
        let tail = Record::decode(&all[raw.len()..]).unwrap().tail.unwrap();
        let what = "after event 3099 the rest of the log was lost with the machine of the run";
        assert_eq!((tail.reason.as_deref(), tail.events.total(), tail.dropped), (Some(what), 3099, 0));
        let others =
            [vec![output_of(Command::new("gunzip").arg("-c").arg(&path))], by_python(&path, &uri)].concat();
        for (number, other) in others.iter().enumerate() {
            assert!(*other == all, "reader {number} reads {} bytes of {}", other.len(), all.len());
        }
        // One machine alone would have made the same archive.
        let facts = |line: &[u8]| LineFacts {
            time: timestamp_of(line),
            level: level_of(line).map(|level| level as u8),
        };
        let mut at_once = Vec::new();
        gzip::compress(&all[..], &mut at_once, facts).unwrap();
        assert!(std::fs::read(&path).unwrap() == at_once, "it differs from an archive that is made at once");
    };
    carry::spawn_blocking(check).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_of_an_archive_of_two_machines_finds_any_line() {
    let Completed { objects, uri, raw_bytes, raw } = Box::pin(completed()).await;
    let source = LogSource::Archive { uri, raw_bytes };
    let lines: Vec<&[u8]> = raw.split_inclusive(|byte| *byte == b'\n').collect();
    for from in [0, 1, 700, lines.len() / 2, 2990, lines.len() - 5] {
        let read = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&read);
        let each = move |line: &[u8]| {
            into.lock().unwrap().extend_from_slice(line);
            Ok(())
        };
        let selection = Selection { lines: Some(from as u64..from as u64 + 5), ..Selection::default() };
        let cost = source.read(&objects, selection, each).await.unwrap();
        assert!(*read.lock().unwrap() == lines[from..from + 5].concat(), "lines from {from}");
        assert!(cost.gets <= 3 && cost.bytes < 3 << 20, "lines from {from} cost {cost:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_had_left_its_machine_with_its_tail_becomes_what_the_machine_would_have_stored() {
    let growing = Box::pin(Growing::begin(1 << 30)).await;
    let Growing { db, objects, one, two, run, journal, working, bucket } = growing;
    let sealed =
        carry::spawn_blocking(move || journal.seal(LogEnding::Success, None)).await.unwrap().unwrap();
    let sealed = std::fs::read(sealed.path()).unwrap();
    drop(working);
    one.archiver.tail().ship_rest(run.into()).await.unwrap();
    queue::reap(&db.pool, Duration::ZERO).await.unwrap();
    assert_eq!(two.recovery().take_over(Duration::ZERO).await.unwrap(), 1);
    let row = db.run(run).await;
    assert_eq!(row.log_raw_sha256, Some(Sha256::digest(&sealed).into()));
    assert_eq!((row.log_raw_bytes, row.log_dropped), (Some(sealed.len().cast_signed() as i64), Some(0)));
    assert!(!row.failure.unwrap().contains("lost with"), "nothing of it was lost");
    assert_eq!(archived(&db, &objects, run).await.len(), 3001);
    assert_eq!(bucket.open_uploads().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_past_its_cap_is_completed_behind_its_parts_with_what_lies_behind_its_cut() {
    let mut growing = Box::pin(Growing::begin(24 << 20)).await;
    for thousand in 3..10 {
        growing = growing.log(thousand * 1000..(thousand + 1) * 1000).await;
    }
    growing.one.ship().await;
    growing.taken_over().await;
    let records = archived(&growing.db, &growing.objects, growing.run).await;
    let numbers: Vec<u64> = records.iter().map(|record| record.seq).filter(|seq| *seq > 0).collect();
    assert!(numbers.is_sorted_by(|one, next| one < next) && numbers.last() == Some(&9999), "{numbers:?}");
    let dropped = 9999 - numbers.len() as u64;
    let tail = records.last().unwrap().tail.as_ref().unwrap();
    assert_eq!((tail.events.total(), tail.dropped), (numbers.len() as u64, dropped));
    assert!(dropped > 0 && records.iter().filter(|record| record.cut.is_some()).count() == 1);
}
