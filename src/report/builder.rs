//! From the lines of a log to a report.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::SpooledTempFile;

use super::groups::Groups;
use super::problem::readable;
use super::{Report, ReportedProblem, Summary};
use crate::parser::MonthCases;
use crate::record::event::{OutcomeEvent, ProblemEvent, SubmissionEvent};
use crate::record::{LogEnding, Record, Subject};
use crate::redact::Redactor;

/// Bytes of problems that are held in memory; beyond it they go to a file.
const IN_MEMORY: usize = 1 << 20;

/// A report in the making.
pub(super) struct ReportBuilder {
    redactor: Redactor,
    summary: Summary,
    groups: Groups,
    /// Lines of the log so far.
    lines: u64,
    problems: BufWriter<SpooledTempFile>,
    scratch: PathBuf,
}

impl ReportBuilder {
    pub(super) fn new(redactor: Redactor, scratch: &Path) -> Self {
        Self {
            redactor,
            summary: Summary::default(),
            groups: Groups::default(),
            lines: 0,
            problems: BufWriter::new(tempfile::spooled_tempfile_in(IN_MEMORY, scratch)),
            scratch: scratch.to_owned(),
        }
    }

    /// Takes one line of the log.
    ///
    /// # Errors
    /// The file of problems can't be written, or the line of a problem is damaged.
    pub(super) fn line(&mut self, line: &[u8]) -> io::Result<()> {
        self.lines += 1;
        if let Some(event) = ProblemEvent::read(line)? {
            let problem = ReportedProblem::of(&event, &self.redactor);
            self.summary.count(&problem);
            self.groups.add(&problem, self.lines);
            serde_json::to_writer(&mut self.problems, &problem)?;
            return self.problems.write_all(b"\n");
        }
        if let Some(record) = Record::decode(line) {
            self.fact(&record);
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Report> {
        let problems = self.problems.into_inner().map_err(io::IntoInnerError::into_error);
        Ok(Report {
            summary: self.summary,
            groups: self.groups.finish(),
            problems: problems.context("failed to keep the problems for the report")?,
            scratch: self.scratch,
        })
    }

    fn fact(&mut self, record: &Record) {
        let (summary, redactor) = (&mut self.summary, &self.redactor);
        let text = |text: Option<&str>| text.map(|text| readable(text, redactor));
        if let Some(submission) = SubmissionEvent::read(record) {
            summary.file = text(submission.file);
            summary.program = text(submission.program);
            summary.section = text(submission.section);
            summary.fiscal_year = submission.fiscal_year;
            summary.fiscal_quarter = submission.fiscal_quarter;
        }
        match OutcomeEvent::read(record) {
            Some(OutcomeEvent::Accepted { record_type, records }) => {
                summary.accepted(&readable(record_type, redactor), records);
            }
            Some(OutcomeEvent::Cases { month, accepted_without_errors, accepted_with_errors }) => {
                let month = readable(month, redactor);
                summary.cases(&month, MonthCases { accepted_without_errors, accepted_with_errors });
            }
            Some(OutcomeEvent::Parsed {
                summary: verdict,
                records_in_file,
                records_created,
                lines_rejected,
                ..
            }) => {
                summary.cases.rejected = lines_rejected;
                summary.verdict = text(verdict);
                summary.records_in_file = records_in_file;
                summary.records_created = records_created;
            }
            None => {}
        }
        if let Some(head) = &record.head
            && let Subject::Run(run) = &head.subject
        {
            summary.run = Some(run.run);
            summary.attempt = Some(run.attempt);
            summary.data_file = Some(run.data_file);
            summary.started = Some(head.started);
            summary.log_key = Some(head.log_key.clone());
        }
        if let Some(cut) = record.cut {
            summary.missing_events = cut.dropped;
        }
        if let Some(tail) = &record.tail {
            summary.ending = Some(tail.ending);
            summary.missing_events = tail.dropped;
            let reason = tail.reason.as_ref().map(|reason| readable(reason, redactor));
            // A log of warnings only still has the verdict in its last record.
            match tail.ending {
                LogEnding::Success => summary.verdict = summary.verdict.take().or(reason),
                LogEnding::Fail | LogEnding::Terminate | LogEnding::Crash => summary.reason = reason,
            }
        }
    }
}
