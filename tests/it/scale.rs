//! What a worker asks of the database costs the same however much there is: counted in rows that the server reads,
//! never in time.

use std::time::Duration;

use parselog::ids::BatchId;
use parselog::parser::SummaryStatus;
use parselog::queue::{self, Claimant, Ending, Takes};
use parselog::store::notice::Look;
use parselog::store::outbox::{self, Channel, Waits};
use parselog::store::{
    self, Limits, LogState, NewFile, PgPool, RunFilter, RunStatus, batch, health, load, log, takeover, tally,
};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::support::{TestDb, claimant, new_file, outcome, request_by};

const HOUR: Duration = Duration::from_secs(3600);

/// The rows that `make scale` fills a database with.
const FILL: &str = include_str!("../../benches/scale/fill.sql");

/// A database and its only connection, whose statistics it reads.
struct Filled {
    db: TestDb,
    pool: PgPool,
}

impl Filled {
    async fn with(runs: u32) -> Self {
        let db = TestDb::new().await;
        let limits = Limits { connections: 1, ..Limits::default() };
        let pool = store::connect_within(&db.url(), "parselog-test", limits).await.unwrap();
        let filled = Self { db, pool };
        if runs > 0 {
            let mut connection = filled.pool.acquire().await.unwrap();
            let sql = format!("set scale.runs = {runs}; {FILL}; reset all");
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
        }
        filled.analyze().await;
        while filled.advance().await {}
        filled
    }

    async fn analyze(&self) {
        sqlx::raw_sql("vacuum analyze").execute(&mut self.pool.acquire().await.unwrap()).await.unwrap();
    }

    /// Counts ended runs; returns whether there are more.
    async fn advance(&self) -> bool {
        let through = "select through < now() - interval '11 minutes' from run_tally";
        tally::advance(&self.pool, 5000).await.unwrap();
        sqlx::query_scalar(through).fetch_one(&self.pool).await.unwrap()
    }

    /// Queues runs of files of this program, all in one submission.
    async fn queue(&self, runs: usize, program: &str) {
        let file = |n| NewFile {
            program: program.to_owned(),
            ..new_file(&format!("{program}/{n}-{}", Uuid::new_v4()))
        };
        let files: Vec<NewFile> = (0..runs).map(file).collect();
        store::submit(&self.pool, &files, &request_by("ann")).await.unwrap();
    }

    /// How many rows and entries of indexes the server has read by now.
    async fn rows(&self) -> i64 {
        let flushed = sqlx::query("select pg_stat_force_next_flush()").execute(&self.pool).await;
        flushed.unwrap();
        sqlx::query_scalar(
            "select ((select sum(seq_tup_read) from pg_stat_user_tables)
                     + (select sum(idx_tup_read) from pg_stat_user_indexes))::bigint",
        )
        .fetch_one(&self.pool)
        .await
        .unwrap()
    }

    /// How many it reads for this.
    async fn cost<T>(&self, work: impl Future<Output = anyhow::Result<T>>) -> (i64, T) {
        let before = self.rows().await;
        let done = work.await.unwrap();
        (self.rows().await - before, done)
    }

    /// Removes the rows, whose archives nobody ever stored.
    async fn clear(self) {
        let sql = "set session_replication_role = replica; truncate data_file, parse_meta, parse_file_meta, log cascade";
        sqlx::raw_sql(sql).execute(&mut self.pool.acquire().await.unwrap()).await.unwrap();
        drop(self.db);
    }
}

fn of_tanf() -> Claimant {
    Claimant { takes: Takes::of([("tanf".to_owned(), "*".to_owned())]), ..claimant("w") }
}

