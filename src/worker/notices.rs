//! When a worker tells people: beside its runs, never in their way, and for a moment at the end.

use std::time::Duration;

use tokio::sync::OwnedMutexGuard;

use super::{Helpers, Worker};
use crate::carry;

/// How long one round of mails may begin further ones; the next goes on.
const ROUND: Duration = Duration::from_secs(60);

/// How long the last round of a process may take: long enough to learn that the mail server is gone.
const LAST_ROUND: Duration = Duration::from_secs(15);

/// How long the mail that is under way may hold up the end of a process.
const LAST_MAIL: Duration = Duration::from_secs(5);

impl Worker {
    /// From now on the ends of runs are told.
    pub async fn watch_for_notices(&self) {
        let Some(notifier) = &self.notifier else { return };
        if let Err(error) = notifier.watch().await {
            tracing::warn!("nothing is told by mail yet: {error:#}");
        }
    }

    /// Tells what is due before a process ends, for a moment; what there is no time for, other workers
    /// or later ones tell. No mail begins while the answer is held.
    pub async fn notify_at_last(&self) -> Option<OwnedMutexGuard<()>> {
        self.notifier.as_ref()?;
        // A task of its own, so that a mail that is under way when time is up is not cut off.
        let worker = self.clone();
        let told = carry::spawn(async move { worker.notify(LAST_ROUND).await });
        if tokio::time::timeout(LAST_ROUND, told).await.is_err() {
            tracing::warn!("mails are left to other workers: there are many, or the mail server is slow");
        }
        self.quiet().await
    }

    /// Holds mails back, once the one that is under way is over, or has taken too long.
    pub(super) async fn quiet(&self) -> Option<OwnedMutexGuard<()>> {
        self.notifier.as_ref()?.quiet(LAST_MAIL).await
    }

    pub(super) fn notify_every(&self, helpers: &mut Helpers, interval: Duration) {
        if self.notifier.is_none() {
            return;
        }
        let worker = self.clone();
        helpers.every("notices", interval, move || {
            let worker = worker.clone();
            async move { worker.notify(ROUND).await }
        });
    }

    async fn notify(&self, patience: Duration) {
        let Some(notifier) = &self.notifier else { return };
        if let Err(error) = notifier.round(patience).await {
            tracing::warn!("failed to tell what there is to tell: {error:#}");
        }
    }
}
