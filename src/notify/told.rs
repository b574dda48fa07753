//! Who is told what: results go to the submitter, everything else to the operators. A webhook is told everything
//! once: each end of a run, and each condition.

use crate::parser::SummaryStatus;
use crate::store::notice::{EndedRun, NewNotice, NoticeSubject, WEBHOOK};
use crate::store::{BatchKind, NoticeKind, RunStatus};

/// The notices of one round.
pub(super) struct Told<'a> {
    admins: &'a [String],
    has_mail: bool,
    has_webhook: bool,
    notices: Vec<NewNotice>,
}

impl<'a> Told<'a> {
    /// Nothing yet; these are the operators, and the channels that there are.
    pub(super) fn of(admins: &'a [String], has_mail: bool, has_webhook: bool) -> Self {
        Self { admins, has_mail, has_webhook, notices: Vec::new() }
    }

    /// Tells of runs that ended for good.
    pub(super) fn ended(&mut self, runs: &[EndedRun]) {
        for run in runs {
            if is_news(run) && self.has_mail {
                self.tell(NoticeKind::Result, NoticeSubject::Run(run.id), &run.submitter_emails);
            }
            if is_failure(run) {
                self.tell(NoticeKind::RunFailed, NoticeSubject::Run(run.id), self.admins);
            }
            self.call(NoticeKind::Result, NoticeSubject::Run(run.id));
        }
    }

    /// Tells the operators and the webhook about these.
    pub(super) fn about(&mut self, kind: NoticeKind, subjects: impl IntoIterator<Item = NoticeSubject>) {
        for subject in subjects {
            self.tell(kind, subject, self.admins);
            self.call(kind, subject);
        }
    }

    /// The notices, those about the oldest run first, and those about batches and streams last.
    pub(super) fn in_order(mut self) -> Vec<NewNotice> {
        self.notices.sort_by_key(|notice| notice.subject);
        self.notices
    }

    fn tell(&mut self, kind: NoticeKind, subject: NoticeSubject, to: &[String]) {
        let notices = to.iter().map(|address| NewNotice { subject, kind, address: address.clone() });
        self.notices.extend(notices);
    }

    fn call(&mut self, kind: NoticeKind, subject: NoticeSubject) {
        if self.has_webhook {
            self.notices.push(NewNotice { subject, kind, address: WEBHOOK.to_owned() });
        }
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
    use crate::ids::{BatchId, RunId};

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
            let mut told = Told::of(&admins, true, false);
            told.ended(std::slice::from_ref(&run));
            let told: Vec<_> = told.in_order().into_iter().map(|notice| notice.kind.as_str()).collect();
            assert_eq!(told, expected, "{run:?}");
        }
    }

    #[test]
    fn a_webhook_is_told_of_each_end_once_and_nobody_else_without_a_mail_server() {
        let runs = [
            ended(BatchKind::Submission, RunStatus::Fail, None),
            ended(BatchKind::Reparse, RunStatus::Success, Some(SummaryStatus::Accepted)),
        ];
        let mut told = Told::of(&[], false, true);
        told.ended(&runs);
        told.about(NoticeKind::BatchOverdue, [NoticeSubject::Batch(BatchId(7))]);
        let told: Vec<_> =
            told.in_order().into_iter().map(|notice| (notice.kind.as_str(), notice.address)).collect();
        let webhook = || WEBHOOK.to_owned();
        assert_eq!(told, [("result", webhook()), ("result", webhook()), ("batch-overdue", webhook())]);
    }
}
