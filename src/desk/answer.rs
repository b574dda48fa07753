//! The answer to "what happened to this file, and what now?": a run's verdict in words, what it is made of, and
//! what to do next.

use anyhow::Context as _;

use super::status::nobody_takes;
use super::{DeskError, Result, lookup};
use crate::archive;
use crate::parser::{Category, SummaryStatus};
use crate::report::{ProblemGroup, Report};
use crate::store::{self, LogState, Run, RunFilter, RunStatus};
use crate::system::System;

/// What happened in a run.
pub struct Answer {
    pub run: Run,
    /// All attempts at its job, the oldest first; this run is one of them.
    pub attempts: Vec<Run>,
    /// Whether the file was parsed before, so that there is something to compare.
    pub has_earlier: bool,
    /// Why nobody takes it, if it is queued.
    pub waits: Option<String>,
    /// Where a stored report is, if one is found.
    pub report: Option<String>,
    /// The problems by kind, the most frequent first; or why its log can't be read.
    pub groups: Result<Vec<ProblemGroup>>,
}

/// Answers for a run. If its log can't be read, the answer says why and stands without the problems.
///
/// # Errors
/// The database fails, or the scratch folder can't be used.
pub async fn answer(system: &System, run: Run) -> Result<Answer> {
    let groups = problems(system, &run).await;
    answer_with(system, run, groups).await
}

/// As [`answer`], with problems that the caller has.
///
/// # Errors
/// The database fails.
pub async fn answer_with(system: &System, run: Run, groups: Result<Vec<ProblemGroup>>) -> Result<Answer> {
    let of_job =
        RunFilter { batch: Some(run.batch_id), data_file: Some(run.data_file_id), ..RunFilter::default() };
    let mut attempts = store::find(&system.pool, &of_job).await?;
    attempts.reverse();
    let first = attempts.first().map_or(run.id, |first| first.id);
    let before =
        RunFilter { same_file_as: Some(run.data_file_id), before: Some(first), ..RunFilter::default() };
    let has_earlier = store::latest(&system.pool, &before).await?.is_some();
    let waits = nobody_takes(&system.pool, &run).await?;
    // It is an extra, like the report itself; a store that does not answer is not asked twice.
    let report = match groups {
        Ok(_) => archive::stored_report(&system.objects, &run).await.unwrap_or_default(),
        Err(_) => None,
    };
    Ok(Answer { run, attempts, has_earlier, waits, report, groups })
}

/// The problems in the log of a run by kind, the most frequent first.
///
/// # Errors
/// The log can't be read.
pub async fn problems(system: &System, run: &Run) -> Result<Vec<ProblemGroup>> {
    let log = lookup::log(system, run).await?;
    let report = Report::of_log(log, &system.objects, system.redactor.clone(), &system.scratch).await;
    Ok(report.context("failed to read the log")?.groups)
}

impl Answer {
    /// Why it came to what it came to, in one sentence; the row's `failure` says more where it failed.
    pub fn why(&self) -> String {
        let run = &self.run;
        match run.status {
            RunStatus::Queued => {
                let attempt = format!("attempt {} of {}", run.attempt, run.max_attempts);
                let it = if run.attempt > 1 { &attempt } else { "it" };
                let waits = self.waits.as_ref().map(|why| format!("; {why}")).unwrap_or_default();
                format!("{it} waits for a worker{waits}")
            }
            RunStatus::Running => {
                format!("{} is parsing it", run.worker.as_deref().unwrap_or("a worker"))
            }
            RunStatus::Success => self.why_verdict(),
            RunStatus::Fail => "the parser could not do its work".to_owned(),
            RunStatus::Crash => "the process that parsed it died".to_owned(),
            RunStatus::Terminate => "the parse was stopped".to_owned(),
            RunStatus::Inaction => "it was taken out of the queue before it was parsed".to_owned(),
        }
    }

