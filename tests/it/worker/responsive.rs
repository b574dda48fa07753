//! What a long log that falls back costs the other runs of the worker: no heartbeat.

use std::fmt::Write as _;
use std::io::{BufWriter, Write};
use std::time::Instant;

use chrono::Utc;
use parselog::ids::RunId;
use parselog::record::{Level, LevelCounts, LogEnding, Tail};
use parselog::spool::SealedLog;

use super::*;

/// A third of the default lease.
const LATEST: Duration = Duration::from_secs(5);

/// A complete log in the bench's spool, of a run of its own, with so many bytes of warnings.
async fn long_log(bench: &Bench, bytes: u64) -> SealedLog {
    bench.submit("long.txt", SUBMISSION, 1).await;
    let claimed = bench.db.claim("dead-worker").await.unwrap();
    let head = head_of(&claimed);
    bench
        .on_spool(move |spool| {
            let file = fs::File::create(spool.dir().join(format!("{}.log", head.log))).unwrap();
            let mut file = BufWriter::with_capacity(1 << 20, file);
            let mut written = 0;
            let mut write = |line: &[u8]| {
                file.write_all(line).unwrap();
                written += line.len() as u64;
                written
            };
            write(&head.to_line());
            let mut events = LevelCounts::default();
            let mut line = String::new();
            for seq in 1_u64.. {
                line.clear();
                let _ = writeln!(
                    line,
                    "{{\"timestamp\":\"2026-11-27T12:00:00.000000Z\",\"seq\":{seq},\"level\":\"WARN\",\"target\":\"long\",\
                     \"message\":\"a warning of many\",\"fields\":{{\"line\":{seq},\"what\":\"{seq:0>200}\"}}}}",
                );
                events.add(Level::Warn);
                if write(line.as_bytes()) >= bytes {
                    break;
                }
            }
            let tail = Tail { ending: LogEnding::Success, reason: None, events, dropped: 0 };
            write(&tail.to_line(Utc::now()));
            file.flush().unwrap();
            let entry = spool.find(head.log).unwrap();
            spool.take_sealed(&entry, None).unwrap().expect("nobody holds it")
        })
        .await
}

/// Makes the store refuse logs: a file is where their folder must be.
fn refuse_logs(bench: &Bench) {
    let folder = bench.dir.path().join("objects/files/data_files/2021/parsing_logs");
    fs::create_dir_all(folder.parent().unwrap()).unwrap();
    fs::write(folder, "").unwrap();
}

fn replayed(run: RunId) -> usize {
    global("a warning of many").iter().filter(|record| record.fields["run"] == run.to_string()).count()
}

#[tokio::test]
async fn the_replay_of_a_long_log_holds_up_nothing_on_the_runtime() {
    let bench = Bench::in_folder(None).await;
    let log = long_log(&bench, 200 << 20).await;
    let run = log.head.run().unwrap();
    refuse_logs(&bench);
    let beating = carry::spawn(async {
        let (mut longest, mut last) = (Duration::ZERO, Instant::now());
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            longest = longest.max(last.elapsed());
            last = Instant::now();
            LONGEST.store(longest.as_millis() as u64, Ordering::SeqCst);
        }
    });
    let began = Instant::now();
    let archived = bench.worker.archiver().archive(log).await;
    let took = began.elapsed();
    // One more beat, which tells how long the last one waited.
    tokio::time::sleep(Duration::from_millis(50)).await;
    beating.abort();
    assert!(matches!(archived, Archived::Kept { .. }), "{archived:?}");
    assert_eq!(replayed(run), 10_000);
    let longest = Duration::from_millis(LONGEST.load(Ordering::SeqCst));
    eprintln!("the longest pause between two beats that should be 20 ms apart: {longest:?}");
    // A busy machine holds up both; a replay that held up the runtime would do so for most of its time.
    assert!(longest < LATEST || longest < took / 4, "a heartbeat waited for {longest:?} of {took:?}");
}

static LONGEST: AtomicU64 = AtomicU64::new(0);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it writes a log of 2 GiB: cargo test --test it -- --ignored twenty_runs"]
async fn twenty_runs_keep_their_leases_while_a_log_of_two_gib_is_replayed() {
    let over = Arc::new(AtomicBool::new(false));
    let waits_for = Arc::clone(&over);
    let parser = By(move |_: &Submission<'_>, _: &mut Context<'_>| {
        while !waits_for.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(outcome(SummaryStatus::Accepted))
    });
    let mut bench = Bench::in_folder(Some(Arc::new(parser))).await;
    bench.config.run_timeout = Duration::from_secs(3600);
    bench.config.sweep = LATEST;
    let log = long_log(&bench, 2 << 30).await;
    let run = log.head.run().unwrap();
    for number in 0..20 {
        bench.submit(&format!("waiting-{number}.txt"), SUBMISSION, 1).await;
    }
    refuse_logs(&bench);
    let worker = bench.serving(20, true).with_heartbeat(Duration::from_secs(1));
    let serving = carry::spawn(async move { worker.serve(std::future::pending()).await });
    let of_ours = "from parse_file_meta where worker = 'test-worker' and status = 'running'";
    let count = format!("select count(*) {of_ours}");
    while sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(count.clone()))
        .fetch_one(&bench.db.pool)
        .await
        .unwrap()
        < 20
    {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let archiver = bench.worker.archiver().clone();
    let began = Instant::now();
    let archiving = carry::spawn(async move { archiver.archive(log).await });
    let age = format!("select coalesce(max(extract(epoch from now() - heartbeat_at)), 0)::float8 {of_ours}");
    let (mut oldest, mut looks) = (0_f64, 0);
    while !archiving.is_finished() {
        let now: f64 =
            sqlx::query_scalar(sqlx::AssertSqlSafe(age.clone())).fetch_one(&bench.db.pool).await.unwrap();
        (oldest, looks) = (oldest.max(now), looks + 1);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let took = began.elapsed();
    assert!(matches!(archiving.await.unwrap(), Archived::Kept { .. }));
    over.store(true, Ordering::SeqCst);
    serving.await.unwrap().unwrap();
    assert_eq!(replayed(run), 10_000);
    eprintln!("2 GiB fell back in {took:?}; the oldest heartbeat of 20 runs in {looks} looks: {oldest:.2} s");
    assert!(oldest < LATEST.as_secs_f64(), "a heartbeat was {oldest} s old");
    let crashed = "select count(*) from parse_file_meta where worker = 'test-worker' and status <> 'success'";
    assert_eq!(sqlx::query_scalar::<_, i64>(crashed).fetch_one(&bench.db.pool).await.unwrap(), 0);
}
