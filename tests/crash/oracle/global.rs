//! The global log: nothing of a run but what its worker says about it, and the replay of a log that
//! fell back, each event once.

use std::collections::HashSet;
use std::fmt::Write as _;

use parselog::store::Run;

use super::Losses;
use crate::world::World;

pub(super) fn check(world: &World, runs: &[Run], losses: Losses, complaints: &mut String) {
    let log = world.worker_log();
    let mut replayed = HashSet::new();
    for line in log.lines().filter(|line| line.contains("acknowledged event")) {
        let value = |key: &str| line.split_once(key)?.1.split_whitespace().next();
        let (Some(run), Some(seq), true) = (value(" run="), value(" seq="), line.contains(" from=")) else {
            // Where no log could take an event, the global log is where it goes.
            if losses == Losses::None {
                let _ = writeln!(complaints, "an event of a run is in the global log: {line}");
            }
            continue;
        };
        if !replayed.insert((run, seq)) {
            let _ = writeln!(complaints, "event {seq} of run {run} was replayed twice");
        }
        if !(line.contains(" WARN ") || line.contains(" ERROR ")) {
            let _ = writeln!(complaints, "an event below WARN was replayed: {line}");
        }
        if !runs.iter().any(|known| known.id.to_string() == run) {
            let _ = writeln!(complaints, "an event of a run without a row was replayed: {line}");
        }
    }
}
