//! `parselog status`: how the whole system stands, for an operator.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;
use bytesize::ByteSize;
use chrono::{TimeDelta, Utc};
use clap::Args;

use super::table::Table;
use super::{Common, Exit, open, show};
use crate::config::duration;
use crate::desk::status::{SystemStatus, status};
use crate::desk::words::{Took, counted, grouped};
use crate::record::Safe;
use crate::store::LogState;

/// Show how the system stands: the queue and its age, the live workers and what they run, stuck runs, what failed in
/// the last hour, and logs that are not archived.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// A run is stuck so long after its deadline.
    #[arg(long, default_value = "10m", value_parser = duration, value_name = "TIME")]
    grace: Duration,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl StatusArgs {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        let system = open::open(common).await?;
        let status = status(&system, self.grace).await?;
        if self.json {
            show::json(&status)?;
        } else {
            let spool = system.spool.dir().display().to_string();
            let parts = [
                queue(&status),
                workers(&status),
                running(&status),
                stuck(&status),
                last_hour(&status),
                logs(&status, &spool),
            ];
            show::line(parts.join("\n"))?;
        }
        Ok(Exit::Ok)
    }
}

fn queue(status: &SystemStatus) -> String {
    let (mut due, mut later, mut oldest) = (0, 0, None);
    for kind in &status.queue {
        due += kind.backlog.due.unsigned_abs();
        later += (kind.backlog.queued - kind.backlog.due).unsigned_abs();
        oldest = [oldest, kind.backlog.oldest_due_at].into_iter().flatten().min();
    }
    let mut text = format!("queue      {} due", counted(due, "run"));
    if let Some(oldest) = oldest {
        let _ = write!(text, ", the oldest for {}", Took(Utc::now() - oldest));
    }
    if later > 0 {
        let _ = write!(text, "; {} later", grouped(later));
    }
    for kind in status.queue.iter().filter(|kind| !kind.is_taken && !status.workers.is_empty()) {
        let queued = counted(kind.backlog.queued.unsigned_abs(), "run");
        let (program, section) = (Safe(&kind.backlog.program), Safe(&kind.backlog.section));
        let _ = write!(text, "\n  no live worker has a parser for {program}/{section}: {queued}");
    }
    text
}

fn workers(status: &SystemStatus) -> String {
    if status.workers.is_empty() {
        return match status.last_looked_seconds {
            Some(ago) => {
                format!("workers    none: the last one looked {} ago", Took(TimeDelta::seconds(ago)))
            }
            None => "workers    none: no worker has looked within a day; start one with `parselog worker`"
                .to_owned(),
        };
    }
    let (slots, busy) = status
        .workers
        .iter()
        .fold((0, 0), |(slots, busy), worker| (slots + worker.slots, busy + worker.busy));
    let mut table = Table::new(["~WORKER", ">SLOTS", ">BUSY", ">UP", ">?SEEN AGO", "~?TAKES"]).within([0; 6]);
    let now = Utc::now();
    for worker in &status.workers {
        table.row([
            &worker.name,
            &worker.slots,
            &worker.busy,
            &Took(now - worker.started_at),
            &Took(now - worker.seen_at),
            &worker.takes.join(" "),
        ]);
    }
    format!("workers    {} live, {busy} of {slots} slots busy\n{table}", status.workers.len())
}

fn running(status: &SystemStatus) -> String {
    let text = format!("running    {}", counted(status.running.len() as u64, "run"));
    if status.running.is_empty() {
        return text;
    }
    let mut table = Table::new(["#RUN", "~WORKER", ">FOR", ">?HEARTBEAT AGO", "~NAME"]).within([0; 5]);
    let now = Utc::now();
    for run in &status.running {
        table.row([
            &run.id,
            &run.worker,
            &Took(now - run.started_at),
            &Took(now - run.heartbeat_at),
            &run.name,
        ]);
    }
    format!("{text}\n{table}")
}

fn stuck(status: &SystemStatus) -> String {
    let text = format!("stuck      {}", counted(status.stuck.len() as u64, "run"));
    if status.stuck.is_empty() {
        return text;
    }
    let mut table = Table::new(["#RUN", "~WORKER", "~WHY"]).within([0; 3]);
    for run in &status.stuck {
        let why = if run.lease_is_over {
            "its lease is over, and nobody ended it"
        } else {
            "it is past its deadline"
        };
        table.row([&run.id, &run.worker, &why]);
    }
    format!("{text}: see `parselog doctor`\n{table}")
}

fn last_hour(status: &SystemStatus) -> String {
    let ended: Vec<String> = status
        .ended
        .iter()
        .map(|ended| format!("{} {}", grouped(ended.runs.unsigned_abs()), Safe(&ended.outcome)))
        .collect();
    let ended = if ended.is_empty() { "nothing ended".to_owned() } else { ended.join(", ") };
    let text = format!("last hour  {ended}");
    if status.failing.is_empty() {
        return text;
    }
    let mut table = Table::new([">RUNS", "OUTCOME", "#LATEST", "~REASON"]).within([0; 4]);
    for failing in &status.failing {
        table.row([&failing.runs, &failing.status, &failing.latest, &failing.failure]);
    }
    format!("{text}\n{table}")
}

fn logs(status: &SystemStatus, spool: &str) -> String {
    let count = |state| {
        let of = status.kept_back.iter().find(|kept| kept.state == state);
        of.map_or(0, |kept| kept.logs.unsigned_abs())
    };
    let (fallback, lost) = (count(LogState::Fallback), count(LogState::Lost));
    let mut text = format!("fallback   {} for the object store", counted_waiting(fallback));
    if lost > 0 {
        let _ = write!(text, "; {} lost: see `parselog runs --log-state lost`", counted(lost, "log"));
    }
    let size = ByteSize(status.spool.bytes);
    let _ =
        write!(text, "\nspool      {}, {size}, in {}", counted(status.spool.logs as u64, "log"), Safe(spool));
    text
}

fn counted_waiting(logs: u64) -> String {
    format!("{} {}", counted(logs, "log"), if logs == 1 { "waits" } else { "wait" })
}
