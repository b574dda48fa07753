//! A machine is lost while the archive of a large log goes up in parts: another one completes the upload, and reads
//! nothing of it.

use std::fs;
use std::time::{Duration, Instant};

use parselog::objects::ObjectUri;
use parselog::store::{self, LogState, Run, RunFilter, RunStatus};
use rustix::process::Signal;

use crate::machine::{Distant, Machine, lose};
use crate::oracle::{self, Archive};
use crate::points;
use crate::support::PATIENCE;
use crate::turn;
use crate::world::World;

/// Lines of a thousand characters that hardly pack: three parts of 8 MiB nearly.
const LINES: u64 = 30_000;

/// Of so much as it is packed the remote tail keeps the beginning and the end.
const TAIL: &str = "remote-tail:14000000";

/// Writes many lines at once, and then one after the other for as long as its worker lives. Later attempts write one
/// line.
const PARSER: &str = r#"
import base64, json, os, sys, time
lines, begun = int(sys.argv[1]), sys.argv[2]
try:
    os.open(begun, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
except FileExistsError:
    print("line 0")
    sys.exit()
def log(n, text):
    if n % 10000 == 0:
        text = json.dumps({"level": "warning", "message": text, "category": 2, "field": "DATE"})
    print(text)
parent = os.getppid()
for n in range(lines):
    log(n, "line %d %s" % (n, base64.b64encode(os.urandom(750)).decode()))
while os.getppid() == parent:
    log(lines, "line %d" % lines)
    sys.stdout.flush()
    lines += 1
    time.sleep(0.02)
"#;

/// A run whose log is large, on a machine of its own.
pub(crate) struct Large {
    pub(crate) world: World,
    pub(crate) machine: Machine,
    /// What the machines asked of the store that may not read a log.
    pub(crate) other: Distant,
    _store: Distant,
}

impl Large {
    /// Waits until two parts of it are up and noted.
    async fn begin() -> Self {
        let mut large = Self::begin_with(None, &[]).await;
        large
            .until("two parts are up", async |large| {
                large.count("select coalesce(max(parts), 0)::bigint from log_upload").await >= 2
            })
            .await;
        large.until("the log has more lines", async |large| large.last_line().0 > LINES + 10).await;
        large
    }

    /// On a machine that kills itself at the point `fault` and is told something more.
    pub(crate) async fn begin_with(fault: Option<&str>, more: &[(&str, &str)]) -> Self {
        let mut world = World::in_s3().await;
        let script = world.home().join("parser.py");
        fs::write(&script, PARSER).unwrap();
        let begun = world.home().join("begun");
        let rule = format!("*/*=python3 {} {LINES} {}", script.display(), begun.display());
        world.tell("PARSELOG_PARSERS", &rule);
        world.tell("PARSELOG_FAULT_BOUND", TAIL);
        let (store, other) = (Distant::start().await, Distant::start().await);
        world.submit(1, 1, 0).await;
        let machine = world.machine_with(&store, fault, more);
        Self { world, machine, other, _store: store }
    }

    /// The last whole line that the log in the spool has, and its bytes up to there.
    pub(crate) fn last_line(&self) -> (u64, i64) {
        let spool =
            fs::read_dir(self.machine.home.join("spool")).unwrap().flatten().map(|entry| entry.path());
        let log = spool.filter(|path| path.extension().is_some_and(|end| end == "open")).min().unwrap();
        let bytes = fs::read(log).unwrap();
        let end = bytes.iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
        let number = |line: &[u8]| {
            let line: serde_json::Value = serde_json::from_slice(line).ok()?;
            crate::output::line_number(line["message"].as_str()?)
        };
        let last = bytes[..end].rsplit(|byte| *byte == b'\n').find_map(number);
        (last.unwrap_or_default(), i64::try_from(end).unwrap())
    }

    /// Loses the machine with its disk, when all that the log has by now has left it; returns its last line.
    pub(crate) async fn lose(&mut self) -> u64 {
        let (last, bytes) = self.last_line();
        let shipped = "select coalesce(max(at + raw_bytes), 0)::bigint from log_piece";
        self.until("the lines leave the machine", async |large| large.count(shipped).await >= bytes).await;
        self.machine.worker.stop(Signal::KILL);
        lose(&self.machine.home);
        self.world.let_time_pass("").await;
        last
    }

    /// Another machine works until all is done.
    pub(crate) async fn work_off(&mut self) {
        self.world.work_off(&self.other).await;
    }

    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        let count: Result<i64, _> = sqlx::query_scalar(sql).fetch_one(&self.world.db.pool).await;
        match count {
            Ok(count) => count,
            Err(error) => panic!("{sql}: {error}"),
        }
    }

    pub(crate) async fn until(&mut self, what: &str, mut holds: impl AsyncFnMut(&mut Self) -> bool) {
        let began = Instant::now();
        while !holds(self).await {
            if began.elapsed() > PATIENCE {
                self.world.fail(&format!("never: {what}"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The run whose log is large.
    pub(crate) async fn run(&self) -> Run {
        let runs = store::find(&self.world.db.pool, &RunFilter::default()).await.unwrap();
        runs.into_iter().min_by_key(|run| run.id).unwrap()
    }

    /// Checks that the log has each line once and in order, up to this one at least, that log and row say where it ends,
    /// and that nothing is left over.
    pub(crate) async fn check(&mut self, last: u64, about: &str) {
        let run = self.run().await;
        let checked = async {
            if (run.status, run.log_state) != (RunStatus::Crash, LogState::Archived) {
                return Err("it has not crashed, or has no archive".to_owned());
            }
            let archive = Archive::of(&self.world, &run).await?;
            if oracle::check_numbers(&archive)? != 0 || archive.tail["dropped"] != 0 {
                return Err(format!("events were dropped: {}", archive.tail));
            }
            let events: Vec<_> = archive.events().collect();
            let lines = events.iter().filter_map(|event| crate::output::line_number(event.text("message")));
            let lines: Vec<u64> = lines.collect();
            if lines.iter().copied().ne(0..lines.len() as u64) || lines.len() as u64 <= last {
                return Err(format!("lines are missing, or twice: {} of {last}", lines.len()));
            }
            let end = format!("after event {} the rest", events.len());
            let is_said = |text: Option<&str>| text.is_some_and(|text| text.contains(&end));
            if !is_said(archive.tail["reason"].as_str()) || !is_said(run.failure.as_deref()) {
                return Err(format!("it does not say where it ends: {} {:?}", archive.tail, run.failure));
            }
            Ok(())
        };
        if let Err(complaint) = checked.await {
            self.world.fail(&format!("{about}: run {}: {complaint}", run.id));
        }
        self.nothing_is_left(about).await;
    }

    pub(crate) async fn nothing_is_left(&self, about: &str) {
        let world = &self.world;
        let uploads =
            world.objects.stale_uploads(&world.bucket, &world.prefix, Duration::ZERO).await.unwrap();
        assert_eq!(uploads, [], "{about}");
        let noted = "select (select count(*) from log_piece) + (select count(*) from log_part)
                          + (select count(*) from log_upload)";
        assert_eq!(self.count(noted).await, 0, "{about}: pieces or parts of archived logs are noted");
        let uncounted =
            "select count(*) from log where state = 'archived' and taken_by is not null and not is_counted";
        assert_eq!(self.count(uncounted).await, 0, "{about}: problems of an archived log are not counted");
        let keys = self.keys().await;
        let mut objects = keys.clone();
        objects.dedup();
        assert_eq!(keys, objects, "{about}: an object has several versions");
    }

    /// The keys of all stored logs.
    async fn keys(&self) -> Vec<String> {
        let folder = format!("{}/parsing_logs", self.world.prefix);
        let listed = self.world.objects.list_folder(&self.world.bucket, &folder).await.unwrap();
        let mut keys: Vec<String> = listed.into_iter().map(|object| object.key).collect();
        keys.retain(|key| key.ends_with(".log.gz"));
        keys
    }

    /// Where a stored log was read through the store of the other machines. One byte says whether an object is there.
    fn downloads(&self) -> Vec<String> {
        let reads = |target: &str| target.contains("parsing_logs") && !target.contains("upload");
        let requests = self.other.requests().into_iter();
        let read = requests.filter(|one| one.method == "GET" && reads(&one.target));
        read.map(|one| one.head.to_lowercase()).filter(|head| !head.contains("range: bytes=0-0\r")).collect()
    }

    /// The parts of the large log that the other machines sent, by their numbers.
    async fn sent(&self) -> Vec<u16> {
        let run = self.run().await.id.to_string();
        let requests =
            self.other.requests().into_iter().filter(|one| one.is_part() && one.target.contains(&run));
        let number = |target: &str| target.split("partNumber=").nth(1)?.split('&').next()?.parse().ok();
        requests.filter_map(|one| number(&one.target)).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_lost_machine_is_completed_behind_the_parts_that_are_up_and_nothing_is_read() {
    let _turn = turn().await;
    let mut large = Large::begin().await;
    let last = large.lose().await;
    large.work_off().await;
    large.check(last, "a machine was lost").await;
    let problems = large.count("select sum(problems)::bigint from problem_day where kind_id <> 0").await;
    assert_eq!(problems, 4, "three before the last part that was noted, and one behind it");
    assert_eq!(large.downloads(), [""; 0]);
    let sent = large.sent().await;
    assert!(!sent.is_empty() && sent.iter().all(|number| *number > 2), "{sent:?}");
    let uri = large.run().await.logs_uri.unwrap();
    assert!(!uri.contains(".remote.") && !uri.contains(".fuller."), "{uri}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_at_any_point_of_a_takeover_leaves_it_to_the_next_one() {
    let _turn = turn().await;
    for point in points::of("takeover-") {
        let mut large = Large::begin().await;
        let last = large.lose().await;
        let mut second = large.world.machine_with(&large.other, Some(&point), &[]);
        let began = Instant::now();
        while second.worker.poll().is_none() {
            if began.elapsed() > PATIENCE {
                large.world.fail(&format!("no worker came to the point {point}"));
            }
            large.world.let_time_pass(&second.worker.name).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        lose(&second.home);
        large.work_off().await;
        large.check(last, &point).await;
        assert_eq!(large.downloads(), [""; 0], "{point}");
        eprintln!("killed at {point:20} parts sent {:?}", large.sent().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_log_whose_parts_are_gone_is_composed_of_its_pieces_and_says_what_is_missing() {
    let _turn = turn().await;
    let mut large = Large::begin().await;
    large.lose().await;
    let (objects, bucket) = (large.world.objects.clone(), large.world.bucket.clone());
    for upload in objects.stale_uploads(&bucket, &large.world.prefix, Duration::ZERO).await.unwrap() {
        objects.abort_upload(&bucket, &upload).await.unwrap();
    }
    large.work_off().await;
    let run = large.run().await;
    let archive = Archive::of(&large.world, &run).await.unwrap();
    let (dropped, events) = (archive.tail["dropped"].as_u64().unwrap(), archive.events().count() as u64);
    assert!(dropped > 0 && archive.cut.is_some(), "{}", archive.tail);
    assert_eq!(archive.events().last().unwrap().seq(), events + dropped);
    assert!(run.logs_uri.unwrap().contains(".remote.log.gz"));
    large.nothing_is_left("the parts are gone").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_comes_back_to_its_completed_upload_keeps_the_fuller_log_beside_it() {
    let _turn = turn().await;
    let mut large = Large::begin().await;
    large.machine.worker.freeze();
    let mut other = large.world.machine(&large.other, None);
    let name = other.worker.name.clone();
    large
        .until("the log is taken over", async |large| {
            large.world.let_time_pass(&name).await;
            large.run().await.log_state == LogState::Archived
        })
        .await;
    let composed: ObjectUri = large.run().await.logs_uri.unwrap().parse().unwrap();
    large.machine.worker.signal(Signal::CONT);
    large
        .until("the fuller log is archived", async |large| {
            large.run().await.logs_uri.is_some_and(|uri| uri.contains(".fuller.log.gz"))
        })
        .await;
    assert!(large.machine.worker.stop(Signal::TERM).success());
    assert!(other.worker.stop(Signal::TERM).success());
    let run = large.run().await;
    let fuller = Archive::of(&large.world, &run).await.unwrap();
    assert_eq!((oracle::check_numbers(&fuller), &fuller.tail["dropped"]), (Ok(0), &0.into()));
    let lines = fuller.events().filter_map(|event| crate::output::line_number(event.text("message")));
    let lines: Vec<u64> = lines.collect();
    assert!(lines.iter().copied().eq(0..lines.len() as u64) && lines.len() as u64 > LINES);
    let named: Option<String> =
        sqlx::query_scalar("select detail from log_entry where entry = 'fuller-log' and run_id = $1")
            .bind(run.id)
            .fetch_one(&large.world.db.pool)
            .await
            .unwrap();
    assert_eq!(named, Some(format!("{}, instead of {composed}", run.logs_uri.unwrap())));
    large.world.objects.head(&composed).await.unwrap();
    large.nothing_is_left("its machine came back").await;
}
