//! Parses that die in every way that a parse can: each ends its own run, and no other.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use parselog::parser::acknowledging::Fate;
use parselog::store::{self, LogState, Run, RunFilter, RunStatus};
use rustix::process::{Pid, Signal, kill_process};

use crate::oracle::{self, Losses};
use crate::rng::Rng;
use crate::support::PATIENCE;
use crate::turn;
use crate::world::World;

/// Files of which the parse takes its whole time, and half a minute more.
const ENDLESS: usize = 3;

/// What a worker is told. The deadline is long for a healthy run, however slow the machine is.
const ENVIRONMENT: [(&str, &str); 4] = [
    ("PARSELOG_SLOTS", "4"),
    ("PARSELOG_RUN_TIMEOUT", "20s"),
    ("PARSELOG_RUN_MEMORY", "300MiB"),
    ("PARSELOG_RUNS_PER_PROCESS", "10"),
];

/// The points that a parse process passes, in order.
const STEPS: [&str; 12] = [
    "file-created",
    "head-written",
    "file-named",
    "scope-opened",
    "fetched",
    "acknowledged",
    "parsed",
    "before-seal",
    "tail-written",
    "sealed-before-rename",
    "renamed",
    "sealed",
];

/// How staff read a death.
fn reason(fate: Fate) -> &'static str {
    match fate {
        Fate::Abort => "the parser aborted its process (SIGABRT)",
        Fate::Fault => "the parser crashed on memory that is not its own (SIGSEGV)",
        Fate::Stack => "the parse overflowed its stack",
        Fate::Memory => "the parse needed more memory than 300.0 MiB",
        Fate::Exit => "the parser ended its process with exit code 7",
        Fate::Loop => "the parser did not stop within 15 s",
        Fate::Outside => "somebody killed the parse from outside (SIGKILL)",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn seeded_deaths_of_a_parse_cost_only_its_own_run() {
    let _turn = turn().await;
    let least = number("PARSELOG_DEATHS").unwrap_or(120) as usize;
    let seed = number("PARSELOG_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("PARSELOG_SEED={seed} for {least} runs");
    let (mut world, mut rng) = (World::in_folder().await, Rng::new(seed));
    let mut fates = BTreeMap::new();
    let mut runs = 0;
    while runs < least {
        let (events, threads, pause) = (20 + rng.below(200), 1 + rng.below(3), rng.below(100));
        let endless = fates.values().filter(|fate| **fate == Some(Fate::Loop)).count();
        let fate = match rng.below(3) {
            0 if endless < ENDLESS => Some(("loop", Fate::Loop)),
            0 => Some(*rng.pick(&Fate::ALL)).filter(|(_, fate)| *fate != Fate::Loop),
            _ => None,
        };
        let words = fate.map(|(word, _)| format!("{word} {}", rng.below(events * threads)));
        let name = world.submit_with(events, threads, pause, &words.unwrap_or_default()).await;
        let fate = fate.map(|(_, fate)| fate);
        fates.insert(name, fate);
        runs += if fate.is_some_and(|fate| fate != Fate::Loop) { 3 } else { 1 };
    }

    let mut worker = world.worker(None, &ENVIRONMENT);
    let (pid, began) = (worker.id(), Instant::now());
    let mut killed = HashSet::new();
    while world.unfinished().await > 0 || !world.spool_files().is_empty() {
        if worker.poll().is_some() || began.elapsed() > PATIENCE {
            world.fail("the worker does not come to an end of it");
        }
        world.db.make_due().await;
        kill_those_who_wait(&world, &mut killed);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(worker.id(), pid);
    world.wants_no_more_of(&mut worker);

    let all = store::find(&world.db.pool, &RunFilter::default()).await.unwrap();
    let mut of_files: BTreeMap<&str, Vec<&Run>> = BTreeMap::new();
    all.iter().for_each(|run| of_files.entry(&run.name).or_default().push(run));
    let mut deaths: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, fate) in &fates {
        let attempts = &of_files[name.as_str()];
        match fate {
            None => assert!(attempts.len() == 1 && attempts[0].status == RunStatus::Success, "{attempts:?}"),
            Some(fate) => {
                let status = if *fate == Fate::Loop { RunStatus::Terminate } else { RunStatus::Crash };
                let expected = if *fate == Fate::Loop { 1 } else { attempts[0].max_attempts as usize };
                assert_eq!(attempts.len(), expected, "{fate:?}: {attempts:?}");
                for run in attempts {
                    let said = run.failure.as_deref().unwrap_or_default();
                    assert!(run.status == status && said.starts_with(reason(*fate)), "{fate:?}: {run:?}");
                    assert_eq!(run.log_state, LogState::Archived, "{fate:?}: {run:?}");
                    *deaths.entry(reason(*fate)).or_default() += 1;
                }
            }
        }
    }
    let counts = oracle::check(&mut world, Losses::None, &format!("PARSELOG_SEED={seed}")).await;
    eprintln!(
        "oracle clean after {} runs in {} s: {deaths:#?} {counts:?}",
        all.len(),
        began.elapsed().as_secs()
    );
    assert!(counts.crashed > 0 && counts.acknowledged > 0, "{counts:?}");
}

/// Kills the parse processes that wait for it.
fn kill_those_who_wait(world: &World, killed: &mut HashSet<PathBuf>) {
    for entry in fs::read_dir(world.acks()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "pid")
            && !killed.contains(&path)
            && let Some(pid) = fs::read_to_string(&path).unwrap().parse().ok().and_then(Pid::from_raw)
        {
            kill_process(pid, Signal::KILL).unwrap();
            killed.insert(path);
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parse_process_that_dies_at_any_step_costs_only_its_own_run() {
    let _turn = turn().await;
    let mut world = World::in_folder().await;
    for point in STEPS {
        world.submit(30, 2, 50).await;
        // Each process dies at its first passage; the worker never comes to such a point.
        let mut worker = world.worker(Some(&format!("{point}:1:alone")), &[("PARSELOG_SLOTS", "1")]);
        let began = Instant::now();
        while world.unfinished().await > 0 || !world.spool_files().is_empty() {
            if worker.poll().is_some() || began.elapsed() > PATIENCE {
                world.fail(&format!("a death at {point} ends more than its run"));
            }
            world.let_time_pass(&worker.name).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        world.wants_no_more_of(&mut worker);
    }
    let all = store::find(&world.db.pool, &RunFilter::default()).await.unwrap();
    let early = all.iter().filter(|run| run.name == "1.txt");
    let says = |run: &Run| run.failure.as_deref().is_some_and(|why| why.contains("before its log was open"));
    assert!(early.clone().count() == 3 && early.clone().all(says), "{:?}", early.collect::<Vec<_>>());
    let counts = oracle::check(&mut world, Losses::None, "parse processes that die").await;
    let before_the_end = STEPS.iter().position(|point| *point == "before-seal").unwrap();
    assert!(counts.crashed >= 3 * before_the_end as u64, "each is tried three times: {counts:?}");
}
