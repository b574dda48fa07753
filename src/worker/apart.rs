//! A parse in a process of its own. Its messages go to the row; if it dies, only its own run ends as a crash,
//! with its log.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::death::Death;
use super::process::{Ender, Heard, ParseProcess};
use super::processes::ParseProcesses;
use crate::carry;
use crate::parse::{
    Flight, Order, ParseJob, ParseNews, Parsed, RunRow, STOP_GRACE, Sealed, prepare_scratch, tail_words,
};
use crate::parser::{self, CancelReason};
use crate::queue::Ending;
use crate::recovery::close_dead;
use crate::spool::SealedLog;
use crate::system::System;

/// How long a parse process may take to end a run by itself after its parser had its time to stop.
const LAST_GRACE: Duration = Duration::from_secs(10);

/// One parse in a process of its own.
pub(super) struct ParseApart<'a, R> {
    pub(super) system: &'a System,
    pub(super) processes: &'a ParseProcesses,
    pub(super) job: &'a ParseJob,
    pub(super) flight: &'a Flight,
    pub(super) row: &'a R,
}

/// What a process is good for after its job.
enum Left {
    /// The next job.
    Ready,
    /// Nothing: it leaves, or died.
    Gone,
}

impl<R: RunRow> ParseApart<'_, R> {
    /// Takes the job to its end, as [`crate::parse::ParseTools::parse`] does.
    pub(super) async fn parse(&self) -> Parsed {
        let mut process = match self.processes.take() {
            Ok(process) => process,
            Err(error) => return self.end(&Death::NotStarted(error.to_string()), None).await,
        };
        process.runs += 1;
        process.tell(&Order::Parse(Box::new(self.job.clone())));
        let ender = process.ender();
        let (parsed, left) = tokio::select! {
            ended = self.follow(&mut process) => ended,
            never = self.stop_in_time(&ender) => match never {},
        };
        match left {
            Left::Ready => self.processes.give_back(process),
            Left::Gone => self.processes.is_gone(),
        }
        parsed
    }

    /// Follows the process from its first word about the job to the last.
    async fn follow(&self, process: &mut ParseProcess) -> (Parsed, Left) {
        let mut hold = None;
        loop {
            match process.hear().await {
                Heard::Said(ParseNews::Opened, file) => {
                    hold = file.map(Arc::new);
                    self.row.opened(hold.clone()).await;
                }
                Heard::Said(ParseNews::Ended(ending), _) => {
                    let sealed = self.follow_to_seal(process, &ending, hold.as_deref());
                    let ((log, left), ()) = tokio::join!(sealed, self.row.ended(&ending));
                    return (Parsed { ending, log, left_behind: false }, left);
                }
                Heard::Said(news, _) => self.note(process, news).await,
                Heard::Died(death) => return (self.end(&death, hold.as_deref()).await, Left::Gone),
            }
        }
    }

    /// Follows the process from the run's ending on, until its log is complete.
    async fn follow_to_seal(
        &self,
        process: &mut ParseProcess,
        ending: &Ending,
        hold: Option<&File>,
    ) -> (Option<SealedLog>, Left) {
        loop {
            match process.hear().await {
                Heard::Said(ParseNews::Done { sealed, spent }, file) => {
                    let log = match sealed.zip(file) {
                        Some((sealed, file)) => self.take_over(sealed, file).await,
                        None => None,
                    };
                    return (log, if spent { Left::Gone } else { Left::Ready });
                }
                Heard::Said(news, _) => self.note(process, news).await,
                Heard::Died(death) => {
                    let (run, reason) = (self.job.run.run, self.reason(&death));
                    tracing::warn!(%run, "a parse process died when its run had ended: {reason}");
                    return (self.close_log(hold, ending).await, Left::Gone);
                }
            }
        }
    }

    /// Takes note of the news that end nothing.
    async fn note(&self, process: &ParseProcess, news: ParseNews) {
        match news {
            ParseNews::Lost { reason, dropped } => self.row.lost(&reason, dropped).await,
            ParseNews::FirstSeen(seen) => {
                let noted = self.row.first_seen(&seen).await.map_err(|error| format!("{error:#}"));
                process.tell(&Order::Noted(noted));
            }
            ParseNews::Progress { bytes, total_bytes, records, problems } => {
                let progress = &self.flight.progress;
                progress.bytes.store(bytes, Ordering::Relaxed);
                progress.total_bytes.store(total_bytes, Ordering::Relaxed);
                progress.records.store(records, Ordering::Relaxed);
                progress.problems.store(problems, Ordering::Relaxed);
            }
            _ => tracing::warn!(run = %self.job.run.run, "a parse process said something out of turn"),
        }
    }

    /// Passes on the request to stop, and ends a process that does not follow it. The process watches the
    /// deadline itself, unless the whole process is stuck.
    async fn stop_in_time(&self, ender: &Ender) -> std::convert::Infallible {
        self.flight.stopped_or_late(self.job.timeout + LAST_GRACE).await;
        ender.tell(&Order::Stop(self.flight.cancel.reason().unwrap_or(CancelReason::TimedOut)));
        tokio::time::sleep(STOP_GRACE + LAST_GRACE).await;
        ender.end();
        std::future::pending().await
    }

    /// How the run of a dead process ended: as the process was told to end it, or as a crash.
    fn ending(&self, death: &Death, had_log: bool) -> Ending {
        let reason = self.reason(death);
        match (self.flight.cancel.reason(), death) {
            (Some(told), _) => Ending::stopped(told),
            (None, Death::NotStarted(_)) => Ending::Fail { reason, retry: true },
            (None, Death::Ended { .. }) if had_log => Ending::Crash { reason },
            (None, Death::Ended { .. }) => Ending::Crash {
                reason: format!("{reason}, before its log was open: the global log may say why"),
            },
        }
    }

    fn reason(&self, death: &Death) -> String {
        death.reason(self.processes.plan.memory)
    }

    /// Ends the run of a process that died before it could end it.
    async fn end(&self, death: &Death, hold: Option<&File>) -> Parsed {
        if self.flight.cancel.reason().is_some() {
            let run = self.job.run.run;
            tracing::warn!(%run, "a parse process did not stop in time: the worker ended it");
        }
        let ending = self.ending(death, hold.is_some());
        let (log, ()) = tokio::join!(self.close_log(hold, &ending), self.row.ended(&ending));
        Parsed { ending, log, left_behind: false }
    }

    async fn take_over(&self, sealed: Sealed, file: File) -> Option<SealedLog> {
        let (spool, head) = (self.system.spool.clone(), self.job.head.clone());
        let Sealed { tail, closed_at, lines } = sealed;
        let taken = carry::spawn_blocking(move || spool.take_over(file, head, tail, closed_at, lines)).await;
        taken.ok().flatten()
    }

    /// Clears away what a dead process left, and completes its log.
    async fn close_log(&self, hold: Option<&File>, ending: &Ending) -> Option<SealedLog> {
        let hold = hold.map(File::try_clone).transpose();
        let (spool, scratch, run) =
            (self.system.spool.clone(), self.system.scratch.clone(), self.job.run.run);
        let (word, reason) = tail_words(ending);
        let closed = carry::spawn_blocking(move || -> Result<_> {
            // Each step stands alone: the log is completed even if another fails.
            let cleared = parser::clear_after(&[run]);
            let emptied = prepare_scratch(&scratch).context("failed to remove the local copy");
            let closed = close_dead(&spool, run.into(), hold?, word, &reason.unwrap_or_default());
            for error in cleared.err().into_iter().chain(emptied.err()) {
                tracing::warn!(%run, "something of a dead parse process is left: {error:#}");
            }
            closed
        });
        let closed = closed.await.context("closing the log panicked").flatten();
        closed.unwrap_or_else(|error| {
            tracing::error!(%run, "the log of a dead parse process is not complete; the sweep tries again: {error:#}");
            None
        })
    }
}
