//! What a log holds, against what the parser of these tests did: every event that it acknowledged is
//! there once, in order and whole, or is one that a log past its cap may drop.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};
use parselog::ids::RunId;
use parselog::store::Run;
use serde_json::Value;

use super::Losses;
use super::archive::{Archive, Line};
use super::own::OWN_EVENTS;
use crate::way::SMALL_CAP_BYTES;
use crate::world::Submitted;

pub(super) const ACKNOWLEDGED: &str = "acknowledged event";
pub(super) const TARGET: &str = "parselog::parser::acknowledging";

/// Beyond this share of its cap a log keeps no more errors in front of its cut.
const ROOM_OF_ERRORS: u64 = SMALL_CAP_BYTES / 8 * 6;

/// Numbers have no gaps but those of a cut: a contiguous beginning, then errors alone, then a
/// contiguous end. Returns how many events are missing.
pub(crate) fn check_numbers(archive: &Archive) -> Result<u64, String> {
    let Some((cut, behind)) = &archive.cut else {
        contiguous(&archive.before, 1)?;
        return Ok(0);
    };
    let head = archive.before.iter().zip(1..).take_while(|(line, number)| line.seq() == *number).count();
    let errors = &archive.before[head..];
    if let Some(line) = errors.iter().find(|line| !line.is_error()) {
        return Err(format!(
            "event {} stands between the beginning and the cut, and is no error",
            line.seq()
        ));
    }
    let first_behind = behind.first().map_or(u64::MAX, Line::seq);
    let numbers: Vec<u64> = archive.before.iter().map(Line::seq).chain([first_behind]).collect();
    if numbers.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err("its events are not in order".to_owned());
    }
    contiguous(behind, first_behind)?;
    let emitted = behind.last().ok_or("nothing stands behind its cut")?.seq();
    let dropped = emitted - (archive.before.len() + behind.len()) as u64;
    if cut["dropped"] != dropped {
        return Err(format!("{dropped} events are missing, but its cut says {cut}"));
    }
    Ok(dropped)
}

/// Numbers rise, whatever is missing. Returns how many events are seen to be missing.
pub(super) fn check_order(archive: &Archive) -> Result<u64, String> {
    let numbers: Vec<u64> = archive.events().map(Line::seq).collect();
    if numbers.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err("its events are not in order".to_owned());
    }
    Ok(numbers.last().map_or(0, |emitted| emitted - numbers.len() as u64))
}

fn contiguous(lines: &[Line], first: u64) -> Result<(), String> {
    match lines.iter().zip(first..).find(|(line, number)| line.seq() != *number) {
        Some((line, number)) => Err(format!("event {} stands where {number} should", line.seq())),
        None => Ok(()),
    }
}

/// Every event that `acks` names is in the log once, whole, and in the order of its thread; what is
/// missing lies in the gap of a cut, and is an error only when the errors' room is used up. Returns how
/// many are missing.
pub(super) fn check_acknowledged(
    run: &Run,
    submitted: &Submitted,
    acks: &[u64],
    archive: &Archive,
    losses: Losses,
) -> Result<u64, String> {
    let mut logged = HashSet::new();
    let mut latest: BTreeMap<u64, u64> = BTreeMap::new();
    let mut longest_error = 0;
    check_times(run, archive)?;
    for line in archive.events().filter(|line| line.text("message") == ACKNOWLEDGED) {
        let n = line.json["fields"]["n"].as_u64().ok_or("an event without its number")?;
        if !logged.insert(n) {
            return Err(format!("acknowledged event {n} is in it twice"));
        }
        check_content(run.id, submitted, n, line)?;
        let thread = n / submitted.events;
        if latest.insert(thread, n).is_some_and(|before| before >= n) {
            return Err(format!("thread {thread}: event {n} stands behind a later one"));
        }
        if line.is_error() {
            longest_error = longest_error.max(line.bytes);
        }
    }
    let missing: Vec<u64> = acks.iter().copied().filter(|n| !logged.contains(n)).collect();
    if missing.is_empty() || losses == Losses::AnyCounted {
        return Ok(missing.len() as u64);
    }
    let Some((_, behind)) = &archive.cut else {
        return Err(format!("acknowledged events are missing: {missing:?}"));
    };
    check_end(submitted, acks, &logged, behind.len())?;
    let error = missing.iter().find(|n| level_of(**n) == "ERROR");
    if let Some(n) = error
        && archive.bytes_before + longest_error <= ROOM_OF_ERRORS
    {
        return Err(format!(
            "acknowledged error {n} is missing, though only {} bytes stand before the cut",
            archive.bytes_before
        ));
    }
    Ok(missing.len() as u64)
}

/// Times are UTC to the microsecond, never fall, and lie between the run's start and its log's archive.
fn check_times(run: &Run, archive: &Archive) -> Result<(), String> {
    let mut latest = run.started_at.ok_or("it has events, and never began")?;
    for line in archive.events() {
        let text = line.text("timestamp");
        let time = text.parse::<DateTime<Utc>>().map_err(|error| format!("the time {text:?}: {error}"))?;
        if text.len() != "2026-01-01T00:00:00.000000Z".len() || !text.ends_with('Z') {
            return Err(format!("event {} has the time {text}", line.seq()));
        }
        if time < latest {
            return Err(format!("event {} of {time} is older than what was before it", line.seq()));
        }
        latest = time;
    }
    match run.log_archived_at {
        Some(archived) if latest <= archived => Ok(()),
        archived => Err(format!("its last event is of {latest}, and it was archived at {archived:?}")),
    }
}

/// The end of a log is contiguous. Of the last acknowledgements, as many as its end surely reaches back,
/// only those may be missing that a thread gave late: one of each.
fn check_end(
    submitted: &Submitted,
    acks: &[u64],
    logged: &HashSet<u64>,
    behind: usize,
) -> Result<(), String> {
    let threads = submitted.threads as usize;
    let last = &acks[acks.len() - acks.len().min(behind.saturating_sub(threads + OWN_EVENTS))..];
    let missing: Vec<_> = last.iter().filter(|n| !logged.contains(n)).collect();
    if missing.len() > threads {
        return Err(format!("of the last {} acknowledged events are missing: {missing:?}", last.len()));
    }
    Ok(())
}

/// The level that the parser logs its event `n` at.
fn level_of(n: u64) -> &'static str {
    match n % 13 {
        0 => "ERROR",
        1 | 2 => "WARN",
        _ => "INFO",
    }
}

fn check_content(run: RunId, submitted: &Submitted, n: u64, line: &Line) -> Result<(), String> {
    let thread = n / submitted.events;
    let is_error = level_of(n) == "ERROR";
    let mut fields = serde_json::Map::new();
    fields.insert("run".to_owned(), run.to_string().into());
    fields.insert("n".to_owned(), n.into());
    if is_error {
        fields.insert("hostile".to_owned(), parselog::parser::acknowledging::HOSTILE.into());
    }
    let expected = [
        ("level", Value::from(level_of(n))),
        ("target", TARGET.into()),
        ("span", format!("run:thread{{thread={thread}}}").into()),
        ("record", if is_error { (n + 1).into() } else { Value::Null }),
        ("fields", fields.into()),
    ];
    for (key, expected) in expected {
        if line.json[key] != expected {
            return Err(format!("event {n} has {key} {} and not {expected}", line.json[key]));
        }
    }
    if thread >= submitted.threads || !line.text("source").starts_with("src/parser/acknowledging.rs:") {
        return Err(format!("event {n} is of no thread or place of the parser: {}", line.json));
    }
    Ok(())
}
