//! What becomes of a log that is too long, left alone, torn, or closed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::*;

#[test]
fn a_log_past_its_cap_keeps_head_errors_and_tail_in_order() {
    const EVENTS: u64 = 20_000;
    let desk = Desk::new(256 * 1024);
    let scope = desk.open();
    scope.span().in_scope(|| {
        for event in 1..=EVENTS {
            if event % 1000 == 0 { tracing::error!(event, "bad") } else { tracing::info!(event, "good") }
        }
    });
    let log = seal(scope);
    assert_accounts(&log, EVENTS);
    assert!(fs::metadata(log.path()).unwrap().len() < 300 * 1024);
    let events = events(log.path());
    assert_eq!((events[0].seq, events.last().unwrap().seq), (1, EVENTS));
    assert_eq!(events.iter().filter(|event| event.level == Level::Error).count() as u64, EVENTS / 1000);
    let cuts: Vec<_> = records(log.path()).into_iter().filter_map(|record| record.cut).collect();
    assert_eq!(cuts.len(), 1);
    assert_eq!(cuts[0].dropped, log.tail.dropped);
    assert_eq!(desk.files().len(), 1, "segments are left: {:?}", desk.files());
}

#[test]
fn errors_alone_past_the_cap_leave_room_for_the_last_of_them() {
    const EVENTS: u64 = 20_000;
    let desk = Desk::new(256 * 1024);
    let scope = desk.open();
    scope.span().in_scope(|| (1..=EVENTS).for_each(|event| tracing::error!(event, "bad")));
    let log = seal(scope);
    assert_accounts(&log, EVENTS);
    assert!(fs::metadata(log.path()).unwrap().len() < 300 * 1024);
    let events = events(log.path());
    assert_eq!((events[0].seq, events.last().unwrap().seq), (1, EVENTS));
    // What stands at the end is a contiguous eighth of the log at least.
    let last: Vec<u64> = events.iter().rev().take(100).map(|event| event.seq).collect();
    assert_eq!(last, (EVENTS - 99..=EVENTS).rev().collect::<Vec<_>>());
}

/// A log with so many events whose process is gone.
fn abandon(desk: &Desk, count: u64) -> SpooledLog {
    let scope = desk.open();
    scope.span().in_scope(|| (0..count).for_each(|event| tracing::info!(event, "said")));
    drop(scope);
    let entry = desk.spool.list().unwrap().remove(0);
    assert!(!entry.sealed);
    entry
}

#[test]
fn a_log_that_nobody_holds_is_closed_as_a_crash_with_every_event() {
    for (cap, count) in [(1u64 << 30, 500u64), (256 * 1024, 20_000)] {
        let desk = Desk::new(cap);
        let entry = abandon(&desk, count);
        let log = take(&desk, &entry);
        assert_eq!(log.tail.ending, LogEnding::Crash);
        assert_accounts(&log, count);
        assert_eq!(events(log.path()).last().unwrap().seq, count);
        assert_eq!(desk.files().len(), 1);
    }
}

/// A sweep looks at each log every second; a collector that took its look for a living process would store again what
/// the log has.
#[test]
fn a_look_whether_its_process_lives_keeps_nobody_from_taking_a_log() {
    in_its_own_process("scope::keeping::looks_at_a_log_that_is_taken_over_and_over");
}

#[test]
#[ignore = "a program that another test starts has all locks for a moment: the test above starts a process without"]
fn looks_at_a_log_that_is_taken_over_and_over() {
    let desk = Desk::new(1 << 30);
    let entry = abandon(&desk, 10);
    let (looking, looks) = (Barrier::new(2), AtomicUsize::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            looking.wait();
            while looks.fetch_add(1, Ordering::Relaxed) < 20_000 {
                desk.spool.is_abandoned(&entry);
            }
        });
        looking.wait();
        let mut refused = 0;
        while looks.load(Ordering::Relaxed) < 20_000 {
            refused += u32::from(desk.spool.take_abandoned(&entry, None).unwrap().is_none());
        }
        assert_eq!(refused, 0);
    });
}

#[test]
fn a_log_that_is_held_is_not_taken_over() {
    let desk = Desk::new(1 << 30);
    let scope = desk.open();
    let entry = desk.spool.list().unwrap().remove(0);
    assert!(
        !desk.spool.is_abandoned(&entry)
            && close_dead(&desk.spool, entry.log, None, LogEnding::Crash, PROCESS_DIED).unwrap().is_none()
    );
    let log = seal(scope);
    let entry = desk.spool.list().unwrap().remove(0);
    assert!(entry.sealed && desk.spool.take_sealed(&entry, None).unwrap().is_none());
    drop(log);
    take(&desk, &entry);
}

