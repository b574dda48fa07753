//! `parselog runs`: list runs, the newest first or in another order, page by page.

use anyhow::Result;
use chrono::{DateTime, Utc};
use clap::Args;

use super::database::open_database;
use super::value::{limit, year};
use super::{Common, Exit, show, verdict};
use crate::clock::{WHEN, when};
use crate::desk::RunOutcome;
use crate::desk::lookup::{find_file, find_run};
use crate::desk::words::grouped;
use crate::ids::BatchId;
use crate::store::{self, LogState, PgPool, Run, RunFilter, RunOrder, RunSort};

/// The list says of how many runs it is a page, up to so many: counting all of a million takes long.
const MOST_COUNTED: i64 = 100_000;

/// List runs, the newest first.
///
/// On a terminal a run has the last part of its id, by which every command finds it.
#[derive(Debug, Args)]
pub(super) struct RunsArgs {
    #[command(flatten)]
    which: RunsWhich,
    /// What to sort by: queued, started, finished, took, size, errors (from the latest, longest or largest on),
    /// name (from A to Z).
    #[arg(long, value_name = "BY", default_value = "queued")]
    sort: RunSort,
    /// The other way round.
    #[arg(long)]
    reverse: bool,
    /// Only runs behind this one: the next page, as the end of a list says.
    #[arg(long, value_name = "RUN")]
    after: Option<String>,
    /// Most runs to show.
    #[arg(long, short = 'n', default_value_t = 20, value_name = "N", value_parser = limit)]
    limit: i64,
    /// Print one JSON object per run, with every column.
    #[arg(long)]
    json: bool,
}

/// Which runs.
#[derive(Debug, Clone, Args)]
pub(super) struct RunsWhich {
    /// Only runs with these outcomes: queued, running, accepted, accepted-with-errors, partially-accepted,
    /// rejected, no-verdict, success (any of these five), fail, terminate, inaction, crash.
    #[arg(long, visible_aliases = ["verdict", "outcome"], value_delimiter = ',', value_name = "OUTCOME")]
    status: Vec<RunOutcome>,
    /// Only runs whose log is in these states: none, open, sealed, archived, fallback, lost, pruned.
    #[arg(long, value_delimiter = ',', value_name = "STATE")]
    log_state: Vec<LogState>,
    /// Only runs of this data file: its id, name or key.
    #[arg(long)]
    file: Option<String>,
    /// Only runs of this submission or reparse.
    #[arg(long, value_name = "ID")]
    batch: Option<i64>,
    /// Only runs of this program.
    #[arg(long)]
    program: Option<String>,
    /// Only runs of this section.
    #[arg(long)]
    section: Option<String>,
    /// Only runs of this fiscal year.
    #[arg(long, value_parser = year)]
    year: Option<i32>,
    /// Only runs of this fiscal quarter.
    #[arg(long, value_parser = clap::value_parser!(i16).range(1..=4))]
    quarter: Option<i16>,
    /// Only runs of files of this state or tribe.
    #[arg(long)]
    state: Option<String>,
    /// Only runs that this person asked for.
    #[arg(long, value_name = "WHO")]
    by: Option<String>,
    /// Only runs queued at this time or later: a time, or how long ago, such as 2h or 7d.
    #[arg(long, value_parser = when, value_name = WHEN)]
    since: Option<DateTime<Utc>>,
}

impl RunsArgs {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        let pool = open_database(common).await?;
        let after = match &self.after {
            Some(text) => Some(find_run(&pool, text).await?.id),
            None => None,
        };
        let order = RunOrder { by: self.sort, reversed: self.reverse };
        let filter = self.which.filter(&pool).await?;
        let filter = RunFilter { order, after, limit: Some(self.limit), ..filter };
        let runs = store::find(&pool, &filter).await?;
        if self.json {
            runs.iter().try_for_each(show::json)?;
        } else if runs.is_empty() {
            show::note("no runs match; `parselog run FILE` makes one");
        } else {
            show::line(verdict::table(&runs, Utc::now()))?;
            if let Some(page) = page(&pool, &filter, &runs).await? {
                show::note(&page);
            }
        }
        Ok(Exit::Ok)
    }
}

impl RunsWhich {
    /// The filter that these options make.
    ///
    /// # Errors
    /// The file is not found.
    pub(super) async fn filter(self, pool: &PgPool) -> Result<RunFilter> {
        let mut filter = RunFilter {
            data_file: match &self.file {
                Some(text) => Some(find_file(pool, text).await?.id),
                None => None,
            },
            log_state: self.log_state,
            batch: self.batch.map(BatchId),
            program: self.program,
            section: self.section,
            fiscal_year: self.year,
            fiscal_quarter: self.quarter,
            state: self.state,
            requested_by: self.by,
            since: self.since,
            ..RunFilter::default()
        };
        RunOutcome::select(&self.status, &mut filter);
        Ok(filter)
    }
}

/// `20 of 1,116; next: --after b0a2289e`, if this is not the last page.
async fn page(pool: &PgPool, filter: &RunFilter, runs: &[Run]) -> Result<Option<String>> {
    let full = filter.limit.is_some_and(|limit| runs.len() as i64 >= limit);
    let Some(last) = runs.last().filter(|_| full) else { return Ok(None) };
    let ahead = RunFilter { after: Some(last.id), limit: Some(1), ..filter.clone() };
    if store::find(pool, &ahead).await?.is_empty() {
        return Ok(None);
    }
    let counted = store::count(pool, filter, MOST_COUNTED).await?;
    let more = if counted == MOST_COUNTED { "over " } else { "" };
    let id = last.id.to_string();
    let tail = &id[id.len() - 8..];
    Ok(Some(format!(
        "{} of {more}{}; next: --after {tail}",
        grouped(runs.len() as u64),
        grouped(counted.unsigned_abs())
    )))
}
