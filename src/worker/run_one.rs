//! One run, from its claim to its archived log: the whole story, top to bottom.

use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use chrono::Utc;
use tracing::Instrument;

use super::ending::{lifecycle, log_ending, tail_words};
use super::in_flight::InFlight;
use super::{RunsInFlight, Worker};
use crate::archive::Archived;
use crate::ids::{LogKey, RunId};
use crate::parser::{
    self, CancelReason, Context as ParseContext, Outcome, ParseError, RecordSink, Submission,
};
use crate::queue::{self, ClaimedRun, Ending, Finished};
use crate::record::event::SubmissionEvent;
use crate::record::{Head, RunSubject, SCHEMA_VERSION, Subject};
use crate::scope::LogScope;
use crate::spool::SealedLog;
use crate::store::{self, Run};
use crate::{carry, faults};

/// How long a parser may take to stop on request; then the run ends without it.
const STOP_GRACE: Duration = Duration::from_secs(15);

/// The reason on the row of a run without a log.
const NEVER_OPENED: &str = "the log could not be opened in the spool; its events are in the global log";

/// Seconds between attempts to write the ending while the database does not answer, three minutes in all.
/// They stay short, since the run occupies its slot meanwhile.
const FINISH_PAUSES: [u64; 3] = [1, 2, 4];
const LAST_FINISH_PAUSE: (u64, usize) = (5, 35);

/// The result of a run.
#[derive(Debug, Clone)]
pub struct RunReport {
    /// The run.
    pub run: RunId,
    /// How it ended, as this worker saw it.
    pub ending: Ending,
    /// The fate of its log; `None` if none could be opened.
    pub log: Option<Archived>,
    /// The URI of its error report, if one is stored.
    pub error_report: Option<String>,
}

impl Worker {
    /// Takes one claimed run to its end. Never fails: an error becomes the run's ending, a line in its log, or
    /// a log that waits in the spool. It calls `parsed` when the run's slot is free again, before it archives
    /// the log: a dead object store must not block a parse.
    pub async fn run_one(
        &self,
        claimed: ClaimedRun,
        in_flight: &RunsInFlight,
        records: Option<Box<dyn RecordSink>>,
        parsed: impl FnOnce(),
    ) -> RunReport {
        let run = claimed.run.id;
        let (flight, guard) = in_flight.add(&claimed);
        faults::point("claimed");
        let scope = self.open_scope(&claimed).await;
        faults::point("scope-opened");
        tracing::info!(%run, data_file = %claimed.run.data_file_id, attempt = claimed.run.attempt, "started");

        // Without a log nobody looks for what a program left beside it.
        let output = scope.hold().map(|_| self.system.spool.stem(run));
        let parse = self.parse(&claimed, &flight, records, output);
        let ending = parse.instrument(scope.span().clone()).await;
        faults::point("parsed");
        scope.span().in_scope(|| log_ending(&ending));

        let hold = scope.hold();
        let (log, ()) = tokio::join!(self.seal(scope, &claimed.run, &ending), self.finish(&claimed, &ending));
        faults::point("ended");
        drop((guard, hold));
        parsed();

        let to_report = self.to_report(log.as_ref(), &ending);
        let log = match log {
            Some(log) => Some(self.archiver.archive(log).await),
            None => None,
        };
        let error_report = match to_report {
            Some(to_report) => self.report(to_report, log.as_ref()).await,
            None => None,
        };
        RunReport { run, ending, log, error_report }
    }

    async fn open_scope(&self, claimed: &ClaimedRun) -> LogScope {
        let run = claimed.run.id;
        let (spool, syncer, head) = (self.system.spool.clone(), Arc::clone(&self.syncer), self.head(claimed));
        let opened = carry::spawn_blocking(move || LogScope::open(&spool, &syncer, &head)).await;
        let (scope, error) = opened.unwrap_or_else(|panicked| resume_unwind(panicked.into_panic()));
        let noted = match error {
            None => store::log::opened(&self.system.pool, run.into()).await,
            Some(error) => {
                let reason = format!("the log could not be opened in the spool: {error}");
                tracing::error!(%run, "{reason}; its events go to the global log");
                store::log::lost(&self.system.pool, run.into(), &reason, None).await
            }
        };
        if let Err(error) = noted {
            tracing::warn!(%run, "the row does not say yet where the log is: {error:#}");
        }
        scope
    }

