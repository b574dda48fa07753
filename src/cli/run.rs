//! `parselog run`: submit, parse and archive files at once.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::Value;

use super::records::{Records, is_stdout};
use super::submit::SubmissionArgs;
use super::{CliError, Common, Exit, live, open, show, verdict};
use crate::carry;
use crate::config::{ParserRule, RemoteTailConfig, WorkerConfig};
use crate::desk::submit::{self, Candidate, Intake};
use crate::desk::wait;
use crate::ids::RunId;
use crate::parser::CancelReason;
use crate::queue;
use crate::record::Safe;
use crate::store::{self, Run as Row};
use crate::worker::{RecordsTo, RunsInFlight, Worker};

/// Submit, parse and archive files at once.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// Local files, or objects as `s3://bucket/key`
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    #[command(flatten)]
    what: SubmissionArgs,
    /// Parse with this command instead of the built-in parser, for instance 'python3 my.py {file}'.
    #[arg(long, value_parser = ParserRule::of_all, value_name = "COMMAND")]
    pub(super) parser: Option<ParserRule>,
    /// Write the accepted records here, one JSON object per line; with '-' they go to stdout, and the
    /// result to stderr.
    #[arg(long, value_name = "OUT")]
    pub(super) records: Option<PathBuf>,
    /// Show the lines of each run's log as they come, on stderr.
    #[arg(long)]
    logs: bool,
    #[command(flatten)]
    remote_tail: RemoteTailConfig,
    /// Print one JSON object per run instead of text.
    #[arg(long)]
    json: bool,
}

/// The files are parsed one after another.
pub(super) fn config() -> WorkerConfig {
    WorkerConfig { slots: 1, ..WorkerConfig::default() }
}

impl RunArgs {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        if self.records.is_some() && self.files.len() > 1 {
            return Err(CliError::usage("--records takes the records of one file; run the files one by one"));
        }
        // A person waits and sees a failure at once, so nothing is tried again.
        let (what, request) = self.what.clone().split(submit::PRIORITY, 1);
        let candidates = Candidate::all(&self.files, &what).await?;
        let rules = self.parser.as_slice();
        let intake = Intake::new(open::open(common).await?, show::note);
        let kept = open::remote_tail(intake.system(), common, self.remote_tail).await?;
        let worker = open::worker(intake.system().clone(), common, rules, config())?.with_remote_tail(kept);
        worker.begin_notices().await;
        let in_flight = RunsInFlight::default();
        let (mut helpers, of_supervisor) = (worker.helpers(&in_flight), in_flight.clone());
        let supervisor = carry::spawn(async move {
            let died = helpers.died().await;
            of_supervisor.cancel_all(CancelReason::Shutdown);
            died
        });
        let stopping = in_flight.clone();
        let stopper = carry::spawn(async move {
            // Without a handler ^C would leave the run to the sweep; with it the run ends at once.
            if tokio::signal::ctrl_c().await.is_ok() {
                stopping.cancel_all(CancelReason::Requested);
            }
        });

        let mut exit = Exit::Ok;
        for candidate in candidates {
            let file = candidate.store(&intake, &what).await?;
            if self.records.is_some() && !worker.parsers().of(&file.program, &file.section).gives_records() {
                return Err(CliError::usage(format!(
                    "--records needs the built-in parser: a command parses {}, and gives no records",
                    file.name
                )));
            }
            if let Some(path) = &self.records {
                Records::check(path)?;
            }
            let queued = submit::queue_one(&worker.system().pool, file, &request).await?;
            let (row, report) = self.parse(&worker, &in_flight, queued.run_id).await?;
            let result = self.result(&row, report)?;
            if self.records.as_deref().is_some_and(is_stdout) {
                show::look_for_reader()?;
                show::note(&result);
            } else {
                show::line(result)?;
            }
            exit = verdict::worse(exit, &row);
        }
        let _no_more_mails = worker.notify_at_last().await;
        stopper.abort();
        if supervisor.is_finished() {
            return Err(supervisor.await?.into());
        }
        supervisor.abort();
        if !self.json && exit != Exit::Failed {
            show::note("read the log with: parselog logs @latest");
        }
        Ok(exit)
    }
}

impl RunArgs {
    /// Takes the run to its end, here, or wherever another worker of the same database took it first.
    /// Returns its row, and where its error report is.
    async fn parse(
        &self,
        worker: &Worker,
        in_flight: &RunsInFlight,
        run: RunId,
    ) -> Result<(Row, Option<String>)> {
        let Some(claimed) = queue::claim_run(&worker.system().pool, worker.claimant(), run).await? else {
            let mut ended = wait::wait(&worker.system().pool, &[run], show::note).await?;
            return Ok((ended.pop().context("nothing was waited for")?, None));
        };
        let system = worker.system().clone();
        let shown = if self.logs {
            carry::spawn(live::print(system, run))
        } else {
            live::progress_bar(system, in_flight.clone(), run)
        };
        let records = if self.records.is_some() { RecordsTo::ParseProcess } else { RecordsTo::Nobody };
        let done = worker.run_one(claimed, in_flight, records, || {}).await;
        if self.logs && done.log.is_some() {
            // The log is complete, so its last lines come at once.
            shown.await?;
        } else {
            shown.abort();
            // The result comes behind a bar that is gone. That the task was stopped is no error.
            let _ = shown.await;
        }
        Ok((read(worker, run).await?, done.error_report))
    }

    /// The outcome of a run, as text or as JSON, with the location of its error report.
    fn result(&self, row: &Row, report: Option<String>) -> Result<String> {
        if !self.json {
            let report = report.map(|uri| format!("\n  report       {}", Safe(uri))).unwrap_or_default();
            return Ok(verdict::outcome(row) + &report);
        }
        let mut row = serde_json::to_value(row)?;
        if let (Some(uri), Some(fields)) = (report, row.as_object_mut()) {
            fields.insert("report_uri".to_owned(), Value::from(uri));
        }
        Ok(String::from_utf8(show::json_text(&row)?)?)
    }
}

async fn read(worker: &Worker, run: RunId) -> Result<Row> {
    let row = store::run::get(&worker.system().pool, run).await?;
    row.with_context(|| format!("run {run} is gone from the database"))
}
