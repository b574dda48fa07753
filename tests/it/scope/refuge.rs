//! What becomes of a log that can be read and that its folder refuses to complete.

use super::*;
use crate::support::wait_until_unheld;

/// A desk whose spool has a refuge.
fn desk(cap: u64) -> Desk {
    let mut desk = Desk::new(cap);
    desk.spool = desk.spool.clone().with_refuges([desk.dir.path().join("missing/refuge")]);
    desk
}

impl Desk {
    fn refuge(&self) -> PathBuf {
        self.dir.path().join("missing/refuge")
    }

    /// A folder in the place of a log's sealed name, which no rename replaces.
    fn block(&self, log: LogId) -> PathBuf {
        let blocked = self.dir.path().join(format!("spool/{log}.log"));
        fs::create_dir_all(blocked.join("in the way")).unwrap();
        blocked
    }

    fn open_of(&self, head: &Head) -> LogScope {
        LogScope::open(&self.spool, &self.syncer, head).0
    }
}

#[test]
fn a_log_whose_folder_refuses_its_seal_is_completed_in_a_refuge_with_every_event() {
    for (cap, count) in [(1u64 << 30, 500u64), (256 * 1024, 20_000)] {
        let desk = desk(cap);
        let head = head();
        let scope = desk.open_of(&head);
        let blocked = desk.block(head.log);
        scope.span().in_scope(|| (0..count).for_each(|event| tracing::info!(event, "kept")));
        let log = scope.seal(LogEnding::Success, Some("Accepted".to_owned())).unwrap().unwrap();
        assert_eq!((log.path().parent(), &log.head), (Some(desk.refuge().as_path()), &head));
        assert_eq!((log.tail.ending, log.tail.reason.as_deref()), (LogEnding::Success, Some("Accepted")));
        assert_accounts(&log, count);
        assert_eq!(events(log.path()).last().unwrap().seq, count);

        // What the spool still holds of it is no log, for as long as it can't be removed.
        let found = || desk.spool.find(head.log).map(|entry| entry.path);
        assert_eq!(found().as_deref(), Some(log.path()));
        let listed = desk.spool.list().unwrap();
        assert_eq!(listed.iter().map(|entry| entry.path.as_path()).collect::<Vec<_>>(), [log.path()]);
        assert!(desk.spool.take_sealed(&listed[0], None).unwrap().is_none(), "it is locked");
        log.remove().unwrap();
        assert!(found().is_none() && desk.spool.list().unwrap().is_empty());
        assert!(!desk.files().is_empty() && desk.spool.strays(Duration::ZERO).unwrap().is_empty());
        fs::remove_dir_all(blocked).unwrap();
        assert!(desk.spool.list().unwrap().is_empty());
        assert!(desk.files().is_empty() && fs::read_dir(desk.refuge()).unwrap().next().is_none());
    }
}

#[test]
fn of_a_log_that_lost_its_beginning_what_can_be_read_is_kept_and_the_rest_is_counted() {
    let desk = desk(1 << 30);
    let head = head();
    let scope = desk.open_of(&head);
    // Not so long that its next stretch is being prepared at the moment of the cut.
    scope.span().in_scope(|| (0..1000).for_each(|event| tracing::info!(event, "before the cut")));
    let path = desk.files().remove(0);
    File::options().write(true).open(&path).unwrap().set_len(100).unwrap();
    scope.span().in_scope(|| {
        tracing::warn!("at the cut");
        (0..5).for_each(|event| tracing::warn!(event, "after the cut"));
    });
    let log = scope.seal(LogEnding::Success, None).unwrap().unwrap();
    assert_eq!((&log.head, log.tail.events.total(), log.tail.dropped), (&head, 5, 1001));
    assert_accounts(&log, 1006);
    log.remove().unwrap();
    assert!(desk.files().is_empty(), "the disk allows it, so nothing is left: {:?}", desk.files());
}

#[test]
fn the_log_of_a_dead_process_is_completed_in_a_refuge_where_its_folder_refuses() {
    let desk = desk(1 << 30);
    let head = head();
    let scope = desk.open_of(&head);
    scope.span().in_scope(|| (0..300).for_each(|event| tracing::info!(event, "kept")));
    // Neither can this be read, nor removed.
    fs::create_dir_all(desk.dir.path().join(format!("spool/{}.tail-0/in the way", head.log))).unwrap();
    let entry = desk.spool.list().unwrap().remove(0);
    drop(scope);
    wait_until_unheld(&desk.spool);
    // Recovery found three lines of a program that the log could not take.
    let abandoned = desk.spool.take_abandoned(&entry, None).unwrap().unwrap();
    assert!(desk.spool.reopen_abandoned(&abandoned).is_err());
    let missing = MissingEvents { emitted: 0, more: 3 };
    let log = desk.spool.close_abandoned(abandoned, missing, LogEnding::Crash, PROCESS_DIED).unwrap();
    assert_eq!((log.path().parent(), log.tail.ending), (Some(desk.refuge().as_path()), LogEnding::Crash));
    assert_eq!(log.tail.dropped, 3);
    assert_accounts(&log, 303);
}

#[test]
fn a_complete_log_keeps_its_bytes_when_it_moves_and_its_warnings_are_not_said_twice() {
    let desk = desk(1 << 30);
    let scope = desk.open();
    scope.span().in_scope(|| (0..300).for_each(|event| tracing::info!(event, "kept")));
    let log = seal(scope);
    assert!(log.first_fallback().unwrap());
    let (before, run) = (fs::read(log.path()).unwrap(), log.head.log);
    drop(log);
    // From now on the folder takes no new file.
    fs::create_dir_all(desk.dir.path().join("spool/.probe/in the way")).unwrap();
    let log = take(&desk, &desk.spool.find(run).unwrap());
    assert_eq!(log.path().parent(), Some(desk.refuge().as_path()));
    assert!(fs::read(log.path()).unwrap() == before && !log.first_fallback().unwrap());
}

#[test]
fn a_log_that_no_refuge_takes_stays_where_it_is() {
    let mut desk = desk(1 << 30);
    fs::write(desk.dir.path().join("missing"), "not a folder").unwrap();
    desk.spool = desk.spool.clone().with_refuges([desk.refuge(), desk.dir.path().join("missing")]);
    let head = head();
    let scope = desk.open_of(&head);
    scope.span().in_scope(|| tracing::info!("kept"));
    let blocked = desk.block(head.log);
    scope.seal(LogEnding::Success, None).unwrap_err();
    fs::remove_dir_all(blocked).unwrap();
    let log = take(&desk, &desk.spool.list().unwrap()[0]);
    assert_eq!(log.tail.ending, LogEnding::Success, "as it ended");
    assert_accounts(&log, 1);
}
