//! The logs of machines that were lost: each is archived all the same, says where it ends, and holds every event
//! that was acknowledged long enough before.

use std::collections::HashSet;

use parselog::store::{LogState, Run, RunStatus};

use super::events::ACKNOWLEDGED;
use super::{Archive, Counts, Losses, check_frame, events, own};
use crate::world::World;

pub(super) async fn check_run(world: &World, run: &Run, counts: &mut Counts) -> Result<(), String> {
    counts.runs += 1;
    counts.crashed += u64::from(run.status == RunStatus::Crash);
    if matches!(run.status, RunStatus::Queued | RunStatus::Running) {
        return Err("it has not ended".to_owned());
    }
    let acks = world.acknowledged(run.id);
    counts.acknowledged += acks.len() as u64;
    let in_time = world.left_in_time.get(&run.id).cloned().unwrap_or_default();
    if run.log_state == LogState::None && run.status == RunStatus::Crash && in_time.is_empty() {
        // Its machine was lost in the moment in which the log was opened.
        counts.without_log += 1;
        return Ok(());
    }
    if run.log_state != LogState::Archived {
        return Err(format!("{} events were acknowledged", acks.len()));
    }
    let archive = Archive::of(world, run).await?;
    let lost_after: Option<i64> = sqlx::query_scalar("select lost_after from log where run_id = $1")
        .bind(run.id)
        .fetch_one(&world.db.pool)
        .await
        .unwrap();
    let losses = if lost_after.is_some() { Losses::AnyCounted } else { Losses::None };
    let dropped = events::check_numbers(&archive)?;
    check_frame(run, &archive, dropped, Losses::None)?;
    own::check(run, &archive, losses)?;
    let submitted = world.submission_of(run).ok_or("nobody submitted its file")?;
    let missing = events::check_acknowledged(run, submitted, &acks, &archive, losses)?;
    if let Some(last) = lost_after {
        counts.lost += 1;
        counts.missing += missing;
        check_end(run, &archive, last)?;
    }
    let logged: HashSet<u64> = archive
        .events()
        .filter(|line| line.text("message") == ACKNOWLEDGED)
        .filter_map(|line| line.json["fields"]["n"].as_u64())
        .collect();
    let late: Vec<&u64> = in_time.iter().filter(|n| !logged.contains(n)).collect();
    if !late.is_empty() {
        return Err(format!("events are missing that had long left the machine: {late:?}"));
    }
    counts.in_time += in_time.len() as u64;
    counts.stored += archive.events().count() as u64;
    counts.acknowledged_stored += acks.len() as u64 - missing;
    Ok(())
}

/// Log and row say after which event the rest was lost.
fn check_end(run: &Run, archive: &Archive, last: i64) -> Result<(), String> {
    let said = archive.events().last().map_or(0, |line| line.seq().cast_signed());
    if said != last {
        return Err(format!("its last event is {said}, but the row says {last}"));
    }
    let (tail, row) = (archive.tail["reason"].as_str(), run.failure.as_deref());
    let what =
        if last == 0 { "none of it had left".to_owned() } else { format!("after event {last} the rest") };
    if archive.tail["ending"] != "crash" || !tail.is_some_and(|tail| tail.contains(&what)) {
        return Err(format!("its tail does not say where it ends: {}", archive.tail));
    }
    if run.status == RunStatus::Crash && !row.is_some_and(|row| row.contains(&what)) {
        return Err(format!("its row does not say where its log ends: {row:?}"));
    }
    Ok(())
}