    fn head(&self, claimed: &ClaimedRun) -> Head {
        let run = &claimed.run;
        let started = run.started_at.unwrap_or_else(Utc::now);
        let log_key = LogKey::new(&run.key, run.data_file_id, started, run.reparse_id, run.id);
        Head {
            version: SCHEMA_VERSION,
            log: run.id.into(),
            bucket: run.bucket.clone(),
            log_key: log_key.as_str().to_owned(),
            worker: self.claimant.worker.clone(),
            started,
            subject: Subject::Run(RunSubject {
                run: run.id,
                lease_token: claimed.lease_token,
                attempt: run.attempt,
                data_file: run.data_file_id,
                batch: run.batch_id,
                reparse: run.reparse_id,
                key: run.key.clone(),
                object_version: run.version_id.clone(),
            }),
        }
    }

    /// Clears leftovers of earlier attempts, fetches and parses, inside the scope.
    async fn parse(
        &self,
        claimed: &ClaimedRun,
        flight: &InFlight,
        records: Option<Box<dyn RecordSink>>,
        output: Option<PathBuf>,
    ) -> Ending {
        let run = &claimed.run;
        let submission = SubmissionEvent {
            file: Some(&run.name),
            program: Some(&run.program),
            section: Some(&run.section),
            fiscal_year: u64::try_from(run.fiscal_year).ok(),
            fiscal_quarter: u64::try_from(run.fiscal_quarter).ok(),
        };
        submission.log();
        // Never two parsers at one file, whoever recovers dead runs, and whenever.
        let earlier = claimed.earlier.clone();
        let cleared = carry::spawn_blocking(move || parser::clear_after(&earlier)).await;
        if let Err(error) = cleared.context("clearing panicked").flatten() {
            return Ending::Fail { reason: format!("{error:#}"), retry: true };
        }
        let copy = match self.fetch(run).await {
            Ok(copy) => copy,
            Err(ending) => return ending,
        };
        let parser = self.parsers.of(&run.program, &run.section);
        let parse = {
            let (run, flight, path) = (run.clone(), flight.clone(), copy.path.clone());
            let mut records = records;
            carry::spawn_blocking(move || {
                let submission = Submission {
                    path: &path,
                    name: &run.name,
                    program: &run.program,
                    section: &run.section,
                    fiscal_year: run.fiscal_year,
                    fiscal_quarter: u8::try_from(run.fiscal_quarter).unwrap_or_default(),
                };
                let mut context = ParseContext {
                    run: run.id,
                    data_file: run.data_file_id,
                    cancel: &flight.cancel,
                    progress: &flight.progress,
                    records: records.as_mut().map(|sink| sink.as_mut() as &mut dyn RecordSink),
                    output: output.as_deref(),
                };
                let outcome = parser.parse(&submission, &mut context)?;
                if let Some(sink) = &mut records {
                    sink.finish().context("failed to write the accepted records")?;
                }
                Ok(outcome)
            })
        };
        let parsed = self.wait(parse, flight).await;
        // A large file takes a while to delete, and must be gone when the run has ended.
        let _ = carry::spawn_blocking(move || drop(copy)).await;
        match parsed {
            Some(Ok(result)) => self.ending(result),
            Some(Err(panicked)) => {
                debug_assert!(panicked.is_panic(), "a parse is never aborted");
                Ending::Fail {
                    reason: "the parser panicked: its log has the message and place".to_owned(),
                    retry: true,
                }
            }
            None => Ending::Terminate {
                reason: format!(
                    "the parser did not stop within {} s; it was left behind",
                    STOP_GRACE.as_secs()
                ),
            },
        }
    }

