//! Waits for jobs to end: through all attempts, until one has a verdict or none is left.

use std::time::Duration;

use anyhow::Context as _;

use super::Result;
use super::status::nobody_takes;
use crate::ids::RunId;
use crate::store::{self, PgPool, Run, RunStatus};

/// How often to ask: nothing notifies of a run's end.
const ASK: Duration = Duration::from_millis(500);

/// So many times between two questions whether anybody takes a queued run.
const SELDOM: u32 = 10;

/// Waits for the end of these runs' jobs, and returns the runs that count, in this order. `told` gets the state of
/// the first that is not over, now and then.
///
/// # Errors
/// The database fails.
pub async fn wait(pool: &PgPool, runs: &[RunId], mut told: impl FnMut(&str)) -> Result<Vec<Run>> {
    let mut ended = Vec::new();
    for id in runs {
        let mut asked = 0;
        ended.push(loop {
            let run = store::run::last_attempt(pool, *id).await?;
            let run = run.with_context(|| format!("run {id} is gone from the database"))?;
            if run.status.is_final() {
                break run;
            }
            if asked % SELDOM == 0 {
                told(&state(pool, &run).await?);
            }
            asked += 1;
            tokio::time::sleep(ASK).await;
        });
    }
    Ok(ended)
}

/// What a run that is not over does, in a line.
async fn state(pool: &PgPool, run: &Run) -> Result<String> {
    let attempt = if run.attempt > 1 {
        format!(", attempt {} of {}", run.attempt, run.max_attempts)
    } else {
        String::new()
    };
    let (name, worker) = (&run.name, run.worker.as_deref().unwrap_or("a worker"));
    Ok(match run.status {
        RunStatus::Running => format!("{name}{attempt}: {worker} is parsing it"),
        _ => match nobody_takes(pool, run).await? {
            Some(why) => format!("{name}{attempt}: {why}"),
            None => format!("{name}{attempt}: it waits for its turn"),
        },
    })
}
