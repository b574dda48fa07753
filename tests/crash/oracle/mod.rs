//! The oracle: looks at rows, archives and acknowledgements when all is done, and says what is lost.
//!
//! It knows what was submitted and what the parser of these tests does, and reads archives by other
//! means than the project's own, so that a fault which writer and reader share is seen.

mod archive;
mod events;
mod global;
mod jobs;
mod machine;
mod objects;
mod own;

use std::collections::HashSet;
use std::fmt::Write as _;

use parselog::store::{self, LogState, Run, RunFilter, RunStatus};

use crate::world::World;

pub(crate) use self::archive::Archive;
pub(crate) use self::events::check_numbers;
pub(crate) use self::jobs::check_counts;
pub(crate) use self::objects::rows_without_object;

/// What was looked at.
#[derive(Debug, Default, Clone)]
pub(crate) struct Counts {
    pub(crate) runs: u64,
    pub(crate) crashed: u64,
    /// Runs whose worker died before it could open a log, or say anything.
    pub(crate) without_log: u64,
    pub(crate) acknowledged: u64,
    /// Of these, those that are in a log.
    pub(crate) acknowledged_stored: u64,
    /// Events in all logs, those of the worker itself too.
    pub(crate) stored: u64,
    /// Declared by the logs themselves.
    pub(crate) dropped: u64,
    /// Logs past their cap.
    pub(crate) cut: u64,
    /// Logs that were pruned or erased.
    pub(crate) let_go: u64,
    /// Logs whose end was lost with their machine, and acknowledged events that are missing in them.
    pub(crate) lost: u64,
    pub(crate) missing: u64,
    /// Acknowledged events that had left such a machine in time.
    pub(crate) in_time: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        self.crashed += other.crashed;
        self.without_log += other.without_log;
        self.acknowledged += other.acknowledged;
        self.acknowledged_stored += other.acknowledged_stored;
        self.stored += other.stored;
        self.dropped += other.dropped;
        self.cut += other.cut;
        self.let_go += other.let_go;
        self.lost += other.lost;
        self.missing += other.missing;
        self.in_time += other.in_time;
    }
}

/// What logs may have dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Losses {
    /// Nothing but what a log past its cap may drop, between its head and its tail.
    None,
    /// Anything, the last events too, as long as it is counted: the disk was full or failed.
    AnyCounted,
    /// The last events of a log whose machine was lost, as long as log and row say after which; of what was
    /// acknowledged only the last moment.
    Machine,
}

/// Checks everything that was promised.
pub(crate) async fn check(world: &mut World, losses: Losses, about: &str) -> Counts {
    let mut complaints = String::new();
    let mut counts = Counts::default();
    let runs = store::find(&world.db.pool, &RunFilter::default()).await.unwrap();
    for run in &runs {
        if let Err(complaint) = check_run(world, run, losses, &mut counts).await {
            let _ =
                writeln!(complaints, "run {} ({}, log {}): {complaint}", run.id, run.status, run.log_state);
        }
    }
    jobs::check(world, &runs, &mut complaints).await;
    objects::check(world, &runs, losses, &mut complaints).await;
    global::check(world, &runs, losses, &mut complaints);
    if !complaints.is_empty() {
        world.fail(&format!("{about}:\n{complaints}"));
    }
    counts
}