    /// Waits for the parse until its deadline; after that, or after a request to stop, only for a while.
    async fn wait<T>(
        &self,
        mut parse: tokio::task::JoinHandle<T>,
        flight: &InFlight,
    ) -> Option<Result<T, tokio::task::JoinError>> {
        let asked_to_stop = async {
            let asked = tokio::time::timeout(self.claimant.timeout, flight.stopping.cancelled());
            if asked.await.is_err() {
                flight.stop(CancelReason::TimedOut);
            }
            tokio::time::sleep(STOP_GRACE).await;
        };
        tokio::select! {
            result = &mut parse => Some(result),
            () = asked_to_stop => None,
        }
    }

    fn ending(&self, result: Result<Outcome, ParseError>) -> Ending {
        match result {
            Ok(mut outcome) => {
                if let Some(first) = &mut outcome.first_error {
                    first.message = self.system.redactor.redact(&first.message).into_owned();
                }
                Ending::Success(Box::new(outcome))
            }
            Err(ParseError::Cancelled(CancelReason::Shutdown)) => Ending::HandBack,
            Err(ParseError::Cancelled(reason)) => Ending::Terminate { reason: reason.to_string() },
            Err(ParseError::Failed(error)) => Ending::Fail {
                reason: self.system.redactor.redact(&format!("{error:#}")).into_owned(),
                retry: true,
            },
        }
    }

    /// Writes the ending on the row and retries for long: the run must not stay open because of a short
    /// outage of the database.
    async fn finish(&self, claimed: &ClaimedRun, ending: &Ending) {
        let run = claimed.run.id;
        let (last, times) = LAST_FINISH_PAUSE;
        let mut pauses = FINISH_PAUSES.into_iter().chain(std::iter::repeat_n(last, times));
        loop {
            faults::point("before-finish");
            match queue::finish(&self.system.pool, run, claimed.lease_token, ending).await {
                Ok(Finished::Yes) => {
                    faults::point("after-finish");
                    return lifecycle(run, ending);
                }
                Ok(Finished::Fenced) => {
                    return tracing::warn!(%run, "fenced: the run was another attempt's by now, its result is refused");
                }
                Ok(Finished::Refused) => return,
                Err(error) if store::refusal(&error).is_some() => {
                    return tracing::error!(%run, "the database refuses every ending; the run's lease runs out: {error:#}");
                }
                Err(error) => match pauses.next() {
                    Some(seconds) => {
                        tracing::warn!(%run, "the ending is not on the row yet: {error:#}");
                        tokio::time::sleep(Duration::from_secs(seconds)).await;
                    }
                    None => {
                        return tracing::error!(%run, "the ending could not be recorded; the run's lease runs out: {error:#}");
                    }
                },
            }
        }
    }

    async fn seal(&self, scope: LogScope, run: &Run, ending: &Ending) -> Option<SealedLog> {
        let (emitted, dropped) = (scope.emitted(), scope.dropped());
        if dropped > 0 {
            tracing::error!(run = %run.id, dropped, "events could not be stored in the log");
        }
        let (word, reason) = tail_words(ending);
        faults::point("before-seal");
        let sealed = carry::spawn_blocking(move || scope.seal(word, reason)).await;
        match sealed.map_err(std::io::Error::from).flatten() {
            Ok(Some(log)) => Some(log),
            Ok(None) => {
                self.lose(run.id, NEVER_OPENED, dropped).await;
                None
            }
            Err(error) => {
                tracing::error!(run = %run.id, "the log could not be completed; the sweep tries again: {error}");
                let reason = format!("the log could not be completed in the spool: {error}");
                self.lose(run.id, &reason, emitted).await;
                None
            }
        }
    }

    /// Writes on the row how many events are in no log; a sweep that saves some corrects it later.
    async fn lose(&self, run: RunId, reason: &str, dropped: u64) {
        if let Err(error) = store::log::lost(&self.system.pool, run.into(), reason, Some(dropped)).await {
            tracing::warn!(%run, "the row does not say how many events its log misses: {error:#}");
        }
    }
}
