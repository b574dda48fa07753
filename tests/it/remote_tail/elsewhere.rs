//! A running log is read from another machine: its beginning, its middle and its end, and what is not to be had is said.

use std::fs;
use std::process::Child;
use std::sync::{Arc, Mutex};

use parselog::reader::{Cost, Follower, LinesWanted, LogBlocks, LogSource, News, PageFrom, Selection};
use parselog::record::timestamp_of;
use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;

use super::parts::Growing;
use super::*;
use crate::localstack;
use crate::pages::Site;
use crate::support::{Desk, PATIENCE, Said};

/// The lines of a log of 60 MB.
const LINES: u64 = 12_000;

/// A running log of so many lines, of which the remote tail has no more than the beginning and the end; its worker ships.
async fn long(gives_back: bool) -> (Growing, AbortOnDropHandle<()>) {
    let mut growing = Box::pin(Growing::begin_with(1 << 30, gives_back)).await;
    for thousand in 3..11 {
        growing = growing.log(thousand * 1000..(thousand + 1) * 1000).await;
    }
    let shipping = growing.one.ships();
    // Behind the last part is less than another one.
    until("its parts are up", || async { growing.parts().await >= 7 }).await;
    // With more of the log, what is up goes from the pieces.
    growing = growing.log(11_000..LINES).await;
    is_shipped(&growing).await;
    (growing, shipping)
}

async fn until<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn is_shipped(growing: &Growing) {
    until("all is shipped", || async { pieces_reach(growing).await >= growing.journal.bytes() }).await;
}

async fn pieces_reach(growing: &Growing) -> u64 {
    store::piece::shipped_to(&growing.db.pool, growing.run.into()).await.unwrap()
}

/// The log as the other machine finds it.
async fn found(growing: &Growing) -> LogSource {
    LogSource::find(&growing.db.run(growing.run).await, &growing.two.system).await.unwrap()
}

/// The selected lines.
async fn read(
    source: &LogSource,
    growing: &Growing,
    selection: Selection,
) -> anyhow::Result<(Vec<u8>, Cost)> {
    let read = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&read);
    let each = move |line: &[u8]| {
        into.lock().unwrap().extend_from_slice(line);
        Ok(())
    };
    let cost = source.read(&growing.objects, selection, each).await?;
    Ok((std::mem::take(&mut read.lock().unwrap()), cost))
}

