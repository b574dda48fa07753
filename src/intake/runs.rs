//! The records that name a run: they go into the log of that run as long as it is open on this machine.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::ids::RunId;
use crate::parse::DoorVisitor;
use crate::record::{Arrival, Level};

/// A run whose process does not answer is left alone for so long: senders of other records wait meanwhile.
const LEFT_ALONE: Duration = Duration::from_secs(5);
/// A visit at which nothing is handed over for so long ends.
const IDLE: Duration = Duration::from_secs(10);

/// The runs that records named lately.
#[derive(Debug, Default)]
pub(super) struct NamedRuns(Mutex<HashMap<RunId, Arc<Mutex<NamedRun>>>>);

/// A run that records name.
#[derive(Debug)]
struct NamedRun {
    /// `None` while it is left alone.
    visitor: Option<DoorVisitor>,
    last: Instant,
}

impl NamedRuns {
    /// Hands a line to the log of its run; returns whether it is there. It waits for that run's process, at most for
    /// a moment.
    pub(super) fn take(&self, run: RunId, level: Level, line: &[u8], from: Option<Arrival>) -> bool {
        // A visit that began with an earlier process of the run ends with it.
        for _ in 0..2 {
            let Some(named) = self.named(run) else { return false };
            let mut named = lock(&named);
            let is_left_alone = named.last.elapsed() < LEFT_ALONE;
            let Some(visitor) = &mut named.visitor else {
                if is_left_alone {
                    return false;
                }
                drop(named);
                self.forget(run);
                continue;
            };
            match visitor.hand_over(level, line, from) {
                Ok(is_stored) => {
                    named.last = Instant::now();
                    return is_stored;
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    tracing::warn!(%run, "the process of a run does not take records that name it: {error}");
                    (named.visitor, named.last) = (None, Instant::now());
                    return false;
                }
                Err(_) => {
                    drop(named);
                    self.forget(run);
                }
            }
        }
        false
    }

    /// Ends the visits at which nothing is handed over.
    pub(super) fn forget_idle(&self) {
        lock(&self.0).retain(|_, named| named.try_lock().map_or(true, |named| named.last.elapsed() < IDLE));
    }

    /// The run, if its log is open here.
    fn named(&self, run: RunId) -> Option<Arc<Mutex<NamedRun>>> {
        if let Some(known) = lock(&self.0).get(&run) {
            return Some(Arc::clone(known));
        }
        let visitor = DoorVisitor::go(run).ok()?;
        let named = Arc::new(Mutex::new(NamedRun { visitor: Some(visitor), last: Instant::now() }));
        Some(Arc::clone(lock(&self.0).entry(run).or_insert(named)))
    }

    fn forget(&self, run: RunId) {
        lock(&self.0).remove(&run);
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
