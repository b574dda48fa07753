//! The archive: a sealed log becomes a gzip beside the submitted file, its URI goes on the row, and
//! only then is the local file removed.
//!
//! The only writer of `logs_uri`. Every step is repeatable: the same log makes the same bytes under the
//! same key, so repeating repairs a crash or a lost answer anywhere. If the store refuses, the log stays in
//! the spool, the row says why, and its warnings are replayed once to the global log. Recovery tries again.

mod actions;
mod composed;
mod given;
mod growing;
mod left;
mod pack;
mod problems;
mod put;
mod removal;
mod replay;
mod reports;
mod tail;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::Semaphore;
use tracing::field::display;

pub use self::actions::ActionReader;
pub use self::growing::GrowingArchive;
pub use self::left::BegunUpload;
pub use self::pack::line_facts;
pub use self::problems::ProblemCounter;
pub use self::removal::{Removed, remove, remove_segment};
pub use self::reports::stored_report;
pub use self::tail::{KeptTail, RemoteTail, ShippingGuard};

use self::given::GivenLog;
use self::growing::{GrownArchive, Sending};
use self::pack::Packed;
use crate::gzip::ArchiveSummary;
use crate::ids::ServiceName;
use crate::objects::ObjectError;
use crate::record::{Level, LevelCounts};
use crate::spool::SealedLog;
use crate::store::{self, LogContent, LogState, takeover};
use crate::system::System;
use crate::{carry, faults};

/// Attempts at the row, and the pause between them, while the database does not answer. After that the log
/// stays in the spool, and the sweep records it later.
const ROW_TRIES: u32 = 3;
const ROW_PAUSE: Duration = Duration::from_millis(300);

/// Logs to compress and upload at once, and how long the next one waits for its turn. After that it is left
/// to the sweep: a dead object store must not pile up tasks and open files.
const UPLOADS: usize = 4;
const TURN: Duration = Duration::from_secs(10);

/// Archives logs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Archiver {
    system: System,
    turns: Arc<Semaphore>,
    tail: RemoteTail,
    gives_back: bool,
}

/// The result for one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Archived {
    /// It is in the object store, and the row has its URI.
    Yes {
        /// `s3://…` or `file://…`.
        uri: String,
    },
    /// Somebody let it go: it was archived, then pruned or erased, and is gone here too.
    LetGo,
    /// It stays in the spool for now.
    Kept {
        /// Why, redacted.
        reason: String,
        /// Whether the object store itself failed, so that other logs would fail too.
        store_is_down: bool,
    },
}

