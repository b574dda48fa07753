//! Who is told what: results go to the submitter, everything else to the operators.

use crate::ids::{BatchId, RunId};
use crate::parser::SummaryStatus;
use crate::store::notice::{EndedRun, NewNotice};
use crate::store::{BatchKind, NoticeKind, RunStatus};

/// The notices of one round.
pub(super) struct Told<'a> {
    admins: &'a [String],
    notices: Vec<NewNotice>,
}

impl<'a> Told<'a> {
    /// Nothing yet; these are the operators.
    pub(super) fn of(admins: &'a [String]) -> Self {
        Self { admins, notices: Vec::new() }
    }

    /// Tells of runs that ended for good.
    pub(super) fn ended(&mut self, runs: &[EndedRun]) {
        for run in runs {
            if is_news(run) {
                self.tell(NoticeKind::Result, Some(run.id), None, &run.submitter_emails);
            }
            if is_failure(run) {
                self.about_runs(NoticeKind::RunFailed, [run.id]);
            }
        }
    }

    /// Tells the operators about these runs.
    pub(super) fn about_runs(&mut self, kind: NoticeKind, runs: impl IntoIterator<Item = RunId>) {
        for run in runs {
            self.tell(kind, Some(run), None, self.admins);
        }
    }

    /// Tells the operators about batches that are past their deadline.
    pub(super) fn about_overdue(&mut self, batches: impl IntoIterator<Item = BatchId>) {
        for batch in batches {
            self.tell(NoticeKind::BatchOverdue, None, Some(batch), self.admins);
        }
    }

    /// The notices, those about the oldest run first, and those about batches last.
    pub(super) fn in_order(mut self) -> Vec<NewNotice> {
        self.notices.sort_by_key(|notice| (notice.run_id.is_none(), notice.run_id, notice.batch_id));
        self.notices
    }

    fn tell(&mut self, kind: NoticeKind, run_id: Option<RunId>, batch_id: Option<BatchId>, to: &[String]) {
        let notices = to.iter().map(|address| NewNotice { run_id, batch_id, kind, address: address.clone() });
        self.notices.extend(notices);
    }
}

/// Whether the submitter gets the result. A reparse whose verdict stayed the best one is not news, and a failed
/// one changes nothing for the submitter.
fn is_news(run: &EndedRun) -> bool {
    let best = Some(SummaryStatus::Accepted);
    run.kind != BatchKind::Reparse
        || run.status == RunStatus::Success && !(run.summary_status == best && run.summary_before == best)
}

/// Whether the operators have to look: not where a person stopped the run.
fn is_failure(run: &EndedRun) -> bool {
    match run.status {
        RunStatus::Fail | RunStatus::Crash => true,
        RunStatus::Terminate => !run.is_cancelled,
        RunStatus::Queued | RunStatus::Running | RunStatus::Success | RunStatus::Inaction => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(kind: BatchKind, status: RunStatus, summary: Option<SummaryStatus>) -> EndedRun {
        EndedRun {
            id: RunId(uuid::Uuid::nil()),
            kind,
            status,
            summary_status: summary,
            is_cancelled: false,
            submitter_emails: vec!["ann".to_owned()],
            summary_before: Some(SummaryStatus::Accepted),
        }
    }

    #[test]
    fn results_go_to_the_submitter_and_failures_to_the_operators() {
        let (accepted, rejected) = (Some(SummaryStatus::Accepted), Some(SummaryStatus::Rejected));
        let (submission, reparse) = (BatchKind::Submission, BatchKind::Reparse);
        let stopped = EndedRun { is_cancelled: true, ..ended(submission, RunStatus::Terminate, None) };
        for (run, expected) in [
            (ended(submission, RunStatus::Success, accepted), &["result"][..]),
            (ended(submission, RunStatus::Fail, None), &["result", "run-failed"]),
            (ended(submission, RunStatus::Terminate, None), &["result", "run-failed"]),
            (stopped, &["result"]),
            (ended(reparse, RunStatus::Success, accepted), &[]),
            (ended(reparse, RunStatus::Success, rejected), &["result"]),
            (ended(reparse, RunStatus::Crash, None), &["run-failed"]),
        ] {
            let admins = ["admin".to_owned()];
            let mut told = Told::of(&admins);
            told.ended(std::slice::from_ref(&run));
            let told: Vec<_> = told.in_order().into_iter().map(|notice| notice.kind.as_str()).collect();
            assert_eq!(told, expected, "{run:?}");
        }
    }
}
