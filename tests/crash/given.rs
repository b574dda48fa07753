//! A worker is killed while the spool gives back what is up of a log: every line is in the log of its run, whoever
//! completes it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use parselog::store::LogState;
use rustix::process::Signal;

use crate::machine::Machine;
use crate::oracle::{self, Archive};
use crate::parts::Large;
use crate::points;
use crate::rng::Rng;
use crate::seeded::{number, seed};
use crate::support::PATIENCE;
use crate::turn;

const TAIL_ONLY: (&str, &str) = ("PARSELOG_SPOOL_KEEP", "tail");

/// Points of a worker that archives what a dead process left of a log, in their order.
const OF_RECOVERY: [&str; 10] = [
    "recover-scanned",
    "recover-tail-written",
    "recover-before-rename",
    "recovered",
    "takeover-packed",
    "takeover-part-sent",
    "takeover-sent",
    "takeover-completed",
    "after-row",
    "before-remove",
];

/// Bytes and blocks of a file in the machine's spool, by its ending.
fn file(large: &Large, ending: &str) -> Option<(u64, u64)> {
    let files = fs::read_dir(large.machine.home.join("spool")).ok()?.flatten().map(|entry| entry.path());
    let path = files.filter(|path| path.extension().is_some_and(|end| end == ending)).min()?;
    let found = fs::metadata(path).ok()?;
    Some((found.len(), found.blocks() * 512))
}

/// A run whose log is large, and of which something was given back.
async fn given() -> Large {
    let mut large = Large::begin_with(None, &[TAIL_ONLY]).await;
    large
        .until("two parts are given back", async |large| {
            let is_hole = file(large, "open").is_some_and(|(bytes, blocks)| blocks + (12 << 20) < bytes);
            is_hole && large.count("select coalesce(max(parts), 0)::bigint from log_upload").await >= 2
        })
        .await;
    large
}

/// Another worker on the spool of the machine.
fn again(large: &mut Large, fault: Option<&str>) -> Machine {
    let home = large.machine.home.to_str().unwrap().to_owned();
    large.world.machine_with(&large.other, fault, &[("PARSELOG_HOME", &home), TAIL_ONLY])
}

/// Works on the spool of the machine again until all is done, and no log has left anything there.
async fn work_off_there(large: &mut Large) {
    let mut again = again(large, None);
    large
        .until("all is archived", async |large| {
            large.world.let_time_pass(&again.worker.name).await;
            let left = ["open", "log", "given", "given-next", "growing", "gz", "summary"];
            let is_over = large.world.left_to_do().await == (0, 0) && large.world.says(&again.worker);
            is_over && left.iter().all(|ending| file(large, ending).is_none())
        })
        .await;
    assert!(again.worker.stop(Signal::TERM).success());
}

/// Checks that each line up to this one is in the log once, and in order.
async fn check(large: &mut Large, last: u64, about: &str) {
    let run = large.run().await;
    let archive = Archive::of(&large.world, &run).await.unwrap_or_else(|error| panic!("{about}: {error}"));
    assert_eq!((oracle::check_numbers(&archive), run.log_state), (Ok(0), LogState::Archived), "{about}");
    let lines = archive.events().filter_map(|event| crate::output::line_number(event.text("message")));
    let lines: Vec<u64> = lines.collect();
    let all = lines.iter().copied().eq(0..lines.len() as u64) && lines.len() as u64 > last;
    assert!(all, "{about}: {} lines, and line {last} was there", lines.len());
    large.nothing_is_left(about).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_while_a_log_is_given_back_leaves_every_line_to_recovery() {
    let _turn = turn().await;
    for point in points::of("given-") {
        for passage in [1, 2] {
            let fault = format!("{point}:{passage}");
            let mut large = Large::begin_with(Some(&fault), &[TAIL_ONLY]).await;
            let began = Instant::now();
            while large.machine.worker.poll().is_none() {
                assert!(began.elapsed() < PATIENCE, "no worker came to the point {fault}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            let (bytes, blocks) = file(&large, "open").unwrap();
            assert!(point != "given-back" || blocks < bytes, "{fault}: {blocks} of {bytes}");
            let last = large.last_line().0;
            work_off_there(&mut large).await;
            check(&mut large, last, &fault).await;
            eprintln!("killed at {fault:20} {blocks} of {bytes} bytes were on the disk");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_killed_at_each_point_of_recovery_leave_every_line_of_a_log_that_was_given_back() {
    let _turn = turn().await;
    let mut large = given().await;
    large.machine.worker.stop(Signal::KILL);
    let last = large.last_line().0;
    for point in OF_RECOVERY {
        let mut again = again(&mut large, Some(point));
        let began = Instant::now();
        while again.worker.poll().is_none() {
            if began.elapsed() > PATIENCE {
                large.world.fail(&format!("no worker came to the point {point}"));
            }
            large.world.let_time_pass(&again.worker.name).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        eprintln!("killed at {point}");
    }
    work_off_there(&mut large).await;
    check(&mut large, last, "killed at each point of recovery").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_given_back_is_completed_by_a_worker_with_another_spool() {
    let _turn = turn().await;
    let mut large = given().await;
    let last = large.lose().await;
    large.work_off().await;
    large.check(last, "a machine was lost that gave a log back").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seeded_kills_of_workers_that_give_logs_back_lose_no_line() {
    let _turn = turn().await;
    let (kills, seed) = (number("PARSELOG_GIVEN").unwrap_or(4), seed());
    eprintln!("PARSELOG_SEED={seed} for {kills} kills");
    for kill in 0..kills {
        let mut rng = Rng::new(seed.wrapping_add(kill << 32));
        let about = format!("PARSELOG_SEED={seed}, kill {kill}");
        let mut large = Large::begin_with(None, &[TAIL_ONLY]).await;
        // Each second time its machine is lost with it. Before two parts are up the remote tail can't hold the rest.
        let is_lost = kill % 2 == 1;
        let parts = if is_lost { 2 } else { 1 + rng.below(2) };
        let noted = i64::try_from(parts).unwrap();
        large
            .until("parts are up", async |large| {
                large.count("select coalesce(max(parts), 0)::bigint from log_upload").await >= noted
            })
            .await;
        tokio::time::sleep(Duration::from_micros(rng.below(1_500_000))).await;
        let given = file(&large, "given").is_some();
        let last = if is_lost {
            large.lose().await
        } else {
            large.machine.worker.stop(Signal::KILL);
            large.last_line().0
        };
        if !is_lost && rng.once_in(2) {
            let mut again = again(&mut large, None);
            large.world.let_time_pass(&again.worker.name).await;
            tokio::time::sleep(Duration::from_micros(300_000 + rng.below(2_000_000))).await;
            again.worker.stop(Signal::KILL);
        }
        if is_lost {
            large.work_off().await;
        } else {
            work_off_there(&mut large).await;
        }
        check(&mut large, last, &about).await;
        eprintln!("{about}: {parts} parts were up, lost {is_lost}, a note was left {given}, {last} lines");
    }
}
