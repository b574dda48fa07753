//! `parselog problems`: which problems are frequent across runs, and where and when they were seen.

use anyhow::Result;
use chrono::NaiveDate;
use clap::{Args, ValueEnum};
use serde_json::json;

use super::database::open_database;
use super::submit::code;
use super::table::Table;
use super::value::{day, limit, year};
use super::{Common, Exit, open, show};
use crate::desk::lookup::find_reparse;
use crate::desk::problems::{Backfilled, backfill, write_files};
use crate::desk::words::{category_name, counted, grouped, place_in_record};
use crate::store::PgPool;
use crate::store::problem::{self, CountedProblems, ProblemFilter, ProblemKeys};
use crate::system::System;

/// The word for submissions, in the place of a reparse.
const NO_REPARSE: &str = "none";

/// Show which problems are the most frequent across runs, and when each was first and last seen.
///
/// Each run whose log is archived counts, however it ended, so a file that is parsed three times counts three times:
/// --reparse chooses. An erased or pruned log takes its problems with it.
#[derive(Debug, Args)]
pub(super) struct ProblemsArgs {
    /// What to count by, one or several, such as kind,state.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "kind", value_name = "WHAT")]
    by: Vec<ProblemKey>,
    /// At most so many.
    #[arg(long, short = 'n', default_value_t = 20, value_parser = limit, value_name = "N")]
    top: i64,
    /// Only of files of this program.
    #[arg(long, value_parser = code)]
    program: Option<String>,
    /// Only of files of this section.
    #[arg(long, value_parser = code)]
    section: Option<String>,
    /// Only of files of this fiscal year.
    #[arg(long, value_parser = year)]
    year: Option<i32>,
    /// Only of files of this fiscal quarter.
    #[arg(long, value_parser = clap::value_parser!(i16).range(1..=4))]
    quarter: Option<i16>,
    /// Only of files of this state or tribe.
    #[arg(long)]
    state: Option<String>,
    /// Only in this reparse (its id, or @latest); `none` for submissions alone.
    #[arg(long, value_name = "ID")]
    reparse: Option<String>,
    /// Only in runs that began on this day or later: a day of UTC, or how long ago, such as 90d.
    #[arg(long, value_parser = day, value_name = "DAY")]
    since: Option<NaiveDate>,
    /// Only in runs that began on this day or earlier.
    #[arg(long, value_parser = day, value_name = "DAY")]
    until: Option<NaiveDate>,
    /// Print one JSON object per row.
    #[arg(long)]
    json: bool,
    /// Count the problems of archived logs that are not counted yet, such as those of an earlier version, and write all
    /// Parquet files of problems anew. It can be interrupted and repeated.
    #[arg(long, conflicts_with_all = [
        "by", "top", "program", "section", "year", "quarter", "state", "reparse", "since", "until",
    ])]
    backfill: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ProblemKey {
    /// Category, record type, item and field.
    Kind,
    Program,
    Section,
    /// Fiscal year and quarter.
    Period,
    /// State, territory or tribe.
    State,
    Reparse,
}

