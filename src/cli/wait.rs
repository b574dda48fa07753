//! `parselog wait`: wait for runs, and end as they end. Also the waiting of `submit --wait`.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use clap::Args;
use tokio::signal::ctrl_c;

use super::database::open_database;
use super::value::TARGET_HELP;
use super::{Common, Exit, show, verdict};
use crate::config::duration;
use crate::desk::lookup::find_run;
use crate::desk::wait;
use crate::ids::RunId;
use crate::record::Safe;
use crate::store::PgPool;

/// Wait until runs end, through all attempts, and print what came of them; the exit code is that of `run`.
///
/// ^C ends only the wait.
#[derive(Debug, Args)]
pub(super) struct WaitArgs {
    #[arg(value_name = "RUN|FILE", help = TARGET_HELP, required = true)]
    targets: Vec<String>,
    /// Give up after so long; the runs go on.
    #[arg(long, value_parser = duration, value_name = "TIME")]
    timeout: Option<Duration>,
    /// Print one JSON object per run, with every column.
    #[arg(long)]
    json: bool,
}

impl WaitArgs {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        let pool = open_database(common).await?.patient();
        let mut runs = Vec::new();
        for target in &self.targets {
            runs.push(find_run(&pool, target).await?.id);
        }
        let waiting = wait_and_print(&pool, &runs, self.json);
        match self.timeout {
            None => waiting.await,
            Some(timeout) => tokio::time::timeout(timeout, waiting).await.unwrap_or_else(|_| {
                let timeout = humantime::format_duration(timeout);
                Err(anyhow!("not over after {timeout}: `parselog show` says how it stands"))
            }),
        }
    }
}

/// Waits for these runs and prints what came of each; the worst decides the exit code.
pub(super) async fn wait_and_print(pool: &PgPool, runs: &[RunId], json: bool) -> Result<Exit> {
    let spinner = show::spinner();
    let mut last = String::new();
    let told = |state: &str| {
        spinner.set_message(Safe(state).to_string());
        // Where no spinner shows it, each state is a line, once; how long it lasts is no other state.
        let kind: String = state.chars().filter(|c| !c.is_ascii_digit()).collect();
        if spinner.is_hidden() && kind != last {
            show::note(&Safe(state).to_string());
        }
        last = kind;
    };
    let ended = tokio::select! {
        ended = wait::wait(pool, runs, told) => ended?,
        pressed = ctrl_c() => {
            pressed.context("failed to listen for ^C")?;
            spinner.finish_and_clear();
            return Err(anyhow!("the wait ended, and the runs go on: wait again with `parselog wait`"));
        }
    };
    spinner.finish_and_clear();
    for run in &ended {
        if json {
            show::json(run)?;
        } else {
            show::line(verdict::outcome(run))?;
        }
    }
    Ok(ended.iter().fold(Exit::Ok, verdict::worse))
}
