//! Waiting for work: a LISTEN connection, with a slow poll beside it.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::carry;

/// The channel that enqueuing notifies.
const CHANNEL: &str = "parselog_queue";

/// The longest pause between two tries to get a lost connection back.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Tells when the queue may hold something new.
///
/// It remembers a wake-up that came while nobody waited. So make it first, then look into the queue,
/// then wait: nothing that is enqueued in between is slept through.
#[derive(Debug)]
pub struct Waker {
    woken: Arc<Notify>,
    listener: JoinHandle<()>,
    poll: Duration,
}

impl Waker {
    /// Listens over a connection of the pool, which it keeps. `poll` is how long a wait lasts at most:
    /// runs that become due, files that become free, and a lost connection send no notification.
    pub fn new(pool: PgPool, poll: Duration) -> Self {
        let woken = Arc::new(Notify::new());
        let listener = carry::spawn(listen(pool, Arc::clone(&woken)));
        Self { woken, listener, poll }
    }

    /// Returns when something was enqueued since the last wait, else after the poll interval.
    pub async fn wait(&self) {
        tokio::time::timeout(self.poll, self.woken.notified()).await.ok();
    }
}

impl Drop for Waker {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// Listens for ever, through any number of lost connections.
async fn listen(pool: PgPool, woken: Arc<Notify>) {
    let mut pause = Duration::from_millis(100);
    while !pool.is_closed() {
        if let Ok(mut listener) = PgListener::connect_with(&pool).await
            && listener.listen(CHANNEL).await.is_ok()
        {
            pause = Duration::from_millis(100);
            // What was enqueued before this moment was announced to nobody. Both a notification and
            // a connection that was replaced are reasons to look.
            woken.notify_one();
            while let Ok(received) = listener.try_recv().await {
                woken.notify_one();
                if received.is_none() {
                    tokio::time::sleep(pause).await;
                }
            }
        }
        tracing::debug!("lost the connection that listens for new runs");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