impl ProblemsArgs {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        if self.backfill {
            return self.backfill(&open::open(common).await?).await;
        }
        let pool = open_database(common).await?;
        let rows = problem::top(&pool, self.keys(), &self.filter(&pool).await?, self.top).await?;
        if self.json {
            rows.iter().try_for_each(show::json)?;
        } else if rows.is_empty() {
            show::note("no problems match");
        } else {
            show::line(table(&rows))?;
            let all = rows.first().map_or(0, |row| row.groups.unsigned_abs());
            if all > rows.len() as u64 {
                show::note(&format!("{} of {}; all with --top {all}", rows.len(), grouped(all)));
            }
        }
        let uncounted = problem::count_uncounted(&pool).await?.unsigned_abs();
        if uncounted > 0 {
            show::note(&format!(
                "{} not counted yet: `parselog problems --backfill` does it",
                counted(uncounted, "archived log")
            ));
        }
        Ok(Exit::Ok)
    }

    async fn backfill(&self, system: &System) -> Result<Exit> {
        let bar = show::bar([(40, "{bar:20} {pos} of {len} logs"), (0, "{pos} of {len} logs")]);
        let begin = |logs| bar.set_length(logs);
        let done = backfill(system, begin, |run, failed| {
            bar.inc(1);
            if let Some(why) = failed {
                bar.suspend(|| show::note(&format!("run {run} is not counted: {why}")));
            }
        });
        let Backfilled { counted: logs, failed } = done.await?;
        bar.finish_and_clear();
        let bar = show::bar([(40, "{bar:20} {pos} of {len} files"), (0, "{pos} of {len} files")]);
        let begin = |files| bar.set_length(files);
        let left = |left| bar.set_position(bar.length().unwrap_or_default().saturating_sub(left));
        let files = write_files(system, begin, left).await?;
        bar.finish_and_clear();
        if self.json {
            show::json(&json!({"counted": logs, "failed": failed, "files": files}))?;
        } else {
            let failed = if failed == 0 { String::new() } else { format!(", {} failed", grouped(failed)) };
            let (logs, files) = (counted(logs, "log"), counted(files, "file"));
            show::line(format_args!("{logs} counted{failed}, {files} written"))?;
        }
        Ok(if failed == 0 { Exit::Ok } else { Exit::Failed })
    }

    fn keys(&self) -> ProblemKeys {
        let has = |key| self.by.contains(&key);
        ProblemKeys {
            kind: has(ProblemKey::Kind),
            program: has(ProblemKey::Program),
            section: has(ProblemKey::Section),
            period: has(ProblemKey::Period),
            state: has(ProblemKey::State),
            reparse: has(ProblemKey::Reparse),
        }
    }

    async fn filter(&self, pool: &PgPool) -> Result<ProblemFilter> {
        let reparse = match self.reparse.as_deref() {
            None => None,
            Some(NO_REPARSE) => Some(0),
            Some(id) => Some(find_reparse(pool, id).await?.id.0),
        };
        Ok(ProblemFilter {
            program: self.program.clone(),
            section: self.section.clone(),
            fiscal_year: self.year,
            fiscal_quarter: self.quarter,
            state: self.state.clone(),
            reparse,
            since: self.since,
            until: self.until,
        })
    }
}

fn table(rows: &[CountedProblems]) -> Table<11> {
    let mut table = Table::new([
        ">PROBLEMS",
        ">RUNS",
        "?FIRST SEEN",
        "?LAST SEEN",
        "PROGRAM",
        "SECTION",
        "PERIOD",
        "STATE",
        "REPARSE",
        "~KIND",
        "~WHERE",
    ])
    .without_empty();
    for row in rows {
        let or_dash = |text: &Option<String>| match text.as_deref() {
            Some("") => "-".to_owned(),
            text => text.unwrap_or_default().to_owned(),
        };
        let period = row.fiscal_year.zip(row.fiscal_quarter);
        let reparse = row.reparse_id.map(|id| if id == 0 { "-".to_owned() } else { id.to_string() });
        let kind = row.category.and_then(|category| u8::try_from(category).ok()).map(category_name);
        let names = [&row.record_type, &row.item, &row.field].map(|name| name.as_deref().unwrap_or_default());
        let place = place_in_record(names);
        let place = place.unwrap_or_else(|| if kind.is_some() { "-" } else { "" }.to_owned());
        let old = if row.deprecated == Some(true) { " (deprecated)" } else { "" };
        table.row([
            &grouped(row.problems.unsigned_abs()),
            &grouped(row.runs.unsigned_abs()),
            &row.first_seen,
            &row.last_seen,
            &row.program.as_deref().unwrap_or_default(),
            &row.section.as_deref().unwrap_or_default(),
            &period.map(|(year, quarter)| format!("{year} Q{quarter}")).unwrap_or_default(),
            &or_dash(&row.state),
            &reparse.unwrap_or_default(),
            &kind.map(|kind| kind + old).unwrap_or_default(),
            &place,
        ]);
    }
    table
}