/// What each step of a run and each tick reads.
async fn costs(filled: &Filled) -> Vec<(&'static str, i64)> {
    let pool = &filled.pool;
    let mut costs = Vec::new();
    store::notice::begin(pool).await.unwrap();
    // Once before, since a connection reads catalogs and plans at first.
    for _ in 0..2 {
        costs.clear();
        filled.queue(1, "tanf").await;
        let (rows, claimed) = filled.cost(queue::claim(pool, &of_tanf())).await;
        costs.push(("claim", rows));
        let claimed = claimed.expect("a run to claim");
        let (run, token) = (claimed.run.id, claimed.lease_token);
        costs.push(("heartbeat", filled.cost(queue::heartbeat(pool, &[(run, token)], HOUR)).await.0));
        costs.push(("log opened", filled.cost(log::opened(pool, run.into())).await.0));
        costs.push(("reap", filled.cost(queue::reap(pool, Duration::ZERO)).await.0));
        costs.push(("running", filled.cost(queue::running(pool)).await.0));
        let ending = Ending::Success(outcome());
        costs.push(("finish", filled.cost(queue::finish(pool, run, token, &ending)).await.0));
        costs.push(("close_finished", filled.cost(batch::close_finished(pool, None, 100)).await.0));
        costs.push(("logs of others", filled.cost(takeover::left(pool, Uuid::nil(), HOUR)).await.0));
        costs.push(("stuck", filled.cost(health::stuck(pool, HOUR, HOUR)).await.0));
        costs.push(("overdue", filled.cost(health::overdue(pool)).await.0));
        let look = async {
            let mut look = Look::begin(pool).await?;
            look.ended(Duration::from_secs(600), 168 * HOUR).await?;
            look.kept_back(168 * HOUR).await?;
            look.queue(&[]).await
        };
        costs.push(("notices: look", filled.cost(look).await.0));
        costs.push(("notices: due", filled.cost(outbox::due(pool, Channel::Mail, Waits::default())).await.0));
        costs.push(("kept back", filled.cost(load::kept_back(pool)).await.0));
        costs.push(("counts", filled.cost(load::counts(pool)).await.0));
        costs.push(("counts of runs", filled.cost(tally::runs(pool)).await.0));
    }
    costs
}

#[tokio::test]
async fn no_step_of_a_run_and_no_tick_of_a_worker_reads_more_of_a_larger_table() {
    let (small, large) = (Filled::with(1000).await, Filled::with(6000).await);
    let (few, many) = (Box::pin(costs(&small)).await, Box::pin(costs(&large)).await);
    for ((what, few), (_, many)) in few.iter().zip(&many) {
        assert!(*many <= few + 200, "{what} reads {few} rows of a thousand runs, and {many} of six thousand");
    }
    small.clear().await;
    large.clear().await;
}

#[tokio::test]
async fn what_waits_for_other_workers_costs_a_claim_nothing() {
    let filled = Filled::with(0).await;
    filled.queue(2000, "audit").await;
    filled.queue(20, "tanf").await;
    for _ in 0..20 {
        let (rows, claimed) = filled.cost(queue::claim(&filled.pool, &of_tanf())).await;
        assert_eq!(claimed.expect("a run to claim").run.program, "tanf");
        assert!(rows < 1000, "a claim reads {rows} rows");
    }
    let (rows, none) = filled.cost(queue::claim(&filled.pool, &of_tanf())).await;
    assert!(none.is_none() && rows < 1000, "a claim of nothing reads {rows} rows");
}

#[tokio::test]
async fn a_claim_goes_along_its_index_though_the_statistics_know_of_no_queue() {
    let filled = Filled::with(0).await;
    for _ in 0..2 {
        filled.queue(1500, "tanf").await;
        // As the server does by itself a minute later: now the queue is empty, and now it isn't.
        let mut first = 0;
        for claims in 0..30 {
            let (rows, claimed) = filled.cost(queue::claim(&filled.pool, &claimant("w"))).await;
            let claimed = claimed.expect("a run to claim");
            filled.db.finish(&claimed, Ending::Success(outcome())).await;
            first = if claims == 0 { rows } else { first };
            assert!(rows < 1200, "claim {claims} reads {rows} rows, and the first read {first}");
        }
        sqlx::raw_sql(
            "update parse_file_meta set status = 'inaction', failure = 'nobody wants it', finished_at = now()
             where status = 'queued'",
        )
        .execute(&filled.pool)
        .await
        .unwrap();
        filled.analyze().await;
    }
}

#[tokio::test]
async fn the_end_of_a_run_looks_at_no_other_run_of_a_large_batch() {
    let filled = Filled::with(0).await;
    filled.queue(1500, "tanf").await;
    for ends in 0..20 {
        let claimed = queue::claim(&filled.pool, &claimant("w")).await.unwrap().expect("a run to claim");
        let (run, token) = (claimed.run.id, claimed.lease_token);
        let (rows, _) =
            filled.cost(queue::finish(&filled.pool, run, token, &Ending::Success(outcome()))).await;
        assert!(rows < 700, "end {ends} reads {rows} rows");
    }
}

