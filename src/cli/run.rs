//! `parselog run`: submit, parse and archive files at once.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::Value;

use super::records::{Records, is_stdout};
use super::submit::SubmissionArgs;
use super::{CliError, Common, Exit, open, show, verdict};
use crate::carry;
use crate::config::{ParserRule, WorkerConfig};
use crate::desk::submit::{self, Candidate, Intake};
use crate::ids::RunId;
use crate::parser::{CancelReason, SummaryStatus};
use crate::queue;
use crate::record::Safe;
use crate::store::{self, Run as Row, RunStatus};
use crate::worker::{RecordsTo, RunsInFlight, Worker};

/// How often to move the bar.
const TICK: Duration = Duration::from_millis(100);

/// How often to ask for a run that another worker took: nothing notifies of a run's end.
const ASK: Duration = Duration::from_secs(1);

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
        let worker = open::worker(intake.system().clone(), common, rules, config())?;
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
            let (row, report) = parse(&worker, &in_flight, queued.run_id, self.records.is_some()).await?;
            let result = self.result(&row, report)?;
            if self.records.as_deref().is_some_and(is_stdout) {
                show::look_for_reader()?;
                show::note(&result);
            } else {
                show::line(result)?;
            }
            exit = worse(exit, &row);
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

/// Takes the run to its end, here, or wherever another worker of the same database took it first.
/// Returns its row, and where its error report is.
async fn parse(
    worker: &Worker,
    in_flight: &RunsInFlight,
    run: RunId,
    wants_records: bool,
) -> Result<(Row, Option<String>)> {
    let Some(claimed) = queue::claim_run(&worker.system().pool, worker.claimant(), run).await? else {
        return Ok((wait_for_another(worker, run).await?, None));
    };
    let bar = progress_bar(in_flight.clone(), run);
    let records = if wants_records { RecordsTo::ParseProcess } else { RecordsTo::Nobody };
    let done = worker.run_one(claimed, in_flight, records, || {}).await;
    bar.abort();
    Ok((read(worker, run).await?, done.error_report))
}

async fn wait_for_another(worker: &Worker, run: RunId) -> Result<Row> {
    loop {
        let row = read(worker, run).await?;
        if row.status.is_final() {
            return Ok(row);
        }
        tokio::time::sleep(ASK).await;
    }
}

async fn read(worker: &Worker, run: RunId) -> Result<Row> {
    let row = store::run::get(&worker.system().pool, run).await?;
    row.with_context(|| format!("run {run} is gone from the database"))
}

fn progress_bar(in_flight: RunsInFlight, run: RunId) -> tokio::task::JoinHandle<()> {
    carry::spawn(async move {
        let bar = show::bar("{bar:30} {binary_bytes}/{binary_total_bytes}  {binary_bytes_per_sec}  {msg}");
        let mut ticks = tokio::time::interval(TICK);
        loop {
            ticks.tick().await;
            let Some(progress) = in_flight.progress(run) else { continue };
            bar.set_length(progress.total_bytes.load(Ordering::Relaxed));
            bar.set_position(progress.bytes.load(Ordering::Relaxed));
            let (records, problems) =
                (progress.records.load(Ordering::Relaxed), progress.problems.load(Ordering::Relaxed));
            bar.set_message(format!("{records} records, {problems} problems"));
        }
    })
}

fn worse(exit: Exit, row: &Row) -> Exit {
    match (row.status, row.summary_status) {
        (RunStatus::Success, Some(SummaryStatus::Rejected)) if exit == Exit::Ok => Exit::Rejected,
        (RunStatus::Success, Some(SummaryStatus::NoVerdict)) if exit == Exit::Ok => Exit::NoVerdict,
        (RunStatus::Success, _) => exit,
        _ => Exit::Failed,
    }
}
