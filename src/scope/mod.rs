//! The log scope: everything logged inside a run's span goes to that run's log and nowhere else.
//!
//! The scope hangs on the run's span, not on a thread: it holds over `await`, tasks, threads and
//! pools wherever the span is carried (see [`crate::carry`]). This room uses neither network nor
//! database, and never fails a run: it counts events that the spool can't take and sends them to the global log.

mod encode;
mod entered;
mod layer;
mod mark;
mod path;

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::Span;
use tracing_subscriber::Registry;
use tracing_subscriber::registry::LookupSpan;

pub(crate) use encode::{EventVisitor, origin};
pub use layer::{Outside, ScopeLayer};

use crate::ids::LogId;
use crate::record::{Head, Level, LogEnding};
use crate::spool::{OpenLog, SealedLog, Spool, Stored, Syncer};

/// The log of one run while it runs. If dropped unsealed, the sweep closes the log as a crash.
#[derive(Debug)]
pub struct LogScope {
    sink: Arc<Sink>,
    span: Span,
}

/// The destination of a scope's events.
#[derive(Debug)]
struct Sink {
    log: LogId,
    /// `None` if it could not be created.
    open: Option<OpenLog>,
    /// Events that came while there was no open log.
    refused: AtomicU64,
}

impl LogScope {
    /// Opens the scope of a run, before anything else of the run can fail.
    ///
    /// Never fails: if the log can't be created, the scope is still open, its events go to the global log,
    /// and the error says why.
    pub fn open(spool: &Spool, syncer: &Syncer, head: &Head) -> (Self, Option<io::Error>) {
        let (open, error) = match spool.create(head) {
            Ok(journal) => (Some(OpenLog::new(journal)), None),
            Err(error) => (None, Some(error)),
        };
        if let Some(open) = &open {
            syncer.add(open);
        }
        (Self::of(head.log, open), error)
    }

    /// The scope of a dead process's log, reopened to add what is missing.
    pub fn of_abandoned(log: LogId, open: OpenLog) -> Self {
        Self::of(log, Some(open))
    }

    fn of(log: LogId, open: Option<OpenLog>) -> Self {
        let sink = Arc::new(Sink { log, open, refused: AtomicU64::new(0) });
        let span = layer::run_span();
        attach(&span, &sink);
        Self { sink, span }
    }

    /// The span to run inside.
    pub fn span(&self) -> &Span {
        &self.span
    }

    /// Returns a hold on the log's lock. Recovery takes a log that nobody holds for a dead run's, so keep the
    /// hold until the end of the run is recorded, even if the log can't be completed.
    pub fn hold(&self) -> Option<Arc<File>> {
        self.sink.open.as_ref().and_then(OpenLog::hold)
    }

    /// The open log, for what does not come through the span; `None` when there never was a file.
    pub fn log(&self) -> Option<OpenLog> {
        self.sink.open.clone()
    }

    /// Closes the scope and completes its log. Later events go to the global log.
    /// `None` when there never was a file.
    ///
    /// # Errors
    /// When the disk refuses; the log stays in the spool and the sweep completes it later.
    pub fn seal(self, ending: LogEnding, reason: Option<String>) -> io::Result<Option<SealedLog>> {
        self.sink.open.as_ref().map_or(Ok(None), |open| open.seal(ending, reason))
    }

    /// Events so far, stored or not.
    pub fn emitted(&self) -> u64 {
        self.sink.open.as_ref().and_then(OpenLog::emitted).unwrap_or_else(|| self.sink.refused())
    }

    /// Events that the log could not take so far: all of them if it could not be created.
    pub fn dropped(&self) -> u64 {
        self.sink.open.as_ref().and_then(OpenLog::dropped).unwrap_or_else(|| self.sink.refused())
    }
}

impl Sink {
    /// Stores one event; `false` when the log could not take it.
    fn store(&self, level: Level, body: &[u8]) -> bool {
        match self.open.as_ref().and_then(|open| open.append(level, body)) {
            Some(stored) => stored == Stored::Yes,
            None => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                false
            }
        }
    }

    /// Counts events that are lost before anybody could log them.
    fn lose(&self, events: u64) {
        if events > 0 && self.open.as_ref().and_then(|open| open.lose(events)).is_none() {
            self.refused.fetch_add(events, Ordering::Relaxed);
        }
    }

    fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// Hangs the sink on the span, in the registry's own extensions.
fn attach(span: &Span, sink: &Arc<Sink>) {
    span.with_subscriber(|(id, dispatch)| {
        if let Some(span) = dispatch.downcast_ref::<Registry>().and_then(|registry| registry.span(id)) {
            span.extensions_mut().replace(mark::InScope::root(Arc::clone(sink)));
        }
    });
}
