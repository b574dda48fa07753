//! `parselog verify`: read archived logs again and compare them with their rows.

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::value::TARGET_HELP;
use super::{Common, Exit, open, show};
use crate::desk::lookup::find_run;
use crate::doctor::verify;
use crate::record::Safe;
use crate::store::{self, LogState, Run, RunFilter};
use crate::system::System;

/// Rows to read at once.
const PAGE: i64 = 100;

/// Read archived logs again and compare sizes, checksums, lines, events and accounting with the rows.
///
/// Names any object that is damaged, cut or exchanged; the exit code is then 1.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    #[arg(value_name = "RUN|FILE", help = TARGET_HELP, required_unless_present = "all")]
    target: Option<String>,
    /// Every archived log, the newest first.
    #[arg(long, conflicts_with = "target")]
    all: bool,
    /// Print one JSON object per log.
    #[arg(long)]
    json: bool,
}

impl VerifyArgs {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        let system = open::open(common).await?;
        let (mut good, mut bad) = (0, 0);
        let mut page = match &self.target {
            Some(target) => vec![find_run(&system.pool, target).await?],
            None => archived(&system, None).await?,
        };
        while let Some(last) = page.last().map(|run| run.id) {
            for run in &page {
                let problems = verify(&system.objects, run).await?;
                *(if problems.is_empty() { &mut good } else { &mut bad }) += 1;
                self.show(run, &problems)?;
            }
            page = if self.all { archived(&system, Some(last)).await? } else { Vec::new() };
        }
        if !self.json {
            show::line(format_args!("{good} of {} logs match their rows", good + bad))?;
        }
        Ok(if bad == 0 { Exit::Ok } else { Exit::Failed })
    }

    fn show(&self, run: &Run, problems: &[String]) -> Result<()> {
        if self.json {
            return show::json(&json!({
                "run": run.id, "uri": run.logs_uri, "ok": problems.is_empty(), "problems": problems,
            }));
        }
        for problem in problems {
            show::line(format_args!("run {}  {}", run.id, Safe(problem)))?;
        }
        Ok(())
    }
}

async fn archived(system: &System, before: Option<crate::ids::RunId>) -> Result<Vec<Run>> {
    let filter =
        RunFilter { log_state: vec![LogState::Archived], before, limit: Some(PAGE), ..RunFilter::default() };
    store::find(&system.pool, &filter).await
}
