//! Waiting for work: a LISTEN connection, with a slow poll beside it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use sqlx::Executor as _;
use sqlx::postgres::PgListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::carry;
use crate::faults;
use crate::store::PgPool;

/// The channel that enqueuing notifies.
const CHANNEL: &str = "parselog_queue";

/// The longest pause between two attempts to reconnect.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// After this time without a notification the waker tests the connection, and gives it up if it does not
/// answer in time.
const QUIET: Duration = Duration::from_secs(60);
const ANSWER: Duration = Duration::from_secs(10);

/// Wakes when the queue may hold something new.
///
/// It remembers a wake-up that came while nobody waited. So make it first, then check the queue, then wait:
/// this order misses no run that is enqueued in between.
#[derive(Debug)]
pub struct Waker {
    woken: Arc<Notify>,
    listener: JoinHandle<()>,
    poll: Duration,
}

impl Waker {
    /// Listens over its own connection, if the database allows it. `poll` limits each wait: runs that become
    /// due, files that become free, and a lost connection send no notification.
    pub fn new(pool: PgPool, poll: Duration) -> Self {
        let woken = Arc::new(Notify::new());
        let listener = carry::spawn(keep_listening(pool, Arc::clone(&woken)));
        Self { woken, listener, poll }
    }

    /// Returns once something was enqueued since the last wait, or after the poll interval.
    pub async fn wait(&self) {
        tokio::time::timeout(self.poll, self.woken.notified()).await.ok();
    }
}

impl Drop for Waker {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// Listens again if listening panics; meanwhile polling finds new runs.
async fn keep_listening(pool: PgPool, woken: Arc<Notify>) {
    while AssertUnwindSafe(listen(pool.clone(), Arc::clone(&woken))).catch_unwind().await.is_err() {
        tracing::error!(helper = "listen", "the helper 'listen' died; it starts again in {LONGEST_PAUSE:?}");
        tokio::time::sleep(LONGEST_PAUSE).await;
    }
}

/// Listens for ever, through any number of lost connections.
async fn listen(pool: PgPool, woken: Arc<Notify>) {
    let mut pause = Duration::from_millis(100);
    while !pool.is_closed() {
        faults::helper("listen");
        match pool.listen(CHANNEL).await {
            Ok(None) => {
                return tracing::info!(
                    "a connection pooler is in front of the database: new runs are found by polling alone"
                );
            }
            Ok(Some(listener)) => {
                pause = Duration::from_millis(100);
                hear(listener, &woken).await;
            }
            Err(_) => {}
        }
        tracing::debug!("lost the connection that listens for new runs");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Wakes for each notification on this connection, until it is gone.
async fn hear(mut listener: PgListener, woken: &Notify) {
    // Nobody heard of runs that were enqueued before this moment. Both a notification and a replaced
    // connection are reasons to check.
    woken.notify_one();
    loop {
        match tokio::time::timeout(QUIET, listener.try_recv()).await {
            Ok(Ok(Some(_))) => woken.notify_one(),
            Ok(Ok(None)) => {
                woken.notify_one();
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Ok(Err(_)) => return,
            // Nothing came for long: either the queue is quiet or the connection is dead.
            Err(_) => match tokio::time::timeout(ANSWER, listener.execute("select 1")).await {
                Ok(Ok(_)) => {}
                _ => return,
            },
        }
    }
}
