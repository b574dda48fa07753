//! Makes what streams store durable: at most a second late, or at once for whoever waits.
//!
//! All who wait share one sync: it begins when the one before has ended, so a slow disk gathers more of them.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::spool::SYNC_INTERVAL;
use crate::{carry, faults};

/// The thread that syncs. Dropped, it waits for the thread's end, since the thread has a share in the segments, and
/// so in their locks.
pub(super) struct Committer {
    shared: Arc<CommitQueue>,
    /// `None` only while it is dropped.
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct CommitQueue {
    waits: Mutex<CommitWaiters>,
    wake: Condvar,
}

#[derive(Default)]
struct CommitWaiters {
    waiting: Vec<oneshot::Sender<Result<(), String>>>,
    stopped: bool,
}

impl Committer {
    /// Starts the thread; `sync` makes everything durable that was stored before it is called.
    pub(super) fn start(sync: impl Fn() -> io::Result<()> + Send + 'static) -> Self {
        let shared = Arc::new(CommitQueue::default());
        let its = Arc::clone(&shared);
        let thread = carry::thread(move || {
            while let Some(waiting) = its.next() {
                faults::helper("commit");
                let synced = sync().map_err(|error| error.to_string());
                if let Err(error) = &synced {
                    tracing::warn!("the disk of the spool does not take streams for good: {error}");
                }
                for waiter in waiting {
                    // Whoever does not wait any more is not told.
                    let _ = waiter.send(synced.clone());
                }
            }
        });
        Self { shared, thread: Some(thread) }
    }

    /// Whether the thread is there.
    pub(super) fn is_alive(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Waits for a sync that begins after this.
    pub(super) async fn synced(&self) -> Result<(), String> {
        let (sender, receiver) = oneshot::channel();
        self.shared.lock().waiting.push(sender);
        self.shared.wake.notify_one();
        receiver.await.unwrap_or_else(|_| Err("nobody syncs any more".to_owned()))
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic in it was told to whoever waited.
            let _ = thread.join();
        }
    }
}

impl CommitQueue {
    /// Who waits for the next sync, which is due now; `None` at the end.
    fn next(&self) -> Option<Vec<oneshot::Sender<Result<(), String>>>> {
        let quiet = |waits: &mut CommitWaiters| waits.waiting.is_empty() && !waits.stopped;
        let waited = self.wake.wait_timeout_while(self.lock(), SYNC_INTERVAL, quiet);
        let (mut waits, _) = waited.unwrap_or_else(PoisonError::into_inner);
        (!waits.stopped).then(|| std::mem::take(&mut waits.waiting))
    }

    fn lock(&self) -> MutexGuard<'_, CommitWaiters> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
