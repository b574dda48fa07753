//! Checks the rows: are they true?

use anyhow::{Result, anyhow};
use chrono::Utc;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{Doctor, Finding, FindingKind, Repair};
use crate::clock;
use crate::notify::{IN_DOUBT, LATE};
use crate::objects::{ObjectError, ObjectUri};
use crate::queue::REAPED_WITHIN;
use crate::store::health::Stuck;
use crate::store::notice::WEBHOOK;
use crate::store::problem_file::UnwrittenFile;
use crate::store::{self, LogState, Notice, NoticeState, Run, RunFilter};

/// Rows to hold at once, and objects to check at once.
const PAGE: i64 = 500;
const AT_ONCE: usize = 8;

impl Doctor {
    pub(super) async fn examine_rows(&self) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        self.each_page(
            RunFilter { log_state: vec![LogState::Archived], ..RunFilter::default() },
            async |page| {
                // Owned runs, since a closure over borrowed ones would make a future that is not `Send`.
                let looked = stream::iter(page.into_iter().map(|run| self.look_up(run))).buffered(AT_ONCE);
                findings.extend(looked.try_collect::<Vec<_>>().await?.into_iter().flatten());
                Ok(())
            },
        )
        .await?;
        let waiting = vec![LogState::Open, LogState::Sealed, LogState::Fallback];
        self.each_page(RunFilter { log_state: waiting, ..RunFilter::default() }, async |page| {
            findings.extend(page.iter().filter_map(|run| self.is_elsewhere(run)));
            Ok(())
        })
        .await?;
        let reaped = REAPED_WITHIN.min(self.grace);
        let stuck = store::health::stuck(&self.system.pool, reaped, self.grace).await?;
        findings.extend(stuck.into_iter().map(of_stuck));
        for batch in store::health::overdue(&self.system.pool).await? {
            let what =
                format!("{} runs have not ended, its deadline was {}", batch.unfinished, batch.deadline);
            findings.push(Finding {
                batch: Some(batch.id),
                ..Finding::new(FindingKind::BatchOverdue, None, what)
            });
        }
        for log in store::piece::of_no_use(&self.system.pool).await? {
            let what = "pieces of its log are in the remote tail, though nobody needs them any more";
            let finding = Finding::new(FindingKind::PieceLeft, Some(log.as_run()), what);
            findings.push(finding.repaired_by(Repair::DropPieces { log }));
        }
        let unsent = store::notice::undelivered(&self.system.pool, IN_DOUBT, LATE).await?;
        findings.extend(unsent.into_iter().map(of_notice));
        let unwritten = store::problem_file::unwritten(&self.system.pool).await?;
        findings.extend(unwritten.into_iter().map(of_file));
        Ok(findings)
    }

    /// Calls `each` with all runs that match the filter, page by page.
    pub(super) async fn each_page(
        &self,
        filter: RunFilter,
        mut each: impl AsyncFnMut(Vec<Run>) -> Result<()>,
    ) -> Result<()> {
        let mut filter = RunFilter { limit: Some(PAGE), ..filter };
        loop {
            let page = store::find(&self.system.pool, &filter).await?;
            let Some(last) = page.last() else { return Ok(()) };
            filter.before = Some(last.id);
            each(page).await?;
        }
    }

    async fn look_up(&self, run: Run) -> Result<Option<Finding>> {
        let text = run.logs_uri.as_deref().unwrap_or_default();
        let missing = |what: String| Some(Finding::new(FindingKind::ArchiveMissing, Some(run.id), what));
        let Ok(uri) = text.parse::<ObjectUri>() else {
            return Ok(missing("the row's URI can't be read".to_owned()));
        };
        Ok(match self.system.objects.head(&uri).await {
            Ok(stored) if Some(stored.size.cast_signed()) == run.log_gzip_bytes => None,
            Ok(stored) => {
                let said = run.log_gzip_bytes.unwrap_or_default();
                let what = format!("{uri} has {} bytes, the row says {said}", stored.size);
                Some(Finding::new(FindingKind::ArchiveSize, Some(run.id), what))
            }
            Err(ObjectError::NotFound { missing: what, .. }) => {
                let finding = missing(format!("{what} not found: {uri}"));
                // The spool may still have it, if a process died between the row and the removal.
                let spooled = self.system.spool.find(run.id).is_some();
                finding.map(|finding| if spooled { finding.repaired_by(Repair::Sweep) } else { finding })
            }
            Err(error) => return Err(anyhow!(error)),
        })
    }

    fn is_elsewhere(&self, run: &Run) -> Option<Finding> {
        let ended = run.finished_at.is_some_and(|at| at < Utc::now() - self.grace);
        if !ended || self.system.spool.find(run.id).is_some() {
            return None;
        }
        let worker = run.worker.as_deref().unwrap_or("an unknown worker");
        let state = run.log_state;
        let finding = |what| Finding::new(FindingKind::LogNotHere, Some(run.id), what);
        Some(if self.sole_spool {
            finding(format!("the log is {state}, but not in the spool: it is lost"))
                .repaired_by(Repair::MarkLost { run: run.id })
        } else {
            finding(format!("the log is {state} in the spool of {worker}, and not in this one: look there"))
        })
    }
}

fn of_file(file: UnwrittenFile) -> Finding {
    let UnwrittenFile { program, fiscal_year, fiscal_quarter, month, failures, failure } = file;
    let month = month.format("%Y-%m");
    let tries = if failures == 1 { "1 try".to_owned() } else { format!("{failures} tries") };
    let what = format!(
        "the problems of {program} {fiscal_year} Q{fiscal_quarter} in {month} are not in their Parquet file, after {tries}: \
         {failure}; workers try again, `parselog problems --backfill` at once"
    );
    Finding::new(FindingKind::ProblemsUnwritten, None, what)
}

fn of_stuck(run: Stuck) -> Finding {
    let Stuck { id, worker, deadline, lease_is_over, lease_is_long_over } = run;
    if lease_is_over {
        let what = format!("{worker} stopped answering, and no other worker ends its runs: start one");
        let finding = Finding::new(FindingKind::LeaseOver, Some(id), what);
        return if lease_is_long_over { finding.repaired_by(Repair::Reap) } else { finding };
    }
    let deadline = deadline.map(clock::exact_moment).unwrap_or_default();
    let what = format!("{worker} runs it past its deadline {deadline}: `parselog cancel` stops it");
    Finding::new(FindingKind::PastDeadline, Some(id), what)
}

fn of_notice(notice: Notice) -> Finding {
    let error = notice.last_error.map(|error| format!(": {error}")).unwrap_or_default();
    let (by, again) = match notice.address.as_str() {
        WEBHOOK => ("call", "is made again"),
        _ => ("mail", "is not sent again"),
    };
    let name = format!("{by} {} ({})", notice.id, notice.kind);
    let what = match notice.state {
        NoticeState::Failed => format!("{name} was given up{error}"),
        NoticeState::Sending => format!("nobody knows whether {name} was taken: it {again}"),
        _ => format!("{name} waits{error}"),
    };
    let what = format!("{what}; see `parselog notices --unsent`");
    Finding { batch: notice.batch_id, ..Finding::new(FindingKind::NoticeUnsent, notice.run_id, what) }
}
