//! When a worker tells people and programs: beside its runs, without delaying them, and briefly before exit.

use std::time::Duration;

use tokio::sync::OwnedMutexGuard;

use super::{Helpers, Worker};
use crate::carry;

/// How long one round may begin further deliveries; the next round continues.
const ROUND: Duration = Duration::from_secs(60);

/// How long the last round of a process may take: long enough to learn that a receiver is gone.
const LAST_ROUND: Duration = Duration::from_secs(15);

/// How long a mail under way may delay the exit of a process.
const LAST_MAIL: Duration = Duration::from_secs(5);

impl Worker {
    /// From now on, ended runs cause notices.
    pub async fn begin_notices(&self) {
        let Some(notifier) = &self.notifier else { return };
        if let Err(error) = notifier.begin().await {
            tracing::warn!("nobody is told anything yet: {error:#}");
        }
    }

    /// Sends pending notices for up to `LAST_ROUND` before exit; other workers send the rest. No mail begins
    /// while the caller holds the returned guard.
    pub async fn notify_at_last(&self) -> Option<OwnedMutexGuard<()>> {
        self.notifier.as_ref()?;
        // Its own task, so that the end of the time does not cut off a mail under way.
        let worker = self.clone();
        let told = carry::spawn(async move { worker.notify(LAST_ROUND).await });
        let round = told.abort_handle();
        if tokio::time::timeout(LAST_ROUND, told).await.is_err() {
            tracing::warn!("notices are left to other workers: there are many, or a receiver is slow");
        }
        let quiet = self.quiet().await;
        // It is between two mails, and begins none when they may go on.
        round.abort();
        quiet
    }

    /// Holds mails back, once the mail under way has ended or taken too long.
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