#[tokio::test]
async fn a_page_of_runs_reads_little_of_the_table_whatever_it_asks_for() {
    let filled = Filled::with(6000).await;
    let text = |text: &str| Some(text.to_owned());
    let none = RunFilter::default;
    let last = store::latest(&filled.pool, &none()).await.unwrap().expect("a run");
    let filters = [
        ("nothing", none()),
        ("crashed", RunFilter { status: vec![RunStatus::Crash], ..none() }),
        ("running", RunFilter { status: vec![RunStatus::Running], ..none() }),
        ("queued", RunFilter { status: vec![RunStatus::Queued], ..none() }),
        ("rejected", RunFilter { verdict: vec![SummaryStatus::Rejected], ..none() }),
        ("without a verdict", RunFilter { verdict: vec![SummaryStatus::NoVerdict], ..none() }),
        ("pruned", RunFilter { log_state: vec![LogState::Pruned], ..none() }),
        ("kept back", RunFilter { log_state: vec![LogState::Fallback, LogState::Lost], ..none() }),
        ("of a file", RunFilter { data_file: Some(last.data_file_id), ..none() }),
        ("of a file over time", RunFilter { same_file_as: Some(last.data_file_id), ..none() }),
        ("of a batch", RunFilter { batch: Some(BatchId(last.batch_id.0)), ..none() }),
        ("of no program", RunFilter { program: text("nope"), ..none() }),
        ("of no state", RunFilter { state: text("99"), ..none() }),
        ("of no year", RunFilter { fiscal_year: Some(2001), ..none() }),
        ("by somebody", RunFilter { requested_by: text("user7"), ..none() }),
        ("by nobody", RunFilter { requested_by: text("nobody"), ..none() }),
    ];
    for (what, filter) in filters {
        let page = RunFilter { limit: Some(20), ..filter };
        let (rows, _) = filled.cost(store::find(&filled.pool, &page)).await;
        assert!(rows < 1500, "a page of runs {what} reads {rows} rows of six thousand runs");
    }
    filled.clear().await;
}

#[tokio::test]
async fn runs_that_were_queued_before_runs_had_a_kind_are_claimed_and_counted() {
    let filled = Filled::with(0).await;
    filled.queue(3, "audit").await;
    filled.queue(3, "tanf").await;
    sqlx::query("update parse_file_meta set file_kind = null").execute(&filled.pool).await.unwrap();
    filled.queue(1, "tanf").await;
    let backlog = load::backlog(&filled.pool).await.unwrap();
    let counted: Vec<_> = backlog.iter().map(|kind| (kind.program.as_str(), kind.queued, kind.due)).collect();
    assert_eq!(counted, [("audit", 3, 3), ("tanf", 4, 4)]);
    let mut claimed = Vec::new();
    while let Some(run) = queue::claim(&filled.pool, &of_tanf()).await.unwrap() {
        claimed.push(run.run.id);
    }
    assert!(claimed.len() == 4 && claimed.is_sorted(), "the oldest first: {claimed:?}");
}

#[tokio::test]
async fn the_tally_is_the_number_of_runs_in_each_status() {
    let filled = Filled::with(1000).await;
    let counted = |counts: Vec<load::CodeCount>| {
        let mut counts: Vec<_> = counts.into_iter().map(|count| (count.code, count.rows)).collect();
        counts.sort();
        counts
    };
    filled.queue(2, "tanf").await;
    queue::claim(&filled.pool, &of_tanf()).await.unwrap().expect("a run to claim");
    sqlx::query("update run_tally set through = '-infinity', runs = '{}'")
        .execute(&filled.pool)
        .await
        .unwrap();
    for _ in 0..4 {
        let told = counted(tally::runs(&filled.pool).await.unwrap());
        let all: Vec<(String, i64)> =
            sqlx::query_as("select status, count(*) from parse_file_meta group by 1 order by 1")
                .fetch_all(&filled.pool)
                .await
                .unwrap();
        assert_eq!(told, all);
        tally::advance(&filled.pool, 400).await.unwrap();
    }
    let noted: i64 = sqlx::query_scalar("select (runs ->> 'success')::bigint from run_tally")
        .fetch_one(&filled.pool)
        .await
        .unwrap();
    assert!(noted > 900, "{noted} are counted for good");
    filled.clear().await;
}
