//! The optional error report beside a run's log.
//!
//! It is an extra: if it can't be made or stored, the global log gets a warning and the run stays as it is.
//! `parselog report` can make it from the log at any time.

use std::fs::File;

use anyhow::{Context, Result, anyhow};

use super::Worker;
use crate::archive::Archived;
use crate::config::ReportFormat;
use crate::ids::report_key;
use crate::objects::{self, ObjectUri, Put};
use crate::parse::LocalCopy;
use crate::queue::Ending;
use crate::reader::LogSource;
use crate::record::RunSubject;
use crate::report::Report;
use crate::spool::SealedLog;
use crate::{carry, faults};

/// A report to make: it holds the sealed log open, to read it even after it is archived and gone.
pub(super) struct ToReport {
    format: ReportFormat,
    subject: RunSubject,
    bucket: String,
    log_key: String,
    /// `None` if it is to be read from its archive: its beginning has left the spool.
    log: Option<File>,
    raw_bytes: u64,
}

impl Worker {
    /// The report to make, if reports are on. A handed-back run has none: the next attempt will report
    /// everything.
    pub(super) fn to_report(&self, log: Option<&SealedLog>, ending: &Ending) -> Option<ToReport> {
        let (format, log) = self.reports.zip(log)?;
        if matches!(ending, Ending::HandBack) {
            return None;
        }
        let subject = log.head.subject.run()?.clone();
        let (bucket, log_key) = (log.head.bucket.clone(), log.head.log_key.clone());
        let is_here = !self.system.spool.has_given_back(log.head.log);
        match File::open(log.path()).and_then(|file| Ok((file.metadata()?.len(), file))) {
            Ok((raw_bytes, log)) => {
                Some(ToReport { format, subject, bucket, log_key, log: is_here.then_some(log), raw_bytes })
            }
            Err(error) => {
                tracing::warn!(run = %subject.run, "no error report: failed to open the sealed log: {error}");
                None
            }
        }
    }

    /// Makes and stores the report; returns its URI. `archived` is the fate of the log.
    pub(super) async fn report(&self, to_report: ToReport, archived: Option<&Archived>) -> Option<String> {
        let run = to_report.subject.run;
        match self.try_report(to_report, archived).await {
            Ok(uri) => {
                let uri = uri.to_string();
                tracing::info!(%run, uri, "report stored");
                Some(uri)
            }
            Err(error) => {
                tracing::warn!(%run, "the error report is not stored; `parselog report` makes it: {error:#}");
                None
            }
        }
    }

    async fn try_report(&self, to_report: ToReport, archived: Option<&Archived>) -> Result<ObjectUri> {
        let ToReport { format, subject, bucket, log_key, log, raw_bytes } = to_report;
        let log_uri = match archived {
            Some(Archived::Yes { uri }) => Some(uri.clone()),
            Some(Archived::Kept { .. } | Archived::LetGo) | None => None,
        };
        let copy = LocalCopy::create(&self.system.scratch, subject.run, "report", "report")
            .context("failed to make a local copy")?;
        let (path, scratch, redactor) =
            (copy.path.clone(), self.system.scratch.clone(), self.system.redactor.clone());
        let from_archive = match &log {
            Some(_) => None,
            None => {
                let uri =
                    log_uri.as_ref().context("the beginning of the log is not in the spool")?.parse()?;
                let source = LogSource::Archive { uri, raw_bytes };
                Some(Report::of_log(source, &self.system.objects, redactor.clone(), &scratch).await?)
            }
        };
        let write = move || -> Result<[u8; 32]> {
            let mut report = match (from_archive, log) {
                (Some(report), _) => report,
                (None, log) => Report::of_file(log.context("there is no log")?, redactor, &scratch)?,
            };
            report.summary.log = log_uri;
            report.write(format, File::create(&path)?)?;
            Ok(objects::sha256_of(&path)?)
        };
        let sha256 = carry::spawn_blocking(write)
            .await
            .context("making the report panicked")?
            .context("failed to make the report")?;
        faults::point("error-report-made");
        let put = Put {
            content_type: format.content_type(),
            metadata: vec![
                ("run-id", subject.run.to_string()),
                ("data-file-id", subject.data_file.to_string()),
            ],
            sha256,
            if_none_match: true,
        };
        let key = report_key(&log_key, format.extension());
        let stored = self.system.objects.put_file(&bucket, &key, &copy.path, &put).await;
        faults::point("error-report-stored");
        Ok(stored.map_err(|error| anyhow!(error).context("failed to upload the report"))?.uri)
    }
}
