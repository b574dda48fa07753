//! Makes open logs durable against power loss, at most a second late.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::open::{OpenLog, OpenLogs};
use crate::{carry, faults};

/// How old an event may grow before it is on stable storage.
pub const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// One thread that syncs every open log of the process each second; stops when dropped.
#[derive(Debug)]
pub struct Syncer {
    logs: OpenLogs,
    stop: Arc<Stop>,
    thread: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Stop {
    stopped: Mutex<bool>,
    wake: Condvar,
}

impl Syncer {
    /// Starts the thread.
    pub fn start() -> Self {
        let (logs, stop) = (OpenLogs::default(), Arc::new(Stop::default()));
        let shared = (logs.clone(), Arc::clone(&stop));
        let thread = carry::thread(move || sync_until(&shared.1, &shared.0));
        Self { logs, stop, thread }
    }

    /// Whether the thread is there. Without it nothing is made durable before it is sealed.
    pub fn is_alive(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Syncs one more log, for as long as anybody has it.
    pub fn add(&self, log: &OpenLog) {
        self.logs.add(log);
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        *self.stop.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stop.wake.notify_all();
    }
}

fn sync_until(stop: &Stop, logs: &OpenLogs) {
    loop {
        let guard = stop.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let (stopped, _) = stop
            .wake
            .wait_timeout_while(guard, SYNC_INTERVAL, |stopped| !*stopped)
            .unwrap_or_else(PoisonError::into_inner);
        if *stopped {
            return;
        }
        drop(stopped);
        faults::helper("sync");
        for log in logs.all() {
            log.sync();
        }
    }
}