#[test]
fn a_torn_or_zeroed_end_costs_only_the_torn_record() {
    for damage in [&b"{\"timestamp\":\"2026-11-"[..], &[0u8; 5000][..], b"{\"timestamp\":\0\0\0\"x\"}\n"] {
        let desk = Desk::new(1 << 30);
        let entry = abandon(&desk, 10);
        let mut content = fs::read(&entry.path).unwrap();
        content.truncate(content.iter().rposition(|byte| *byte != 0).unwrap() + 1);
        content.extend_from_slice(damage);
        fs::write(&entry.path, content).unwrap();
        let log = take(&desk, &entry);
        assert_accounts(&log, 10);
    }
}

#[test]
fn a_hole_in_a_log_is_counted_as_dropped() {
    let desk = Desk::new(1 << 30);
    let entry = abandon(&desk, 100);
    let mut content = fs::read(&entry.path).unwrap();
    let starts: Vec<_> =
        content.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1).collect();
    // The lines 41 to 50, of the events 40 to 49: the disk lost a page of the middle.
    content[starts[39]..starts[49] - 1].fill(0);
    fs::write(&entry.path, content).unwrap();
    let log = take(&desk, &entry);
    assert_eq!((log.tail.events.total(), log.tail.dropped), (39, 61));
    assert_accounts(&log, 100);
}

#[test]
fn a_log_that_is_cut_under_its_writer_costs_events_and_not_the_process() {
    let desk = Desk::new(1 << 30);
    let scope = desk.open();
    // Not so long that its next stretch is being prepared at the moment of the cut.
    scope.span().in_scope(|| (0..1000).for_each(|event| tracing::info!(event, "before the cut")));
    let path = desk.files().remove(0);
    File::options().write(true).open(&path).unwrap().set_len(100).unwrap();
    scope.span().in_scope(|| tracing::warn!("at the cut"));
    assert_eq!((scope.dropped(), global("at the cut").len()), (1, 1), "it went to the global log");
    scope.span().in_scope(|| tracing::warn!("after the cut"));
    assert_eq!((scope.dropped(), scope.emitted()), (1, 1002), "the log goes on");
    let refused = scope.seal(LogEnding::Success, None).unwrap_err();
    assert!(refused.to_string().contains("can't be read any more"), "{refused}");
}

#[test]
fn a_log_that_could_not_be_completed_is_not_taken_for_a_dead_runs_while_its_run_ends() {
    let desk = Desk::new(1 << 30);
    let scope = desk.open();
    // Not so long that its next stretch is being prepared at the moment of the cut.
    scope.span().in_scope(|| (0..1000).for_each(|event| tracing::info!(event, "before the cut")));
    let path = desk.files().remove(0);
    File::options().write(true).open(&path).unwrap().set_len(100).unwrap();
    scope.span().in_scope(|| tracing::warn!("at the cut of another log"));
    let hold = scope.hold();
    scope.seal(LogEnding::Success, None).unwrap_err();
    let entry = desk.spool.list().unwrap().remove(0);
    assert!(!entry.sealed && !desk.spool.is_abandoned(&entry));
    drop(hold);
}

#[test]
fn events_after_the_seal_or_without_a_file_leave_for_the_global_log_with_the_run_id() {
    let desk = Desk::new(1 << 30);
    let scope = desk.open();
    let span = scope.span().clone();
    seal(scope);
    span.in_scope(|| tracing::warn!("said after the seal"));
    fs::remove_dir_all(desk.dir.path().join("spool")).unwrap();
    let (scope, error) = LogScope::open(&desk.spool, &desk.syncer, &head());
    assert!(error.is_some());
    scope.span().in_scope(|| tracing::warn!("said without a file"));
    assert!(scope.seal(LogEnding::Success, None).unwrap().is_none());
    for message in ["said after the seal", "said without a file"] {
        let records = global(message);
        assert!(records.len() == 1 && records[0].fields.contains_key("run"), "{records:?}");
    }
}

#[test]
fn a_run_with_a_log_gets_no_second_one() {
    let desk = Desk::new(1 << 30);
    let head = head();
    let _first = desk.spool.create(&head).unwrap();
    let error = desk.spool.create(&head).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!(desk.files().len(), 1);
}
