//! One parse, from an opened log to a sealed one: the whole story, top to bottom.

use std::fs::File;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio::task::JoinError;
use tracing::Instrument;

use super::door::RunDoor;
use super::ending::{log_ending, tail_words};
use super::{Flight, ParseJob, ParseTools, STOP_GRACE};
use crate::carry::Blocking;
use crate::parser::{self, Context as ParseContext, Outcome, ParseError, RecordSink, Submission};
use crate::queue::Ending;
use crate::record::event::SubmissionEvent;
use crate::scope::LogScope;
use crate::spool::SealedLog;
use crate::store::FirstSeen;
use crate::{carry, faults};

/// The reason on the row of a run without a log.
const NEVER_OPENED: &str = "the log could not be opened in the spool; its events are in the global log";

/// Takes the facts that belong on the row of the run. A failure of the row fails no parse: the implementation
/// tries again, or reports it in the global log.
pub trait RunRow: Sync {
    /// The log is open. `hold` shares its lock, which must be held until the run's ending is on the row:
    /// recovery takes a log that nobody holds for a dead run's.
    fn opened(&self, hold: Option<Arc<File>>) -> impl Future<Output = ()> + Send;

    /// The log misses so many events, or an unknown number of them.
    fn lost(&self, reason: &str, dropped: Option<u64>) -> impl Future<Output = ()> + Send;

    /// The file is here, with these facts, some of which the row may lack. False if a later submission may
    /// have put it there.
    ///
    /// # Errors
    /// The row could not be read or written for long.
    fn first_seen(&self, seen: &FirstSeen) -> impl Future<Output = Result<bool>> + Send;

    /// The run has ended so.
    fn ended(&self, ending: &Ending) -> impl Future<Output = ()> + Send;
}

/// The result of a parse.
#[derive(Debug)]
pub struct Parsed {
    /// How the run ended; it is on the row, if the row could be had.
    pub ending: Ending,
    /// The complete log; `None` if none could be opened or completed.
    pub log: Option<SealedLog>,
    /// Whether a parser that did not stop was left behind, and still works in this process.
    pub left_behind: bool,
}

impl ParseTools {
    /// Takes a job to its end. Never fails: an error becomes the run's ending, a line in its log, or a log
    /// that waits in the spool. `records` makes the sink for the accepted records, if the job wants them.
    pub async fn parse(
        &self,
        job: &ParseJob,
        flight: &Flight,
        row: &impl RunRow,
        records: impl FnOnce() -> Result<Box<dyn RecordSink>>,
    ) -> Parsed {
        let scope = self.open_scope(job, row).await;
        faults::point("scope-opened");
        // Without a log, nobody else looks for what a program left beside it.
        let output = scope.hold().map(|_| self.spool.stem(job.run.run));
        let door = open_door(job, &scope);
        let parse = self.parse_inside(job, flight, row, records, output);
        let parsed = parse.instrument(scope.span().clone()).await;
        faults::point("parsed");
        let left_behind = parsed.is_none();
        let ending = parsed.unwrap_or_else(|| Ending::Terminate {
            reason: format!("the parser did not stop within {} s; it was left behind", STOP_GRACE.as_secs()),
        });
        scope.span().in_scope(|| log_ending(&ending));

        let hold = scope.hold();
        let (log, ()) = tokio::join!(self.seal(scope, job, row, &ending), row.ended(&ending));
        drop((door, hold));
        Parsed { ending, log, left_behind }
    }

    async fn open_scope(&self, job: &ParseJob, row: &impl RunRow) -> LogScope {
        let run = job.run.run;
        let (spool, syncer, head) = (self.spool.clone(), Arc::clone(&self.syncer), job.head.clone());
        let opened = carry::spawn_blocking(move || LogScope::open(&spool, &syncer, &head)).await;
        let (scope, error) = opened.unwrap_or_else(|panicked| resume_unwind(panicked.into_panic()));
        match error {
            None => row.opened(scope.hold()).await,
            Some(error) => {
                let reason = format!("the log could not be opened in the spool: {error}");
                tracing::error!(%run, "{reason}; its events go to the global log");
                row.lost(&reason, None).await;
            }
        }
        scope
    }

