//! One run, from its claim to its archived log: the whole story, top to bottom.

use anyhow::{Result, bail};
use chrono::Utc;

use super::apart::ParseApart;
use super::row::ClaimedRow;
use super::{ParsesIn, RunsInFlight, Worker};
use crate::archive::Archived;
use crate::faults;
use crate::ids::RunId;
use crate::parse::{Flight, ParseJob, Parsed};
use crate::parser::RecordSink;
use crate::queue::{ClaimedRun, Ending};

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

/// Who gets the accepted records of a run.
pub enum RecordsTo {
    /// Nobody.
    Nobody,
    /// The sink that the parse process makes, as its command line says.
    ParseProcess,
    /// This sink, in a worker that parses in its own process.
    Sink(Box<dyn RecordSink>),
}

impl Worker {
    /// Takes one claimed run to its end. Never fails: an error becomes the run's ending, a line in its log, or
    /// a log that waits in the spool. It calls `parsed` when the run's slot is free again, before it archives
    /// the log: a dead object store must not block a parse.
    pub async fn run_one(
        &self,
        claimed: ClaimedRun,
        in_flight: &RunsInFlight,
        records: RecordsTo,
        parsed: impl FnOnce(),
    ) -> RunReport {
        let run = claimed.run.id;
        let (flight, guard) = in_flight.add(&claimed);
        // Until the log is archived, or all that its spool has of it was shipped.
        let _shipping = self.archiver.tail().begin(run.into());
        faults::point("claimed");
        tracing::info!(%run, data_file = %claimed.run.data_file_id, attempt = claimed.run.attempt, "started");

        let job = self.job(&claimed, !matches!(records, RecordsTo::Nobody));
        let growing = self.archiver.grow(&job.head);
        let Parsed { ending, log, .. } = self.parse(&claimed, &job, &flight, records).await;
        faults::point("ended");
        drop(guard);
        parsed();

        let to_report = self.to_report(log.as_ref(), &ending);
        let log = match log {
            Some(log) => Some(Box::pin(self.archiver.archive_grown(log, growing)).await),
            None => None,
        };
        let error_report = match to_report {
            Some(to_report) => self.report(to_report, log.as_ref()).await,
            None => None,
        };
        RunReport { run, ending, log, error_report }
    }

    /// Parses in this process or in another; then the ending is on the row, and the log is complete.
    async fn parse(
        &self,
        claimed: &ClaimedRun,
        job: &ParseJob,
        flight: &Flight,
        records: RecordsTo,
    ) -> Parsed {
        let spool = self.archiver.tail().kept().map(|kept| kept.spool);
        let row = ClaimedRow::new(self.system.pool.clone(), claimed, spool);
        match &self.parses_in {
            ParsesIn::This(tools) => tools.parse(job, flight, &row, || sink(records)).await,
            ParsesIn::Others(processes) => {
                let (system, row) = (&self.system, &row);
                ParseApart { system, processes, job, flight, row }.parse().await
            }
        }
    }

    fn job(&self, claimed: &ClaimedRun, wants_records: bool) -> ParseJob {
        let run = &claimed.run;
        let started = run.started_at.unwrap_or_else(Utc::now);
        ParseJob {
            head: run.head(claimed.lease_token, &self.claimant.worker, started),
            run: run.subject(claimed.lease_token),
            name: run.name.clone(),
            program: run.program.clone(),
            section: run.section.clone(),
            fiscal_year: run.fiscal_year,
            fiscal_quarter: run.fiscal_quarter,
            size_bytes: run.size_bytes,
            sha256: run.sha256,
            has_state: run.state.is_some(),
            earlier: claimed.earlier.clone(),
            timeout: self.claimant.timeout,
            wants_records,
        }
    }
}

/// The sink for a parse in this process.
fn sink(records: RecordsTo) -> Result<Box<dyn RecordSink>> {
    match records {
        RecordsTo::Sink(sink) => Ok(sink),
        RecordsTo::Nobody | RecordsTo::ParseProcess => bail!("nobody said where the records go"),
    }
}
