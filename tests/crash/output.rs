//! What an external program wrote is in the log of its run, in order and once, whatever is killed: the worker,
//! the program, or everything at once.
//!
//! The program is one in Python that notes each line after its `write` returned. `PARSELOG_CRASHES` says how many
//! seeded kills (60 without it), `PARSELOG_SEED` repeats a plan.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use parselog::store::{self, LogState, Run, RunFilter};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::oracle::{self, Archive};
use crate::points;
use crate::rng::Rng;
use crate::seeded::{number, seed};
use crate::support::PATIENCE;
use crate::turn;
use crate::worker::Worker;
use crate::world::World;

/// Writes as many lines as the submission says, by `os.write` and by `print`, to both streams, and notes each.
const PARSER: &str = r#"
import json, os, sys, time
acks, run = sys.argv[1], os.environ["PARSELOG_RUN_ID"]
append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
os.write(os.open(acks + "/pids", append), b"%d\n" % os.getpid())
notes = os.open(acks + "/" + run + ".lines", append)
count, _, pause, _ = map(int, open(os.environ["PARSELOG_FILE"]).read().split())
more = " x" * 500 if count >= 2000 else ""
for n in range(count):
    text = "line %d%s" % (n, more)
    if n % 7 == 5:
        text = json.dumps({"level": "info", "message": text})
    if n % 2:
        os.write(2 if n % 4 == 3 else 1, text.encode() + b"\n")
    else:
        print(text, flush=True)
    os.write(notes, b"%d\n" % n)
    if pause:
        time.sleep(pause / 1e6)
"#;

/// How often the worker is to be killed in a world, before all of it is looked at.
const KILLS_PER_WORLD: u64 = 20;

/// Whether a line goes to stderr.
fn is_stderr(n: u64) -> bool {
    n % 4 == 3
}

#[derive(Debug, Default)]
struct Tally {
    kills: u64,
    at_points: u64,
    with_program: u64,
    runs: u64,
    noted: u64,
    stored: u64,
}

pub(crate) async fn world() -> World {
    let mut world = World::in_folder().await;
    let script = world.home().join("parser.py");
    fs::write(&script, PARSER).unwrap();
    let rule = format!("*/*=python3 {} {}", script.display(), world.acks().display());
    world.tell("PARSELOG_PARSERS", &rule);
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn seeded_kills_of_everything_lose_no_line_that_was_written() {
    let _turn = turn().await;
    let kills = number("PARSELOG_CRASHES").unwrap_or(60);
    let seed = seed();
    eprintln!("PARSELOG_SEED={seed} for {kills} kills of everything");
    let mut points: Vec<String> = points::of("output-").into_iter().collect();
    // These are passed by lines that are heard at recovery, too.
    points.extend(["event-begun", "half-written", "event-stored", "window-reserved"].map(str::to_owned));
    let mut tally = Tally::default();
    while tally.kills < kills {
        let mut rng = Rng::new(seed.wrapping_add(tally.kills << 32));
        let mut world = world().await;
        for _ in 0..KILLS_PER_WORLD.min(kills - tally.kills) {
            kill_everything(&mut world, &mut rng, &points, &mut tally).await;
        }
        world.drain().await;
        check(&mut world, &format!("PARSELOG_SEED={seed}, kill {}", tally.kills), &mut tally).await;
        eprintln!("{tally:?}");
    }
    assert!(tally.noted > 0 && tally.with_program > 0 && tally.at_points > 0, "{tally:?}");
}

async fn kill_everything(world: &mut World, rng: &mut Rng, points: &[String], tally: &mut Tally) {
    while world.waiting().await < 3 {
        let many = rng.once_in(4);
        let count = if many { 2000 + rng.below(3000) } else { 20 + rng.below(600) };
        world.submit(count, 1, if many { 0 } else { rng.below(400) }).await;
    }
    world.db.make_due().await;
    let fault = rng.once_in(3).then(|| {
        if tally.at_points == 0 {
            return "event-stored:1".to_owned();
        }
        let point = rng.pick(points);
        // A worker passes those of a whole output a few times, those of an event a thousand times.
        let passage = 1 + rng.below(if point.starts_with("output-") { 2 } else { 300 });
        format!("{point}:{passage}")
    });
    let mut worker = world.worker(fault.as_deref(), &[]);
    let instant = Duration::from_micros(100_000 + rng.below(700_000));
    // The first one is waited for, however slow the machine is.
    let patience = if tally.at_points == 0 { PATIENCE } else { instant };
    let dead = fault.is_some() && worker.dies_within(patience).await;
    tally.at_points += u64::from(dead);
    if !dead && fault.is_none() {
        tokio::time::sleep(instant).await;
    }
    // Sometimes the program lives on; who recovers its run ends it.
    let with_program = !rng.once_in(4);
    tally.with_program += u64::from(with_program);
    let program_first = rng.once_in(2);
    if with_program && program_first {
        kill_programs(world);
    }
    worker.stop(Signal::KILL);
    if with_program && !program_first {
        kill_programs(world);
    }
    tally.kills += 1;
}

/// Kills all programs that ever reported their ids; most are gone.
fn kill_programs(world: &World) {
    let pids = fs::read_to_string(world.acks().join("pids")).unwrap_or_default();
    for pid in pids.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)) {
        let _ = kill_process_group(pid, Signal::KILL);
    }
}

