//! What people ask of the database.

use anyhow::{Context, Result};
use chrono::{TimeDelta, Utc};
use parselog::ids::{BatchId, DataFileId};
use parselog::parser::SummaryStatus;
use parselog::queue::Takes;
use parselog::store::action::{self, ActionFilter};
use parselog::store::entry::{self, EntryFilter};
use parselog::store::notice::{self, NoticeFilter};
use parselog::store::reparse::{self, FileSelection};
use parselog::store::{
    self, LogState, PgPool, RunFilter, RunOrder, RunSort, RunStatus, data_file, health, load, retention,
};
use parselog::{desk, store::stream};

use super::figures::{Figures, Times};

const TIMES: usize = 15;
/// Rows on a page, and runs of a table that pages know the number of.
const PAGE: i64 = 50;
const MOST_COUNTED: i64 = 10_000;

/// Measures both databases in turns.
pub(super) async fn measure(figures: &mut Figures, empty: &PgPool, full: &PgPool) -> Result<()> {
    let filters: Vec<(String, RunFilter)> = filters(full).await?;
    for (name, filter) in filters.iter().filter(|(name, _)| figures.wants(name)) {
        both(figures, name, empty, full, async |pool| store::find(pool, filter).await.map(drop)).await?;
        let name = format!("{name}, counted");
        both(figures, &name, empty, full, async |pool| {
            store::count(pool, filter, MOST_COUNTED).await.map(drop)
        })
        .await?;
    }
    for what in LOOKS.iter().filter(|what| figures.wants(what)) {
        both(figures, what, empty, full, async |pool| look(what, pool).await).await?;
    }
    Ok(())
}

async fn both(
    figures: &Figures,
    name: &str,
    empty: &PgPool,
    full: &PgPool,
    work: impl AsyncFn(&PgPool) -> Result<()>,
) -> Result<()> {
    let mut times = [Times::default(), Times::default()];
    for _ in 0..TIMES {
        for (pool, times) in [empty, full].into_iter().zip(&mut times) {
            times.take(work(pool)).await?;
        }
    }
    let [empty, full] = times;
    figures.tell(name, empty, full);
    Ok(())
}

/// Each filter of `runs`, with what many runs have, with what few have, and with what none has.
async fn filters(full: &PgPool) -> Result<Vec<(String, RunFilter)>> {
    let some = |text: &str| Some(text.to_owned());
    let of = |filter: RunFilter| RunFilter { limit: Some(PAGE), ..filter };
    let last = store::latest(full, &RunFilter::default()).await?.context("no runs")?;
    let middle: parselog::RunId = sqlx::query_scalar(
        "select id from parse_file_meta where data_file_id >= (select max(id) / 2 from data_file)
         order by data_file_id, id limit 1",
    )
    .fetch_one(full)
    .await?;
    let ago = |days: i64| Some(Utc::now() - TimeDelta::days(days));
    let none = RunFilter::default;
    let mut filters = vec![
        ("runs".to_owned(), none()),
        ("runs after one in the middle".to_owned(), RunFilter { after: Some(middle), ..none() }),
        ("runs status success".to_owned(), RunFilter { status: vec![RunStatus::Success], ..none() }),
        ("runs status crash".to_owned(), RunFilter { status: vec![RunStatus::Crash], ..none() }),
        ("runs status running".to_owned(), RunFilter { status: vec![RunStatus::Running], ..none() }),
        ("runs verdict rejected".to_owned(), RunFilter { verdict: vec![SummaryStatus::Rejected], ..none() }),
        ("runs verdict none has".to_owned(), RunFilter { verdict: vec![SummaryStatus::NoVerdict], ..none() }),
        ("runs log archived".to_owned(), RunFilter { log_state: vec![LogState::Archived], ..none() }),
        ("runs log pruned".to_owned(), RunFilter { log_state: vec![LogState::Pruned], ..none() }),
        ("runs log lost".to_owned(), RunFilter { log_state: vec![LogState::Lost], ..none() }),
        ("runs of a file".to_owned(), RunFilter { data_file: Some(last.data_file_id), ..none() }),
        ("history".to_owned(), RunFilter { same_file_as: Some(last.data_file_id), ..none() }),
        ("runs of a submission".to_owned(), RunFilter { batch: Some(last.batch_id), ..none() }),
        ("runs of a reparse".to_owned(), RunFilter { batch: Some(BatchId(1)), ..none() }),
        ("runs program tanf".to_owned(), RunFilter { program: some("tanf"), ..none() }),
        ("runs program fra".to_owned(), RunFilter { program: some("fra"), ..none() }),
        ("runs program nobody has".to_owned(), RunFilter { program: some("nope"), ..none() }),
        ("runs section stratum".to_owned(), RunFilter { section: some("stratum"), ..none() }),
        ("runs section nobody has".to_owned(), RunFilter { section: some("nope"), ..none() }),
        ("runs state 07".to_owned(), RunFilter { state: some("07"), ..none() }),
        ("runs state nobody has".to_owned(), RunFilter { state: some("99"), ..none() }),
        ("runs year, the first".to_owned(), RunFilter { fiscal_year: Some(2022), ..none() }),
        ("runs year nobody has".to_owned(), RunFilter { fiscal_year: Some(2001), ..none() }),
        ("runs quarter 1".to_owned(), RunFilter { fiscal_quarter: Some(1), ..none() }),
        (
            "runs of a kind and an old quarter".to_owned(),
            RunFilter {
                program: some("fra"),
                section: some("active"),
                fiscal_year: Some(2022),
                fiscal_quarter: Some(1),
                ..none()
            },
        ),
        ("runs named".to_owned(), RunFilter { name: some("report-77"), ..none() }),
        ("runs named as nobody".to_owned(), RunFilter { name: some("xyzzy"), ..none() }),
        ("runs by user77".to_owned(), RunFilter { requested_by: some("user77"), ..none() }),
        ("runs by nobody".to_owned(), RunFilter { requested_by: some("nobody"), ..none() }),
        ("runs since a day".to_owned(), RunFilter { since: ago(1), ..none() }),
        ("runs ended since a day".to_owned(), RunFilter { ended_since: ago(1), ..none() }),
        (
            "runs crashed of a state".to_owned(),
            RunFilter { status: vec![RunStatus::Crash], state: some("07"), ..none() },
        ),
    ];
    for by in
        [RunSort::Started, RunSort::Finished, RunSort::Took, RunSort::Size, RunSort::Errors, RunSort::Name]
    {
        for reversed in [false, true] {
            let name = format!("runs by {by:?}{}", if reversed { ", reversed" } else { "" });
            filters.push((name, RunFilter { order: RunOrder { by, reversed }, ..none() }));
        }
    }
    Ok(filters.into_iter().map(|(name, filter)| (name, of(filter))).collect())
}