impl Archiver {
    /// Archives to the system's object store; its redactor filters everything for the row or the global
    /// log.
    pub fn new(system: System) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(UPLOADS)),
            tail: RemoteTail::new(&system),
            system,
            gives_back: false,
        }
    }

    /// The same, for logs that are to outlive the machine.
    #[must_use]
    pub fn keeping(self, kept: Option<KeptTail>) -> Self {
        Self { tail: self.tail.keeping(kept), ..self }
    }

    /// The same; `gives_back` says whether the spool gives back what is up of a log that outlives the machine.
    #[must_use]
    pub fn giving_back(self, gives_back: bool) -> Self {
        Self { gives_back, ..self }
    }

    /// The remote tail of the spool's logs.
    pub fn tail(&self) -> &RemoteTail {
        &self.tail
    }

    /// Archives one sealed log. Never fails: a log that can't be archived now is kept, and the result says so.
    pub async fn archive(&self, log: SealedLog) -> Archived {
        self.archive_with(log, None).await
    }

    /// The same for a log whose archive grew with it, as far as it did.
    pub async fn archive_grown(&self, log: SealedLog, growing: GrowingArchive) -> Archived {
        self.archive_with(log, Some(growing)).await
    }

    async fn archive_with(&self, log: SealedLog, growing: Option<GrowingArchive>) -> Archived {
        let run = log.head.run().map(display);
        let Ok(_turn) = tokio::time::timeout(TURN, self.turns.acquire()).await else {
            let reason = "other logs are being uploaded; the sweep archives it".to_owned();
            return Archived::Kept { reason, store_is_down: false };
        };
        let log = Arc::new(log);
        let mut grown = match growing {
            Some(growing) => growing.finish(&log).await,
            None => None,
        };
        let problems = grown.as_mut().and_then(|grown| grown.problems.take());
        match self.try_archive(&log, grown).await {
            Ok(stored) => {
                // As long as the spool has the log, the sweep does all of this again, so a failure here is made good.
                let is_over = stored.is_none() || self.count_problems(&log, problems).await;
                if is_over {
                    let removed = blocking(&log, SealedLog::remove).await;
                    faults::point("after-remove");
                    if let Err(error) = removed {
                        tracing::warn!(
                            run,
                            "the spool needs the log no more, but could not remove it: {error}"
                        );
                    }
                }
                let Some(uri) = stored else {
                    tracing::info!(run, "let go: the log was pruned or erased before it left the spool");
                    return Archived::LetGo;
                };
                if is_over {
                    tracing::info!(run, uri, "archived");
                }
                Archived::Yes { uri }
            }
            Err(failure) => {
                let reason = self.system.redactor.redact(&format!("{:#}", failure.error)).into_owned();
                self.fall_back(&log, &reason).await;
                Archived::Kept { reason, store_is_down: failure.store_is_down }
            }
        }
    }

    /// The URI of the log; `None` if somebody let it go.
    async fn try_archive(
        &self,
        log: &Arc<SealedLog>,
        grown: Option<GrownArchive>,
    ) -> Result<Option<String>, ArchiveFailure> {
        let (packed, sending) = match grown {
            Some(GrownArchive { packed, sending, .. }) => (packed, sending),
            None if blocking(log, SealedLog::given_back).await.map_err(anyhow::Error::from)?.is_some() => {
                match Box::pin(self.archive_given(log)).await? {
                    GivenLog::Done(uri) => return Ok(uri),
                    GivenLog::Whole => (self.packed(log).await?, None),
                }
            }
            None => (self.packed(log).await?, None),
        };
        faults::point("compressed");
        let stored = self.store(log, &packed, sending).await;
        if stored.is_ok() && packed.may_have_upload {
            self.abort_uploads(&log.head, None).await;
        }
        if stored.is_err()
            && let Err(error) = blocking(log, move |log| pack::keep(log, &packed)).await
        {
            tracing::debug!(log = %log.head.log, "the next try compresses the log again: {error}");
        }
        stored
    }

    async fn packed(&self, log: &Arc<SealedLog>) -> Result<Packed> {
        Ok(blocking(log, |log| pack::pack(log).map_err(io::Error::other)).await?)
    }

    async fn store(
        &self,
        log: &SealedLog,
        packed: &Packed,
        sending: Option<Sending>,
    ) -> Result<Option<String>, ArchiveFailure> {
        let (head, summary) = (&log.head, &packed.summary);
        let content = content(log, summary);
        if head.subject.service().is_some()
            && let Err(error) = store::log::begun(&self.system.pool, head).await
        {
            tracing::debug!(log = %head.log, "the segment has no row yet: {error:#}");
        }
        if let Some(service) = head.subject.service() {
            self.record_actions(log, service).await?;
        }
        let mut key = head.log_key.clone();
        match store::log::sealed(&self.system.pool, head.log, &content).await {
            Ok(known) if known.state == LogState::Pruned => return Ok(None),
            Ok(known) => {
                if known.state == LogState::Archived {
                    // Another machine may have archived all of it meanwhile.
                    let same = takeover::same(&self.system.pool, head.log, summary.raw_sha256).await?;
                    if same.is_some() {
                        return Ok(same);
                    }
                }
                key = self.key_of(head, &known)?;
            }
            Err(error) => {
                tracing::debug!(log = %head.log, "the row does not say yet that the log is sealed: {error:#}");
            }
        }
        // Whoever took the log over may complete its upload.
        let sending = sending.filter(|_| key == head.log_key);
        let archived = self.put(log, &key, packed, sending).await?;
        self.put_on_own_row(head, archived).await.map(Some)
    }

    /// Records what a segment says that happened to tasks; most of it is recorded since it was stored.
    async fn record_actions(&self, log: &SealedLog, service: &ServiceName) -> Result<()> {
        let mut reader = ActionReader::new(log.head.log, service.clone(), Arc::clone(log.file()));
        let read =
            carry::spawn_blocking(move || reader.read_on()).await.context("reading actions panicked")?;
        for action in read.context("failed to read the actions of a segment")? {
            if let Err(error) = store::action::happened(&self.system.pool, &action).await {
                if store::refusal(&error).is_none() {
                    return Err(error);
                }
                // It stays in the stream.
                tracing::warn!(%service, "an action is not listed: {error:#}");
            }
        }
        Ok(())
    }

    async fn fall_back(&self, log: &Arc<SealedLog>, reason: &str) {
        let run = log.head.run().map(display);
        if let Err(error) = store::log::archive_failed(&self.system.pool, log.head.log, reason).await {
            tracing::warn!(run, "the row does not say that the log is kept in the spool: {error:#}");
        }
        faults::point("fallback-on-row");
        if let Err(error) = self.tail.ship_rest(log.head.log).await {
            tracing::debug!(run, "what is left of the log is not in the remote tail: {error:#}");
        }
        match blocking(log, SealedLog::first_fallback).await {
            Ok(true) => {
                faults::point("fallback-marked");
                tracing::error!(
                    run,
                    "fell back: the log could not be archived and stays in the spool: {reason}"
                );
                if let Err(error) = blocking(log, |log| replay::replay(log, Level::Warn)).await {
                    tracing::error!(run, "the log could not be read for its replay: {error}");
                }
                faults::point("replayed");
            }
            Ok(false) => tracing::warn!(run, "the log could still not be archived: {reason}"),
            Err(error) => tracing::error!(run, "failed to mark the fallback in the spool: {error}"),
        }
    }
}