/// The lines that the program of a run noted.
pub(crate) fn noted(world: &World, run: &Run) -> Vec<u64> {
    let noted = fs::read_to_string(world.acks().join(format!("{}.lines", run.id))).unwrap_or_default();
    noted.lines().map(|line| line.parse().unwrap()).collect()
}

/// The number of a line that the program wrote.
pub(crate) fn line_number(message: &str) -> Option<u64> {
    message.strip_prefix("line ")?.split_whitespace().next()?.parse().ok()
}

async fn check(world: &mut World, about: &str, tally: &mut Tally) {
    for run in store::find(&world.db.pool, &RunFilter::default()).await.unwrap() {
        if let Err(complaint) = check_run(world, &run, tally).await {
            world.fail(&format!("{about}: run {} ({}): {complaint}", run.id, run.status));
        }
    }
}

async fn check_run(world: &World, run: &Run, tally: &mut Tally) -> Result<(), String> {
    let noted = noted(world, run);
    tally.runs += 1;
    tally.noted += noted.len() as u64;
    if run.log_state != LogState::Archived {
        return if noted.is_empty() { Ok(()) } else { Err(format!("{} lines and no log", noted.len())) };
    }
    let archive = Archive::of(world, run).await?;
    if oracle::check_numbers(&archive)? != 0 || archive.tail["dropped"] != 0 {
        return Err(format!("events were dropped: {}", archive.tail));
    }
    let said: Vec<u64> = archive.events().filter_map(|event| line_number(event.text("message"))).collect();
    tally.stored += said.len() as u64;
    for stream in [true, false] {
        let of_stream = said.iter().copied().filter(|n| is_stderr(*n) == stream);
        let expected = (0..).filter(|n| is_stderr(*n) == stream);
        if let Some((found, expected)) = of_stream.zip(expected).find(|(found, expected)| found != expected) {
            return Err(format!("line {found} stands where line {expected} should"));
        }
    }
    let said: BTreeSet<u64> = said.into_iter().collect();
    let missing: Vec<u64> = noted.into_iter().filter(|n| !said.contains(n)).collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("lines that were written are missing: {missing:?}")) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_at_any_point_of_a_programs_output_loses_no_line() {
    let _turn = turn().await;
    for point in points::of("output-") {
        let mut world = world().await;
        // Long enough for some of it to be given back while it is written.
        world.submit(3000, 1, 200).await;
        world.submit(300, 1, 500).await;
        if matches!(point.as_str(), "output-reopened" | "output-added") {
            let mut worker = world.worker(None, &[]);
            in_mid_output(&mut world).await;
            worker.stop(Signal::KILL);
            kill_programs(&world);
        }
        let mut worker = world.worker(Some(&point), &[]);
        if !worker.dies_within(PATIENCE).await {
            world.fail(&format!("no worker came to the point {point}"));
        }
        kill_programs(&world);
        world.drain().await;
        let mut tally = Tally::default();
        check(&mut world, &point, &mut tally).await;
        eprintln!("killed at {point:20} {tally:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_after_everything_was_killed_leaves_nothing() {
    let _turn = turn().await;
    let mut world = world().await;
    for _ in 0..3 {
        world.submit(400, 1, 1000).await;
    }
    let mut worker = world.worker(None, &[]);
    in_mid_output(&mut world).await;
    kill(&world, &mut worker);
    assert!(!world.spool_files().is_empty(), "nothing was left to recover");

    let mut command = world.command(None, &["worker", "--drain"]);
    let mut drain = command.env("PARSELOG_TEST_ACKS", world.acks()).spawn().unwrap();
    let began = Instant::now();
    let ended = loop {
        world.db.make_due().await;
        if let Some(ended) = drain.try_wait().unwrap() {
            break ended;
        }
        if began.elapsed() > PATIENCE {
            let _ = drain.kill();
            world.fail("the drain does not end");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(ended.success(), "{ended}");
    assert_eq!((world.unfinished().await, world.spool_files()), (0, Vec::new()));
    let mut tally = Tally::default();
    check(&mut world, "after a drain", &mut tally).await;
    assert!(tally.noted >= 3 * 400, "{tally:?}");
}

fn kill(world: &World, worker: &mut Worker) {
    worker.stop(Signal::KILL);
    kill_programs(world);
}

/// Waits until a program has written some lines.
async fn in_mid_output(world: &mut World) {
    let began = Instant::now();
    loop {
        let notes =
            fs::read_dir(world.acks()).unwrap().filter_map(|entry| entry.ok().map(|entry| entry.path()));
        let mut notes = notes.filter(|path| path.extension().is_some_and(|ending| ending == "lines"));
        if notes.any(|path| fs::read_to_string(path).unwrap().lines().count() > 50) {
            return;
        }
        if began.elapsed() > PATIENCE {
            world.fail("no program writes anything");
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
