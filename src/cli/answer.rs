//! `parselog show`: what happened to a file, why, and what to do next.

use std::fmt::Write as _;

use anyhow::Result;
use chrono::Utc;
use clap::Args;
use serde_json::json;

use super::table::Table;
use super::value::TARGET_HELP;
use super::verdict::outcome;
use super::{Common, Exit, open, show};
use crate::clock;
use crate::desk::answer::{Answer, answer};
use crate::desk::lookup::find_run;
use crate::desk::words::{category_name, counted, place_in_record, took};
use crate::record::Safe;
use crate::report::ProblemGroup;

/// Show what happened to a file: the verdict and why, the most frequent problems, every attempt, and what to do
/// next.
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    #[arg(value_name = "RUN|FILE", help = TARGET_HELP)]
    target: String,
    /// Name at most so many kinds of problem.
    #[arg(long, short = 'n', default_value_t = NAMED, value_name = "N")]
    limit: usize,
    /// Print one JSON object: the run with every column, why, attempts, kinds of problem, and what to do next.
    #[arg(long)]
    json: bool,
}

/// Kinds of problem to name.
const NAMED: usize = 10;

impl ShowArgs {
    /// What the command shows of this run by default.
    pub(super) fn of(target: String) -> Self {
        Self { target, limit: NAMED, json: false }
    }

    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        let system = open::open(common).await?;
        let run = find_run(&system.pool, &self.target).await?;
        open::scratch(&system)?;
        let answer = answer(&system, run).await?;
        if self.json {
            show::json(&self.json(&answer))?;
        } else {
            show::line(self.text(&answer))?;
        }
        Ok(Exit::Ok)
    }

    fn json(&self, answer: &Answer) -> serde_json::Value {
        let attempts: Vec<_> = answer
            .attempts
            .iter()
            .map(|run| json!({ "id": run.id, "attempt": run.attempt, "status": run.status, "failure": run.failure }))
            .collect();
        let next: Vec<_> = answer
            .next()
            .into_iter()
            .map(|(command, does)| json!({ "command": command, "does": does }))
            .collect();
        json!({
            "why": answer.why(),
            "run": answer.run,
            "attempts": attempts,
            "groups": answer.groups.as_ref().ok().map(|groups| &groups[..groups.len().min(self.limit)]),
            "report_uri": answer.report,
            "unread": answer.unread().map(ToString::to_string),
            "next": next,
        })
    }

    fn text(&self, answer: &Answer) -> String {
        let run = &answer.run;
        let mut text = outcome(run);
        // Writing to a string does not fail.
        if let Some(report) = &answer.report {
            let _ = write!(text, "\n  report       {}", Safe(report));
        }
        let _ = write!(text, "\n  why          {}", Safe(answer.why()));
        let _ =
            write!(text, "\n  submitted    {} by {}", clock::moment(run.queued_at), Safe(&run.requested_by));
        if run.finished_at.is_some() {
            let _ = write!(text, "\n  took         {}", took(run, Utc::now()));
        }
        if answer.attempts.len() > 1 {
            let _ = write!(text, "\n\n{}", attempts(answer));
        }
        match &answer.groups {
            Ok(groups) if groups.is_empty() => {}
            Ok(groups) => {
                let _ = write!(text, "\n\n{}", problems(&groups[..groups.len().min(self.limit)]));
                if let Some(more) = groups.len().checked_sub(self.limit).filter(|more| *more > 0) {
                    let _ = write!(
                        text,
                        "\n  and {} more: --limit {}",
                        counted(more as u64, "kind"),
                        groups.len()
                    );
                }
            }
            Err(_) if run.started_at.is_none() => {}
            Err(error) => {
                let _ = write!(text, "\n\n  problems are not named: {}", Safe(error.to_string()));
            }
        }
        let next = next(answer);
        if !next.is_empty() {
            let _ = write!(text, "\n\n{next}");
        }
        text
    }
}

fn attempts(answer: &Answer) -> Table<4> {
    let mut table = Table::new([">TRY", "OUTCOME", "#RUN", "~REASON"]).within([0; 4]);
    for run in &answer.attempts {
        let reason = run.failure.as_deref().unwrap_or("-");
        table.row([&run.attempt, &run.verdict(), &run.id, &reason]);
    }
    table
}

fn problems(groups: &[ProblemGroup]) -> Table<5> {
    let mut table = Table::new([">COUNT", "~KIND", "~WHERE", "~?LINES", "~PROBLEM"]).within([0; 5]);
    for group in groups {
        let place = place_in_record([&group.record_type, &group.item, &group.field]);
        let place = place.unwrap_or_else(|| "file".to_owned());
        let records = if group.examples.is_empty() { "-".to_owned() } else { group.examples() };
        table.row([&group.count, &category_name(group.category), &place, &records, &group.message()]);
    }
    table
}

fn next(answer: &Answer) -> Table<2> {
    let mut table = Table::new(["NEXT", ""]).within([0; 2]);
    for (command, does) in answer.next() {
        table.row([&command, &does]);
    }
    table
}