const LOOKS: [&str; 19] = [
    "status: backlog",
    "status: running",
    "status: ended",
    "status: failing",
    "status: drain",
    "find a file by its name",
    "find a file by its id",
    "find a run by the end of its id",
    "reparse: the files of a period",
    "reparse: what crashed of a program",
    "reparses",
    "actions",
    "actions of a task",
    "actions: counts",
    "audit",
    "notices unsent",
    "streams",
    "doctor: a page of archived logs",
    "prune: a page of old logs",
];

async fn look(what: &str, pool: &PgPool) -> Result<()> {
    let day = std::time::Duration::from_secs(24 * 3600);
    match what {
        "status: backlog" => drop(load::backlog(pool).await?),
        "status: running" => drop(load::running(pool).await?),
        "status: ended" => drop(load::ended(pool, desk::status::LATELY).await?),
        "status: failing" => drop(load::failing(pool, desk::status::LATELY, 5).await?),
        "status: drain" => drop((parselog::queue::unfinished(pool).await?, Takes::any())),
        "find a file by its name" => drop(data_file::matching(pool, "report-77.txt", 2).await?),
        "find a file by its id" => drop(data_file::get(pool, DataFileId(77)).await?),
        "find a run by the end of its id" => drop(store::matching(pool, "a1b2c3d4", 5).await?),
        "reparse: the files of a period" => {
            let selection = FileSelection {
                program: Some("fra".to_owned()),
                section: Some("active".to_owned()),
                fiscal_year: Some(2024),
                fiscal_quarter: Some(1),
                ..FileSelection::default()
            };
            drop(reparse::preview(pool, &selection).await?);
        }
        "reparse: what crashed of a program" => {
            let (program, status) = (Some("fra".to_owned()), vec!["crash".to_owned()]);
            drop(
                reparse::preview(pool, &FileSelection { program, status, ..FileSelection::default() })
                    .await?,
            );
        }
        "reparses" => drop(reparse::list(pool, 20).await?),
        "actions" => {
            drop(action::list(pool, &ActionFilter { limit: Some(PAGE), ..ActionFilter::default() }).await?);
        }
        "actions of a task" => {
            let filter = ActionFilter {
                task: Some("beat.task_7".to_owned()),
                limit: Some(PAGE),
                ..ActionFilter::default()
            };
            drop(action::list(pool, &filter).await?);
        }
        "actions: counts" => drop(action::counts(pool, &ActionFilter::default()).await?),
        "audit" => drop(entry::list(pool, &EntryFilter::default(), PAGE).await?),
        "notices unsent" => {
            let filter = NoticeFilter { unsent: true, limit: Some(PAGE), ..NoticeFilter::default() };
            drop(notice::list(pool, &filter).await?);
        }
        "streams" => drop(stream::list(pool).await?),
        "doctor: a page of archived logs" => {
            let filter =
                RunFilter { log_state: vec![LogState::Archived], limit: Some(500), ..RunFilter::default() };
            drop(store::find(pool, &filter).await?);
            drop((health::stuck(pool, day, day).await?, health::overdue(pool).await?));
        }
        _ => drop(retention::archived_before(pool, Utc::now() - TimeDelta::days(365), None, 1000).await?),
    }
    Ok(())
}