#[tokio::test(flavor = "multi_thread")]
async fn another_machine_reads_any_line_of_a_running_log() {
    let (growing, _shipping) = Box::pin(long(false)).await;
    let raw = growing.raw().await;
    let lines: Vec<&[u8]> = raw.split_inclusive(|byte| *byte == b'\n').collect();
    assert_eq!(lines.len() as u64, LINES);
    let source = found(&growing).await;
    assert!(matches!(source, LogSource::Elsewhere(_)));
    let mut asked = 0;
    for from in [0, 1, 2_000, 6_000, 8_000, 9_000, 11_000, 11_995] {
        let selection = Selection { lines: Some(from..from + 5), ..Selection::default() };
        let (read, cost) = read(&source, &growing, selection).await.unwrap();
        assert!(read == lines[from as usize..from as usize + 5].concat(), "lines from {from}");
        assert!(cost.gets <= 1, "lines from {from} cost {cost:?}");
        asked += cost.gets;
    }
    assert!(asked > 0, "the remote tail has all of it: that is no test");

    let last = Selection { tail: Some(7), ..Selection::default() };
    let (tail, cost) = read(&source, &growing, last).await.unwrap();
    assert!(tail == lines[11_993..].concat() && cost.gets == 0, "{cost:?}");
    let since = timestamp_of(lines[7_000]).unwrap();
    let selection = Selection {
        since: chrono::DateTime::from_timestamp_micros(since),
        head: Some(3),
        ..Selection::default()
    };
    let first = lines.iter().position(|line| timestamp_of(line).unwrap() >= since).unwrap();
    assert!(read(&source, &growing, selection).await.unwrap().0 == lines[first..first + 3].concat());
    let (whole, cost) = read(&source, &growing, Selection::default()).await.unwrap();
    assert!(whole == raw, "{} of {} bytes", whole.len(), raw.len());
    assert!(cost.gets > 0 && cost.bytes < raw.len() as u64, "{cost:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_follows_a_log_from_another_machine_misses_none_of_its_lines() {
    let (growing, _shipping) = Box::pin(long(false)).await;
    for first in [0, 7_000] {
        let mut follower = Follower::new(growing.two.system.clone(), growing.run, Selection::default());
        if first > 0 {
            let (source, objects, runtime) =
                (found(&growing).await, growing.objects.clone(), Handle::current());
            let at = carry::spawn_blocking(move || {
                LogBlocks::open(&objects, &source, None, runtime).unwrap().byte_before(first)
            });
            follower = follower.from_byte(at.await.unwrap());
        }
        let mut seqs = Vec::new();
        while seqs.last() != Some(&(LINES - 1)) {
            match follower.next().await.unwrap().unwrap() {
                News::Lines(lines) => seqs.extend(lines.iter().map(|line| Record::decode(line).unwrap().seq)),
                News::Note(note) => panic!("{note}"),
            }
        }
        assert!(seqs[0] <= first && seqs.len() as u64 == LINES - seqs[0] && seqs.is_sorted(), "{}", seqs[0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_a_log_elsewhere_grows_and_what_is_known_of_it_is_not_counted_again() {
    let (mut growing, _shipping) = Box::pin(long(false)).await;
    let (raw, mut known, mut total) = (growing.raw().await, None, LINES);
    for round in 0..3 {
        let (source, objects, runtime) = (found(&growing).await, growing.objects.clone(), Handle::current());
        let page = carry::spawn_blocking(move || {
            let mut blocks = LogBlocks::open(&objects, &source, known, runtime).unwrap();
            let at = blocks.blocks().iter().map(|block| (block.at, block.first_line));
            assert!(at.clone().is_sorted() && blocks.blocks().iter().all(|block| block.lines > 0));
            let page = |blocks: &mut LogBlocks, from| {
                let wanted = LinesWanted { from, count: 4, selection: Selection::default() };
                blocks.page(&wanted, |number, line| (number, line.to_vec())).unwrap()
            };
            let pages =
                (page(&mut blocks, PageFrom::Line(6_000)), page(&mut blocks, PageFrom::Before(u64::MAX)));
            (pages, blocks.known())
        });
        let ((middle, end), now) = page.await.unwrap();
        known = Some(now);
        assert_eq!((middle.total, end.total), (total, total), "round {round}");
        let line = |number: u64| raw.split_inclusive(|byte| *byte == b'\n').nth(number as usize).unwrap();
        assert!(middle.lines.iter().all(|(number, text)| text == line(*number)), "round {round}");
        assert_eq!(
            middle.lines.iter().map(|(number, _)| *number).collect::<Vec<_>>(),
            [6_000, 6_001, 6_002, 6_003]
        );
        let seqs = end.lines.iter().map(|(number, text)| (*number, Record::decode(text).unwrap().seq));
        assert!(seqs.eq((total - 4..total).map(|number| (number, number))), "round {round}");
        growing = growing.log(total..total + 10).await;
        total += 10;
        is_shipped(&growing).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_log_whose_middle_was_given_back_the_rest_is_read_and_the_reason_said() {
    let (growing, _shipping) = Box::pin(long(true)).await;
    let source = found(&growing).await;
    let began = Instant::now();
    let middle = || Selection { lines: Some(6_000..6_005), ..Selection::default() };
    // What is up is given back in a moment.
    let refused = loop {
        assert!(began.elapsed() < PATIENCE, "the middle stays");
        match read(&source, &growing, middle()).await {
            Ok(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(error) => break format!("{error:#}"),
        }
    };
    assert!(refused.contains("left the spool") && refused.contains("when the run is over"), "{refused}");
    let seqs = async |selection: Selection| -> Vec<u64> {
        let (read, _) = read(&source, &growing, selection).await.unwrap();
        read.split_inclusive(|byte| *byte == b'\n').map(|line| Record::decode(line).unwrap().seq).collect()
    };
    assert_eq!(seqs(Selection { head: Some(3), ..Selection::default() }).await, [0, 1, 2]);
    let last = Selection { tail: Some(2), ..Selection::default() };
    assert_eq!(seqs(last).await, [LINES - 2, LINES - 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_from_the_remote_tail_to_the_archive_while_it_is_read_comes_from_there() {
    let (mut growing, _shipping) = Box::pin(long(false)).await;
    let found_before = found(&growing).await;
    let (raw, parts) = (growing.raw().await, growing.parts().await);
    growing = growing.log(LINES..LINES + 4_000).await;
    until("the end of what was found is up", || async { growing.parts().await > parts + 1 }).await;
    growing = growing.log(LINES + 4_000..LINES + 4_010).await;
    let has_moved = async || {
        let stretches = store::piece::stretches(&growing.db.pool, growing.run.into()).await.unwrap();
        !stretches.iter().any(|piece| piece.contains(&(raw.len() as u64 - 1)))
    };
    until("it goes from the pieces", has_moved).await;
    let last = Selection { tail: Some(3), ..Selection::default() };
    let lines: Vec<&[u8]> = raw.split_inclusive(|byte| *byte == b'\n').collect();
    assert!(read(&found_before, &growing, last).await.unwrap().0 == lines[11_997..].concat());
    assert!(read(&found_before, &growing, Selection::default()).await.unwrap().0 == raw);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_whose_log_is_archived_meanwhile_is_told_to_read_again() {
    let (growing, shipping) = Box::pin(long(false)).await;
    drop(shipping);
    let source = found(&growing).await;
    let middle = Selection { lines: Some(6_000..6_005), ..Selection::default() };
    let (reading, archiving) = (read(&source, &growing, middle.clone()), async {
        let asked = || async {
            sqlx::query_scalar("select exists (select from log_read)")
                .fetch_one(&growing.db.pool)
                .await
                .unwrap()
        };
        until("it is asked for", asked).await;
        growing.taken_over().await;
    });
    let (refused, _) = tokio::join!(reading, archiving);
    let refused = format!("{:#}", refused.unwrap_err());
    assert!(refused.contains("read it again"), "{refused}");
    let (read, _) = read(&found(&growing).await, &growing, middle).await.unwrap();
    assert_eq!(read.iter().filter(|byte| **byte == b'\n').count(), 5);
}

/// Killed when dropped, with the parses that it has.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_and_the_page_of_another_machine_read_the_middle_of_a_running_log() {
    let (desk, bucket, there) = (Desk::new().await, localstack::bucket().await, tempfile::tempdir().unwrap());
    let (endpoint, home) = (localstack::endpoint(), there.path().to_str().unwrap().to_owned());
    let shared = [("PARSELOG_BUCKET", bucket.name.as_str()), ("AWS_ENDPOINT_URL", endpoint.as_str())];
    let on = |arguments: &[&str], at: Option<&str>| {
        let mut command = desk.command(arguments);
        command.envs(shared);
        if let Some(home) = at {
            command.env("PARSELOG_HOME", home);
        }
        command
    };
    let (go, lines) = (desk.path("go"), 60_000);
    let script = desk.file(
        "many.sh",
        &format!("head -c 45000000 /dev/urandom | base64 -w 1000; while [ ! -e {go} ]; do sleep 0.05; done"),
    );
    let file = desk.file("a.txt", "x");
    let submit =
        ["submit", "--program", "tanf", "--section", "active", "--year", "2021", "--quarter", "1", &file];
    let said = Said::of(on(&submit, None).output().unwrap());
    assert_eq!(said.code, 0, "{}", said.err);
    let rule = format!("tanf/*=sh {script}");
    let mut worker = Killed(on(&["worker", "--drain", "--parser-for", &rule], Some(&home)).spawn().unwrap());

    let read = |arguments: &[&str], at| {
        Said::of(on(&[&["logs", "@latest"], arguments].concat(), at).output().unwrap())
    };
    let range = format!("{}:{}", lines / 2, lines / 2 + 2);
    let middle = ["--lines", range.as_str(), "--output", "raw", "--verbose"];
    // The remote tail brings a log that is faster than it in several rounds.
    for at in [Some(&*home), None] {
        let began = Instant::now();
        while {
            let tail = read(&["--tail", "1", "--json"], at);
            tail.code != 0 || tail.json()[0]["seq"].as_u64() < Some(lines)
        } {
            assert!(began.elapsed() < PATIENCE, "{}", read(&middle, at).err);
            std::thread::sleep(Duration::from_millis(200));
        }
    }
    let here = read(&middle, Some(&home));
    assert_eq!((here.code, here.out.lines().count()), (0, 3), "{}", here.err);
    let began = Instant::now();
    let elsewhere = loop {
        let elsewhere = read(&middle, None);
        if elsewhere.code == 0 {
            break elsewhere;
        }
        assert!(began.elapsed() < PATIENCE, "{}", elsewhere.err);
    };
    assert_eq!(elsewhere.out, here.out);

    let run = Said::of(on(&["runs", "--json"], None).output().unwrap()).json()[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let site = Site::of_with(desk, &shared, &[]);
    let page = site.json(&format!("/runs/{run}/log/lines?from={}&count=3", lines / 2));
    let numbers: Vec<u64> =
        page["lines"].as_array().unwrap().iter().map(|line| line["n"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [lines / 2, lines / 2 + 1, lines / 2 + 2], "{page}");
    let shown = site.page(&format!("/runs/{run}/log?at=end"));
    assert!(shown.lines().last().is_some_and(|(number, _)| *number >= lines));
    fs::write(go, "").unwrap();
    assert!(worker.0.wait().unwrap().success());
    site.served.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_command_that_parses_outlives_its_machine_too() {
    let (desk, bucket, there) = (Desk::new().await, localstack::bucket().await, tempfile::tempdir().unwrap());
    let on = |arguments: &[&str]| {
        let mut command = desk.command(arguments);
        command.env("PARSELOG_BUCKET", &bucket.name).env("AWS_ENDPOINT_URL", localstack::endpoint());
        command
    };
    let file = desk.file("a.txt", "x");
    let what = ["--program", "tanf", "--section", "active", "--year", "2021", "--quarter", "1", &file];
    let mut run =
        on(&[&["run", "--parser", "sh -c 'seq 1 1000; exec sleep 1000' {file}"], &what[..]].concat());
    let mut run = Killed(run.env("PARSELOG_HOME", there.path()).spawn().unwrap());
    let last = |wanted: &str| {
        let said = Said::of(on(&["logs", "@latest", "--tail", "2", "--json"]).output().unwrap());
        said.code == 0 && said.json().iter().any(|line| line["message"] == wanted)
    };
    until("its last line has left the machine", || async { last("1000") }).await;
    run.0.kill().unwrap();
    run.0.wait().unwrap();
    fs::remove_dir_all(there.path().join("spool")).unwrap();

    let mut worker = Killed(on(&["worker", "--poll", "1s"]).spawn().unwrap());
    let is_archived = || async {
        let runs = store::find(&desk.db.pool, &store::RunFilter::default()).await.unwrap();
        runs.iter().any(|run| run.logs_uri.is_some())
    };
    until("a worker has archived it", is_archived).await;
    let said = Said::of(on(&["logs", "@latest", "--json"]).output().unwrap()).json();
    let numbers = said.iter().filter_map(|line| line["message"].as_str()?.parse::<u64>().ok());
    assert!(numbers.eq(1..=1000), "{} lines", said.len());
    assert_eq!(said.last().unwrap()["tail"]["ending"], "crash");
    kill_process(Pid::from_child(&worker.0), Signal::TERM).unwrap();
    assert!(worker.0.wait().unwrap().success());
}