    fn why_verdict(&self) -> String {
        let run = &self.run;
        let problems = run.error_count.unwrap_or_default();
        let problems = format!("{problems} problem{}", if problems == 1 { "" } else { "s" });
        match run.summary_status {
            Some(SummaryStatus::Accepted) => "every record was accepted, and no problem was found".to_owned(),
            Some(SummaryStatus::AcceptedWithErrors) => format!("every record was accepted, with {problems}"),
            Some(SummaryStatus::PartiallyAccepted) => match (run.records_in_file, run.records_created) {
                (Some(all), Some(created)) if all > created => {
                    let were = if all - created == 1 { "was" } else { "were" };
                    format!("{} of {all} records {were} not accepted: {problems}", all - created)
                }
                _ => format!("not everything was accepted: {problems}"),
            },
            Some(SummaryStatus::Rejected) => format!("nothing was accepted, {}", self.since()),
            Some(SummaryStatus::NoVerdict) | None => {
                "the parser came to its end and said nothing about the submission".to_owned()
            }
        }
    }

    /// What a file as a whole is rejected for.
    fn since(&self) -> String {
        let of_file = self.groups.iter().flatten().find(|group| group.category == Category::File.number());
        let said = of_file.map(|group| (group.first_record, group.message()));
        let first = self.run.first_error.clone();
        let first =
            first.map(|message| (self.run.first_error_record.and_then(|at| u64::try_from(at).ok()), message));
        match said.or(first) {
            Some((Some(record), message)) => format!("since line {record} says: {message}"),
            Some((None, message)) => format!("since {message}"),
            None => "for a reason that its row does not keep".to_owned(),
        }
    }

    /// What happens next without anybody's doing, and what somebody may do, in a sentence.
    pub fn happens_next(&self) -> String {
        let run = &self.run;
        let last = self.attempts.last().filter(|last| last.id != run.id);
        match (run.status, run.summary_status) {
            (RunStatus::Queued, _) => "A worker takes it as soon as one is free, and opens its log.".to_owned(),
            (RunStatus::Running, _) if run.cancel_requested_at.is_some() => {
                "Its worker stops it within seconds; its log stays.".to_owned()
            }
            (RunStatus::Running, _) => "When the parse ends, its verdict and its problems stand here.".to_owned(),
            (RunStatus::Success, Some(SummaryStatus::Accepted)) => {
                "Nothing is left to do: the submission is complete.".to_owned()
            }
            (RunStatus::Success, Some(SummaryStatus::NoVerdict) | None) => {
                "Nothing happens by itself: whoever looks after the parser finds the reason in the log.".to_owned()
            }
            (RunStatus::Success, _) => {
                "The submitter corrects the problems and submits the file again; the next run shows what changed."
                    .to_owned()
            }
            (RunStatus::Inaction, _) => {
                "Nothing happens by itself: somebody may parse the file again.".to_owned()
            }
            (RunStatus::Fail | RunStatus::Crash | RunStatus::Terminate, _) => match last {
                Some(last) => format!("Attempt {} went on from here: it is {}.", last.attempt, last.verdict()),
                None => "No further attempt is made by itself: somebody may try it again.".to_owned(),
            },
        }
    }

    /// The commands that go on from here, each with what it does.
    pub fn next(&self) -> Vec<(String, &'static str)> {
        let run = self.run.id;
        let has_problems = self.run.error_count.is_some_and(|count| count > 0);
        let has_log = !matches!(self.run.log_state, LogState::None | LogState::Lost | LogState::Pruned);
        let mut next = Vec::new();
        match self.run.status {
            RunStatus::Queued => {
                next.push((format!("parselog logs -f {run}"), "follow it from its start"));
                next.push(("parselog worker".to_owned(), "parse it, if no worker does"));
            }
            RunStatus::Running => {
                next.push((format!("parselog logs -f {run}"), "follow it"));
                next.push((format!("parselog cancel {run}"), "stop it"));
            }
            _ if has_log => next.push((format!("parselog logs {run}"), "read its log")),
            _ => {}
        }
        if has_problems && self.groups.is_ok() {
            next.push((format!("parselog report {run} --out report.xlsx"), "every problem, in a workbook"));
        }
        if self.has_earlier && has_log && self.run.status == RunStatus::Success {
            next.push((format!("parselog diff {run}"), "what changed since the parse before"));
        }
        let is_last = self.attempts.last().is_none_or(|last| last.id == run);
        if is_last && self.run.status.is_final() && self.run.status != RunStatus::Success {
            next.push((format!("parselog retry {run}"), "give it another attempt"));
        }
        next
    }

    /// Why the problems are not named, where they are not.
    pub fn unread(&self) -> Option<&DeskError> {
        self.groups.as_ref().err()
    }
}
