//! Archives logs of machines that are gone, as another machine composed them from what had left them.
//!
//! What the machine had sent of the archive is completed under the log's own key (`left`). A log of which nothing was
//! up has a key of its own beside it, and so has the fuller log of a machine that comes back: nobody overwrites what
//! another stored.

use std::sync::Arc;

use tracing::field::display;
use uuid::Uuid;

use super::{ArchiveFailure, Archived, Archiver, again, blocking, pack, problems};
use crate::faults;
use crate::ids::{LogId, composed_key};
use crate::objects::ObjectUri;
use crate::spool::{ComposedLog, SealedLog};
use crate::store::problem::KindCount;
use crate::store::{self, ArchivedLog, takeover};

/// A log that this worker took over, and where it ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct TakenLog<'a> {
    /// The spool of this worker.
    pub(super) spool: Uuid,
    /// How it ends, in one line.
    pub(super) what: &'a str,
    /// As [`ComposedLog::lost_after`].
    pub(super) lost_after: Option<u64>,
}

impl Archiver {
    /// Archives a composed log, which the worker on `spool` took over; `what` says in one line how it ends, and `key`
    /// is where it belongs. `LetGo` if the log's own machine came back and archived it. Never fails, as
    /// [`Self::archive`].
    pub async fn archive_composed(
        &self,
        composed: ComposedLog,
        key: &str,
        spool: Uuid,
        what: &str,
    ) -> Archived {
        let ComposedLog { log, lost_after } = composed;
        let (log, taken) = (Arc::new(log), TakenLog { spool, what, lost_after });
        let stored = self.try_composed(&log, key, taken).await;
        self.tell_taken(&log, taken, stored)
    }

    async fn try_composed(
        &self,
        log: &Arc<SealedLog>,
        key: &str,
        taken: TakenLog<'_>,
    ) -> Result<Option<String>, ArchiveFailure> {
        let packed = blocking(log, |log| pack::pack(log).map_err(std::io::Error::other)).await;
        let packed = packed.map_err(anyhow::Error::new)?;
        // Those of its own machine, and of others that took it over and are gone. Before the put: nobody comes again once
        // it is on the row.
        self.abort_uploads(&log.head, None).await;
        let archived = self.put(log, key, &packed, None).await?;
        // Under other keys its own machine may have stored it.
        let is_composed = key == composed_key(&log.head.log_key);
        let problems = self.problems_of(log, Vec::new()).await;
        self.put_on_row(log.head.log, &archived, taken, problems, is_composed).await
    }

    /// The URI of the log, if the row has it: then nobody else was faster. What is `composed` is deleted otherwise. Its
    /// problems are `None` if nobody knows them.
    pub(super) async fn put_on_row(
        &self,
        log: LogId,
        archived: &ArchivedLog,
        taken: TakenLog<'_>,
        mut problems: Option<Vec<KindCount>>,
        is_composed: bool,
    ) -> Result<Option<String>, ArchiveFailure> {
        let TakenLog { spool, what, lost_after } = taken;
        let (pool, end) = (&self.system.pool, (lost_after, what));
        let mut tries = 1;
        let is_on_row = loop {
            match takeover::archived(pool, log, spool, archived, end, problems.as_deref()).await {
                Ok(is_on_row) => break is_on_row,
                // The log counts more than its problems.
                Err(error) if problems.is_some() && store::refusal(&error).is_some() => {
                    problems::said(log.as_run(), &error);
                    problems = None;
                }
                Err(error) => again(error, &mut tries).await?,
            }
        };
        faults::point("takeover-on-row");
        if !is_on_row && is_composed {
            self.delete_unnamed(&archived.uri, log).await?;
        }
        Ok(is_on_row.then(|| archived.uri.clone()))
    }

    /// Says how it went.
    pub(super) fn tell_taken(
        &self,
        log: &SealedLog,
        taken: TakenLog<'_>,
        stored: Result<Option<String>, ArchiveFailure>,
    ) -> Archived {
        let run = log.head.run().map(display);
        match stored {
            Ok(Some(uri)) => {
                tracing::warn!(run, lost_after = taken.lost_after, uri, "taken over: its machine is gone");
                Archived::Yes { uri }
            }
            Ok(None) => Archived::LetGo,
            Err(failure) => {
                let reason = self.system.redactor.redact(&format!("{:#}", failure.error)).into_owned();
                tracing::warn!(run, "the log of a machine that is gone is not archived yet: {reason}");
                Archived::Kept { reason, store_is_down: failure.store_is_down }
            }
        }
    }

    /// Deletes a composed archive, if the log's own machine was faster, so that the row names another.
    async fn delete_unnamed(&self, uri: &str, log: LogId) -> Result<(), ArchiveFailure> {
        let uri: ObjectUri = uri.parse().map_err(ArchiveFailure::of_store)?;
        let named = takeover::archived_at(&self.system.pool, log).await?;
        let named: Option<ObjectUri> =
            named.map(|named| named.parse()).transpose().map_err(ArchiveFailure::of_store)?;
        if named.is_some_and(|named| !named.is_same_object(&uri)) {
            self.system.objects.delete(&uri).await.map_err(ArchiveFailure::of_store)?;
        }
        Ok(())
    }
}
