//! Archives logs of machines that are gone, as another machine composed them from their pieces.
//!
//! Such a log has a key of its own beside that of its run, because its own machine may come back: then the fuller log
//! is archived under the run's key, and replaces this one on the row. Neither overwrites the other. Only what the other
//! machine had stored itself, without its row, keeps the run's key.

use std::sync::Arc;

use tracing::field::display;
use uuid::Uuid;

use super::{ArchiveFailure, Archived, Archiver, again, blocking, pack};
use crate::ids::{LogId, composed_key};
use crate::objects::ObjectUri;
use crate::spool::{ComposedLog, SealedLog};
use crate::store::takeover;

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
        let run = log.head.run().map(display);
        let log = Arc::new(log);
        match self.try_composed(&log, key, lost_after, spool, what).await {
            Ok(Some(uri)) => {
                self.count_problems(&log).await;
                tracing::warn!(run, lost_after, uri, "taken over: its machine is gone");
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

    async fn try_composed(
        &self,
        log: &Arc<SealedLog>,
        key: &str,
        lost_after: Option<u64>,
        spool: Uuid,
        what: &str,
    ) -> Result<Option<String>, ArchiveFailure> {
        let packed = blocking(log, |log| pack::pack(log).map_err(std::io::Error::other)).await;
        let packed = packed.map_err(anyhow::Error::new)?;
        // Those of its own machine, and of others that took it over and are gone. Before the put: nobody comes again once
        // it is on the row.
        for key in [&log.head.log_key, &composed_key(&log.head.log_key)] {
            self.abort_uploads(&log.head, key).await;
        }
        let archived = self.put(log, key, &packed, None).await?;
        let (pool, id) = (&self.system.pool, log.head.log);
        let mut tries = 1;
        let is_on_row = loop {
            match takeover::archived(pool, id, spool, &archived, lost_after, what).await {
                Ok(is_on_row) => break is_on_row,
                Err(error) => again(error, &mut tries).await?,
            }
        };
        if !is_on_row && key != log.head.log_key {
            self.delete_unnamed(&archived.uri, id).await?;
        }
        Ok(is_on_row.then_some(archived.uri))
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
