//! Power losses: what a disk may have kept at each moment is recovered, and nothing that was promised is lost.
//!
//! In the manner of ALICE and CrashMonkey, and in this process: a recorder plays the disk while the spool and the
//! folder store work on a real folder. It looks at that folder before and after each sync and at each named
//! point, and knows what is durable by then. Afterwards the power fails at each of these moments in many
//! ways (`losses`), the real recovery and the real store read what is left, and promises and rest are compared.
//!
//! `PARSELOG_CRASHES` says how often all of it is done, a hundred to one; `PARSELOG_SEED` repeats it.

mod logs;
mod losses;
mod objects;
mod platter;
mod promise;
mod recording;
mod scenarios;
mod scratch;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Instant, SystemTime};

use parselog::durable::Synced;
use parselog::faults;
use tokio::sync::MutexGuard;

use self::platter::Platter;
use self::promise::Promise;
use self::recording::{Recorder, Recording, killed_at, record};
use self::scenarios::Scenario;
use self::scratch::Scratch;
use crate::blocking_turn;
use crate::rng::Rng;

/// Kills that are recovered, of each seed.
const KILLS: usize = 4;

/// Ends the observation of the disk, however a test ends.
struct Observation(#[expect(dead_code, reason = "held for its turn")] MutexGuard<'static, ()>);

impl Observation {
    fn begin() -> Self {
        Self(blocking_turn())
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        faults::observe(None);
    }
}

fn play(scratch: &Scratch, scenario: Scenario, left_out: Option<Synced>) -> Recording {
    let root = scratch.folder();
    record(Platter::new(&root), Promise::default(), left_out.map(Synced::name), |recorder| {
        scenario(recorder, &root);
    })
}

fn seeds() -> Vec<u64> {
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seed = number("PARSELOG_SEED").unwrap_or(clock % 1_000_000_000);
    let rounds = number("PARSELOG_CRASHES").unwrap_or(0) / 100;
    (0..=rounds).map(|round| seed.wrapping_add(round << 32)).collect()
}

#[test]
fn a_power_loss_at_any_moment_loses_nothing_that_was_promised() {
    let _observation = Observation::begin();
    let scratch = Scratch::new();
    for seed in seeds() {
        eprintln!("PARSELOG_SEED={seed}");
        for (name, scenario) in scenarios::ALL {
            let began = Instant::now();
            let recording = play(&scratch, scenario, None);
            let moments = recording.moments.len();
            match recording.check(&scratch, seed) {
                Ok(losses) => {
                    eprintln!("{name}: {losses} power losses at {moments} moments, {:?}", began.elapsed());
                }
                Err(complaint) => panic!("{name}: {complaint}"),
            }
        }
    }
}

/// Each killed process's disk goes on into the recovery, so that neither may rely on a sync of the other.
#[test]
fn what_a_killed_process_left_is_recovered_through_a_power_loss_too() {
    let _observation = Observation::begin();
    let scratch = Scratch::new();
    for seed in seeds() {
        eprintln!("PARSELOG_SEED={seed}");
        let mut rng = Rng::new(seed);
        let moments = play(&scratch, scenarios::capped, None).moments;
        for _ in 0..KILLS {
            let moment = rng.pick(&moments);
            let root = scratch.folder();
            let (platter, promise) = killed_at(moment, &root);
            let recovery = |recorder: &Recorder| scenarios::recover(recorder, &root, scenarios::SMALL);
            let checked = record(platter, promise, None, recovery).check(&scratch, seed);
            checked.unwrap_or_else(|complaint| panic!("killed at '{}': {complaint}", moment.at));
        }
    }
}

#[test]
fn a_put_that_repeats_a_killed_one_leaves_one_version_which_outlives_a_power_loss() {
    let _observation = Observation::begin();
    let scratch = Scratch::new();
    let put =
        |recorder: &Recorder, root: &Path| drop(scenarios::put(recorder, root, "a/b/log", b"the log", true));
    for moment in play(&scratch, put, None).moments {
        let root = scratch.folder();
        let (platter, promise) = killed_at(&moment, &root);
        let again = record(platter, promise, None, |recorder| put(recorder, &root));
        assert_eq!(objects::versions_of(&root, "a/b/log"), 1, "killed at '{}'", moment.at);
        again.check(&scratch, 1).unwrap_or_else(|complaint| panic!("killed at '{}': {complaint}", moment.at));
    }
}

#[test]
fn without_any_one_sync_a_power_loss_loses_something() {
    let _observation = Observation::begin();
    let scratch = Scratch::new();
    let began = Instant::now();
    let asked: Vec<_> =
        scenarios::ALL.map(|(name, scenario)| (name, scenario, play(&scratch, scenario, None).syncs)).into();
    let mut found = BTreeMap::new();
    let mut idle = Vec::new();
    for sync in Synced::ALL {
        let tried = asked.iter().filter(|(_, _, syncs)| syncs.contains(sync.name()));
        let complaint = tried.into_iter().find_map(|(name, scenario, _)| {
            let lost = play(&scratch, *scenario, Some(sync)).check(&scratch, 1).err()?;
            Some(format!("{name}: {}", lost.chars().take(160).collect::<String>()))
        });
        match complaint {
            Some(complaint) => drop(found.insert(sync.name(), complaint)),
            None => idle.push(sync.name()),
        }
    }
    for (sync, complaint) in &found {
        eprintln!("without '{sync}', {complaint}");
    }
    eprintln!("{:?}", began.elapsed());
    assert!(idle.is_empty(), "nothing is lost without the syncs {idle:?}");
}
