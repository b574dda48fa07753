//! Locks that this process let go, and that others may have for a moment longer.

use std::fs::{self, File};
use std::thread;
use std::time::{Duration, Instant};

use parselog::carry;
use parselog::spool::Spool;

use super::PATIENCE;

/// Waits until nobody holds a log of this spool. A process that another test starts has all locks of this one for a
/// moment, until it is another program; so what this process let go is not free at once.
pub(crate) fn wait_until_unheld(spool: &Spool) {
    let began = Instant::now();
    while is_one_held(spool) {
        assert!(began.elapsed() < PATIENCE, "somebody holds a log");
        thread::sleep(Duration::from_millis(1));
    }
}

/// The same, where nothing may block.
pub(crate) async fn unheld(spool: &Spool) {
    let spool = spool.clone();
    carry::spawn_blocking(move || wait_until_unheld(&spool)).await.unwrap();
}

fn is_one_held(spool: &Spool) -> bool {
    let logs = fs::read_dir(spool.dir()).unwrap().map(|entry| entry.unwrap().path());
    let mut logs = logs.filter(|path| path.extension().is_some_and(|end| end == "open" || end == "log"));
    // Shared, as everybody looks who takes nothing. One that is gone meanwhile is held by nobody.
    logs.any(|path| File::open(path).is_ok_and(|log| log.try_lock_shared().is_err()))
}