/// Why a log was not archived.
struct ArchiveFailure {
    error: anyhow::Error,
    store_is_down: bool,
}

impl From<anyhow::Error> for ArchiveFailure {
    fn from(error: anyhow::Error) -> Self {
        Self { error, store_is_down: false }
    }
}

impl ArchiveFailure {
    fn of_store(error: ObjectError) -> Self {
        let store_is_down = matches!(error, ObjectError::Other(_));
        Self { error: anyhow::Error::new(error).context("failed to upload the log"), store_is_down }
    }
}

/// Works on the log's files, where blocking is allowed.
async fn blocking<T: Send + 'static>(
    log: &Arc<SealedLog>,
    work: impl FnOnce(&SealedLog) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let log = Arc::clone(log);
    carry::spawn_blocking(move || work(&log)).await.map_err(io::Error::other).flatten()
}

/// Waits before the row of a stored log is written again, if that may help.
async fn again(error: anyhow::Error, tries: &mut u32) -> Result<()> {
    if *tries == ROW_TRIES || store::refusal(&error).is_some() {
        return Err(error.context("the log is stored, but the row could not be written"));
    }
    tokio::time::sleep(ROW_PAUSE * *tries).await;
    *tries += 1;
    Ok(())
}

fn content(log: &SealedLog, summary: &ArchiveSummary) -> LogContent {
    content_of(log, summary.raw_bytes, summary.lines)
}

fn content_of(log: &SealedLog, raw_bytes: u64, lines: u64) -> LogContent {
    LogContent {
        raw_bytes,
        lines,
        events: by_level(log.tail.events),
        dropped: log.tail.dropped,
        first_at: log.head.started,
        last_at: log.closed_at,
    }
}

fn by_level(events: LevelCounts) -> std::collections::BTreeMap<String, u64> {
    Level::ALL
        .into_iter()
        .map(|level| (level.to_string(), events.get(level)))
        .filter(|(_, count)| *count > 0)
        .collect()
}