    /// Clears leftovers of earlier attempts, fetches and parses, inside the scope. `None` if the parser did not
    /// stop on request.
    async fn parse_inside(
        &self,
        job: &ParseJob,
        flight: &Flight,
        row: &impl RunRow,
        records: impl FnOnce() -> Result<Box<dyn RecordSink>>,
        output: Option<PathBuf>,
    ) -> Option<Ending> {
        let submission = SubmissionEvent {
            file: Some(&job.name),
            program: Some(&job.program),
            section: Some(&job.section),
            fiscal_year: u64::try_from(job.fiscal_year).ok(),
            fiscal_quarter: u64::try_from(job.fiscal_quarter).ok(),
        };
        submission.log();
        // Two parsers must never read one file, whoever recovers dead runs, and whenever.
        let earlier = job.earlier.clone();
        let cleared = carry::spawn_blocking(move || parser::clear_after(&earlier)).await;
        if let Err(error) = cleared.context("clearing panicked").flatten() {
            return Some(Ending::Fail { reason: format!("{error:#}"), retry: true });
        }
        let copy = match self.fetch(job, row).await {
            Ok(copy) => copy,
            Err(ending) => return Some(ending),
        };
        let mut sink = match job.wants_records.then(records).transpose() {
            Ok(sink) => sink,
            Err(error) => return Some(Ending::Fail { reason: format!("{error:#}"), retry: false }),
        };
        let parser = self.parsers.of(&job.program, &job.section);
        let parse = {
            let (job, flight, path) = (job.clone(), flight.clone(), copy.path.clone());
            carry::spawn_blocking(move || {
                let submission = Submission {
                    path: &path,
                    name: &job.name,
                    program: &job.program,
                    section: &job.section,
                    fiscal_year: job.fiscal_year,
                    fiscal_quarter: u8::try_from(job.fiscal_quarter).unwrap_or_default(),
                };
                let mut context = ParseContext {
                    run: job.run.run,
                    data_file: job.run.data_file,
                    cancel: &flight.cancel,
                    progress: &flight.progress,
                    records: sink.as_mut().map(|sink| sink.as_mut() as &mut dyn RecordSink),
                    output: output.as_deref(),
                };
                let outcome = parser.parse(&submission, &mut context)?;
                if let Some(sink) = &mut sink {
                    sink.finish().context("failed to write the accepted records")?;
                }
                Ok(outcome)
            })
        };
        let parsed = wait(parse, job, flight).await;
        // A large file takes a while to delete, and must be gone when the run has ended.
        let _ = carry::spawn_blocking(move || drop(copy)).await;
        Some(match parsed? {
            Ok(result) => self.ending(result),
            Err(panicked) => {
                debug_assert!(panicked.is_panic(), "a parse is never aborted");
                Ending::Fail {
                    reason: "the parser panicked: its log has the message and place".to_owned(),
                    retry: true,
                }
            }
        })
    }

    fn ending(&self, result: Result<Outcome, ParseError>) -> Ending {
        match result {
            Ok(mut outcome) => {
                if let Some(first) = &mut outcome.first_error {
                    first.message = self.redactor.redact(&first.message).into_owned();
                }
                Ending::Success(Box::new(outcome))
            }
            Err(ParseError::Cancelled(reason)) => Ending::stopped(reason),
            Err(ParseError::Failed(error)) => {
                Ending::Fail { reason: self.redactor.redact(&format!("{error:#}")).into_owned(), retry: true }
            }
        }
    }

    async fn seal(
        &self,
        scope: LogScope,
        job: &ParseJob,
        row: &impl RunRow,
        ending: &Ending,
    ) -> Option<SealedLog> {
        let run = job.run.run;
        let (emitted, dropped) = (scope.emitted(), scope.dropped());
        if dropped > 0 {
            tracing::error!(%run, dropped, "events could not be stored in the log");
        }
        let (word, reason) = tail_words(ending);
        faults::point("before-seal");
        let sealed = carry::spawn_blocking(move || scope.seal(word, reason)).await;
        match sealed.map_err(std::io::Error::from).flatten() {
            Ok(Some(log)) => Some(log),
            Ok(None) => {
                row.lost(NEVER_OPENED, Some(dropped)).await;
                None
            }
            Err(error) => {
                tracing::error!(%run, "the log could not be completed; the sweep tries again: {error}");
                let reason = format!("the log could not be completed in the spool: {error}");
                row.lost(&reason, Some(emitted)).await;
                None
            }
        }
    }
}

/// Lets other processes hand over records that name the run. Without it they are in their streams.
fn open_door(job: &ParseJob, scope: &LogScope) -> Option<RunDoor> {
    let run = job.run.run;
    let door = scope.log().map(|log| RunDoor::open(run, log)).transpose();
    door.unwrap_or_else(|error| {
        tracing::warn!(%run, "records of other processes that name the run are not in its log: {error}");
        None
    })
}

/// Waits for the parse until its deadline; after that, or after a request to stop, only for a while.
async fn wait<T>(mut parse: Blocking<T>, job: &ParseJob, flight: &Flight) -> Option<Result<T, JoinError>> {
    let asked_to_stop = async {
        flight.stopped_or_late(job.timeout).await;
        tokio::time::sleep(STOP_GRACE).await;
    };
    tokio::select! {
        result = &mut parse => Some(result),
        () = asked_to_stop => None,
    }
}
