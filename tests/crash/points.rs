//! A kill at every named point of a worker, on every way that leads there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use parselog::queue;
use rustix::process::Signal;

use crate::oracle::{self, Counts, Losses};
use crate::support::PATIENCE;
use crate::turn;
use crate::way::{SMALL_CAP, Way};
use crate::world::World;

/// Kills in one world: the oracle looks at all of a world after each.
const KILLS_PER_WORLD: usize = 12;

/// The prefixes of the points that have tests of their own: those of commands, of mails, of external
/// programs, of growing archives, of what they give back, of logs that are taken over, of streams, and of files of
/// problems.
const OF_OTHERS: [&str; 13] = [
    "submit-",
    "let-go-",
    "reparse-",
    "report-",
    "cancel-",
    "doctor-",
    "notice-",
    "output-",
    "growing-",
    "given-",
    "takeover-",
    "stream-",
    "problems-",
];

/// Every point that the source names.
fn all() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut names);
    assert!(names.len() > 20, "the source was not read");
    names
}

/// The points with one of these prefixes; there must be some.
pub(crate) fn of(beginning: &str) -> BTreeSet<String> {
    assert!(OF_OTHERS.contains(&beginning), "the worker's test kills at {beginning} too");
    let names: BTreeSet<String> = all().into_iter().filter(|name| name.starts_with(beginning)).collect();
    assert!(!names.is_empty(), "no point begins with {beginning}");
    names
}

/// The points that a worker passes in its own work.
pub(crate) fn of_worker() -> BTreeSet<String> {
    let mut names = all();
    names.retain(|name| !OF_OTHERS.iter().any(|beginning| name.starts_with(beginning)));
    names
}

fn collect(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, names);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let calls = text.split("faults::point(\"").skip(1);
            names.extend(calls.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_at_any_named_point_loses_nothing() {
    let _turn = turn().await;
    let only = std::env::var("PARSELOG_POINT").ok();
    let (mut in_flight, mut total) = (0, Counts::default());
    let mut names = of_worker();
    names.retain(|point| only.as_ref().is_none_or(|only| only == point));
    let kills = names.iter().flat_map(|name| Way::to(name).iter().map(|way| (name.as_str(), *way)));
    let (of_s3, of_folder): (Vec<_>, Vec<_>) = kills.partition(|(_, way)| *way == Way::Parts);
    for kills in of_folder.chunks(KILLS_PER_WORLD).chain(of_s3.chunks(KILLS_PER_WORLD)) {
        let in_s3 = kills[0].1 == Way::Parts;
        let mut world = if in_s3 { World::in_s3().await } else { World::in_folder().await };
        let mut counts = Counts::default();
        for (point, way) in kills {
            let began = Instant::now();
            kill_at(&mut world, point, *way).await;
            in_flight += u64::from(world.running().await > 0);
            world.look_at_the_wreck(point).await;
            world.drain().await;
            counts = oracle::check(&mut world, Losses::None, &format!("killed at {point}, {way:?}")).await;
            oracle::check_counts(&mut world).await;
            eprintln!("killed at {point:24} {:22} {:5} ms", format!("{way:?}"), began.elapsed().as_millis());
        }
        total.add(&counts);
    }
    eprintln!(
        "oracle clean after {} kills at {} points, {in_flight} of them in mid-run; {total:?}",
        of_folder.len() + of_s3.len(),
        names.len()
    );
    if only.is_none() {
        assert!(in_flight > 0, "no run was running at any kill");
        assert!(total.acknowledged > 0 && total.crashed > 0 && total.cut > 0, "{total:?}");
    }
}

async fn kill_at(world: &mut World, point: &str, way: Way) {
    let (events, pause_micros) = way.submission();
    world.submit(events, 2, pause_micros).await;
    let cap: &[_] = if way.is_capped() { &[SMALL_CAP] } else { &[] };
    if way.is_after_a_crash() {
        let mut worker = world.worker(Some("acknowledged:350"), cap);
        assert!(worker.dies_within(PATIENCE).await, "no crash to recover from");
    }
    if way.is_without_store() {
        world.block_archive();
    }
    let elsewhere = world.home().join("another-spool");
    let mut environment = cap.to_vec();
    environment.extend(way.environment());
    if way == Way::LeaseOver {
        environment.push(("PARSELOG_SPOOL", elsewhere.to_str().unwrap()));
        world.end_leases().await;
    }
    let mut worker = world.worker(Some(point), &environment);
    match way {
        Way::HandedBack => {
            in_mid_parse(world).await;
            worker.signal(Signal::TERM);
        }
        Way::Cancelled => {
            let run = in_mid_parse(world).await;
            queue::cancel(&world.db.pool, run, "ann").await.unwrap();
        }
        _ => {}
    }
    if !worker.dies_within(PATIENCE).await {
        world.fail(&format!("no worker came to the point {point}, {way:?}"));
    }
}

/// Waits until the run that is running has logged something.
async fn in_mid_parse(world: &mut World) -> parselog::ids::RunId {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        let running = queue::running(&world.db.pool).await.unwrap();
        if let Some(run) = running.into_iter().find(|run| !world.acknowledged(*run).is_empty()) {
            return run;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    world.fail("no run comes to its parse")
}