async fn check_run(world: &World, run: &Run, losses: Losses, counts: &mut Counts) -> Result<(), String> {
    if losses == Losses::Machine {
        return machine::check_run(world, run, counts).await;
    }
    counts.runs += 1;
    counts.crashed += u64::from(run.status == RunStatus::Crash);
    if matches!(run.status, RunStatus::Queued | RunStatus::Running) {
        return Err("it has not ended".to_owned());
    }
    let acks = world.acknowledged(run.id);
    counts.acknowledged += acks.len() as u64;
    let never_named = acks.is_empty() && !world.named.contains(&run.id);
    let never_opened = match run.status {
        RunStatus::Crash => never_named,
        RunStatus::Inaction => run.started_at.is_none() && acks.is_empty(),
        _ => false,
    };
    if run.log_state == LogState::None && never_opened {
        counts.without_log += 1;
        return Ok(());
    }
    if run.log_state == LogState::Pruned {
        counts.let_go += 1;
        return if run.logs_uri.is_none() { Ok(()) } else { Err("it was let go, and has a URI".to_owned()) };
    }
    let all_dropped = run.log_dropped.is_some_and(|dropped| dropped.cast_unsigned() >= acks.len() as u64);
    if losses == Losses::AnyCounted && run.log_state == LogState::Lost && all_dropped {
        counts.without_log += 1;
        counts.dropped += run.log_dropped.unwrap_or_default().cast_unsigned();
        return Ok(());
    }
    if run.log_state != LogState::Archived {
        return Err(format!("{} events were acknowledged", acks.len()));
    }
    let archive = Archive::of(world, run).await?;
    let dropped = match losses {
        Losses::None | Losses::Machine => events::check_numbers(&archive)?,
        Losses::AnyCounted => events::check_order(&archive)?,
    };
    check_frame(run, &archive, dropped, losses)?;
    let submitted = world.submission_of(run).ok_or("nobody submitted its file")?;
    own::check(run, &archive, losses)?;
    let missing = events::check_acknowledged(run, submitted, &acks, &archive, losses)?;
    if missing > run.log_dropped.unwrap_or_default().cast_unsigned() {
        return Err(format!("{missing} acknowledged events are missing, {dropped} declared dropped"));
    }
    let records = (run.status == RunStatus::Success).then(|| (submitted.events * submitted.threads) as i64);
    if records.is_some() && run.records_created != records {
        return Err(format!("the row says {:?} records, not {records:?}", run.records_created));
    }
    counts.stored += archive.events().count() as u64;
    counts.dropped += run.log_dropped.unwrap_or_default().cast_unsigned();
    counts.acknowledged_stored += acks.len() as u64 - missing;
    counts.cut += u64::from(archive.cut.is_some());
    Ok(())
}

/// Head, tail and row say the same, of the events that are there.
fn check_frame(run: &Run, archive: &Archive, dropped: u64, losses: Losses) -> Result<(), String> {
    let (head, tail) = (&archive.head, &archive.tail);
    if head["run"] != run.id.to_string() || head["key"] != run.key || head["attempt"] != run.attempt {
        return Err(format!("it holds another log: {head}"));
    }
    let uri = run.logs_uri.as_deref().unwrap_or_default();
    // That of a log which was composed on another machine has one word more.
    if !uri.contains(head["log_key"].as_str().unwrap_or("?").trim_end_matches(".log.gz")) {
        return Err(format!("its URI is {uri}, but its head names {}", head["log_key"]));
    }
    // The row ends beside the seal: a worker that dies when one of them is done leaves a crash to the other.
    let ending = tail["ending"].as_str().unwrap_or_default();
    if ending != run.status.as_str() && ending != "crash" && run.status != RunStatus::Crash {
        return Err(format!("its tail says {ending}"));
    }
    if matches!(run.status, RunStatus::Fail | RunStatus::Terminate) && run.failure.is_none() {
        return Err("it did not end well, and its row does not say why".to_owned());
    }
    for level in ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"] {
        let stored = archive.events().filter(|line| line.text("level") == level).count() as u64;
        let row = run.log_events.as_ref().and_then(|events| events.get(level)).copied().unwrap_or_default();
        let said = tail["events"][level].as_u64().unwrap_or_default();
        if (said, row) != (stored, stored) {
            return Err(format!("{stored} events of {level}, but the tail says {said} and the row {row}"));
        }
    }
    let said = (tail["dropped"].as_u64(), run.log_dropped.map(i64::cast_unsigned));
    let counted = match losses {
        Losses::None | Losses::Machine => said == (Some(dropped), Some(dropped)),
        Losses::AnyCounted => said.0 == said.1 && said.0 >= Some(dropped),
    };
    if counted { Ok(()) } else { Err(format!("{dropped} events are missing, but tail and row say {said:?}")) }
}

/// The same place named twice is a complaint.
fn twice<'a>(places: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = HashSet::new();
    places.filter(|place| !seen.insert(*place)).collect()
}
