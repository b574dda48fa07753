//! The global log: of a run nothing but what its worker says about it, each once, and the replay of a log
//! that fell back, each event once.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;

use parselog::store::Run;

use super::Losses;
use crate::world::World;

/// How the lines about a run begin that each run may have once: its life.
const LIFE: [&str; 7] =
    ["started", "finished", "ended as ", "archived", "fell back: ", "let go: ", "report stored"];

/// How those begin that say what keeps a run, or its log, from going on.
const TROUBLE: [&str; 19] = [
    "a log in the spool could not be archived",
    "a run whose lease is over can't be ended",
    "a parse process ",
    "an unfinished upload may be left",
    "crashed: ",
    "events could not be stored in the log",
    "failed to mark the fallback",
    "fenced: ",
    "no error report",
    "the database refuses",
    "the disk of the spool",
    "the ending ",
    "the error report is not stored",
    "the log could ",
    "the log of a dead process",
    "the row does not say",
    "the run can't be ended",
    "the spool needs the log no more",
    "what was fetched is not on the row yet",
];

pub(super) fn check(world: &World, runs: &[Run], losses: Losses, complaints: &mut String) {
    let log = world.worker_log();
    let mut replayed = HashSet::new();
    let mut lives: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    // What a kill cut off says nothing whole.
    for line in log.lines().filter(|line| !line.ends_with("… [unfinished line]")) {
        let value = |key: &str| line.split_once(key)?.1.split_whitespace().next();
        let run = value(" run=");
        if line.contains(" from=") {
            check_replay(line, run, value(" seq="), runs, &mut replayed, complaints);
            continue;
        }
        let said = message(line);
        // Where no log could take an event, the global log is where it goes.
        if line.contains("acknowledged event") && losses == Losses::None {
            let _ = writeln!(complaints, "an event of a run is in the global log: {line}");
        }
        let (Some(run), Losses::None) = (run, losses) else { continue };
        match LIFE.iter().find(|life| said.starts_with(**life)) {
            Some(life) => *lives.entry((run, life)).or_default() += 1,
            None if TROUBLE.iter().any(|trouble| said.starts_with(trouble)) => {}
            None => drop(writeln!(complaints, "what is this line about a run in the global log? {line}")),
        }
    }
    for ((run, life), times) in lives.into_iter().filter(|(_, times)| *times > 1) {
        let _ = writeln!(complaints, "run {run}: the global log says {times} times '{life}'");
    }
}

/// What a line says, without time, level and fields.
fn message(line: &str) -> &str {
    let mut said = line;
    for _time_and_level in 0..3 {
        said = said.trim_start().split_once(' ').map_or("", |(_, behind)| behind);
    }
    said.trim_start().split("  ").next().unwrap_or_default()
}

/// An event of at least WARN, of a run that is known, said again for the first time.
fn check_replay<'a>(
    line: &'a str,
    run: Option<&'a str>,
    seq: Option<&'a str>,
    runs: &[Run],
    replayed: &mut HashSet<(&'a str, &'a str)>,
    complaints: &mut String,
) {
    let (Some(run), Some(seq)) = (run, seq) else {
        let _ = writeln!(complaints, "a replay that does not say of what: {line}");
        return;
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
    if line.contains("acknowledged event") && !line.contains(&format!("\"run\":\"{run}\"")) {
        let _ = writeln!(complaints, "the replay of run {run} holds an event of another: {line}");
    }
}
