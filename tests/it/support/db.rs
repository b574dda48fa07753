//! A Postgres database per test, copied from a migrated template and dropped with the test.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::fmt::Write as _;
use std::str::FromStr;
use std::time::Duration;

use parselog::desk::submit;
use parselog::ids::RunId;
use parselog::queue::{self, Claimant, ClaimedRun, Takes};
use parselog::store::{self, MIGRATOR, NewFile, PgPool, Queued, Request, Run};
use parselog::{carry, parser};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use uuid::Uuid;

use super::accounting;

/// The terms of an ordinary submission.
pub(crate) fn request_by(by: &str) -> Request {
    Request {
        submitted_by: by.to_owned(),
        reason: None,
        priority: submit::PRIORITY,
        max_attempts: submit::ATTEMPTS,
        run_after: None,
        deadline: None,
    }
}

/// One test's own database.
pub(crate) struct TestDb {
    pub(crate) pool: PgPool,
    name: String,
    admin: String,
}

impl TestDb {
    /// A database with all migrations applied.
    pub(crate) async fn new() -> Self {
        Self::on(admin_url()).await
    }

    /// A database with no tables whose texts are in this encoding.
    pub(crate) async fn encoded(encoding: &str) -> Self {
        let how = format!("template template0 encoding '{encoding}' lc_collate 'C' lc_ctype 'C'");
        Self::create(admin_url(), &how).await
    }

    /// As [`TestDb::new`], on the server of this URL.
    pub(crate) async fn on(admin: String) -> Self {
        let template = template(&admin).await;
        Self::create(admin, &format!("template {template}")).await
    }

    /// A database with no tables.
    pub(crate) async fn empty() -> Self {
        Self::create(admin_url(), "template template0").await
    }

    async fn create(admin: String, how: &str) -> Self {
        let name = format!("parselog_test_{}", Uuid::new_v4().simple());
        execute(&mut connect(&admin).await, &format!("create database {name} {how}")).await;
        let pool = store::connect(&url_of(&admin, &name), "parselog-test").await.unwrap();
        Self { pool, name, admin }
    }

    /// The URL of this database, for child processes.
    pub(crate) fn url(&self) -> String {
        url_of(&self.admin, &self.name)
    }

    /// The name of this database on its server.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Applies the migrations up to this one.
    pub(crate) async fn up_to(&self, step: i64) {
        MIGRATOR.run_to(step, &mut connect(&self.url()).await).await.unwrap();
    }

    /// Takes back the migrations after this one.
    pub(crate) async fn down_to(&self, step: i64) {
        MIGRATOR.undo(&mut connect(&self.url()).await, step).await.unwrap();
    }

    /// The URL of this database for another role.
    pub(crate) fn url_as(&self, role: &str) -> String {
        let mut url = url::Url::parse(&self.url()).unwrap();
        let rest: Vec<(String, String)> =
            url.query_pairs().into_owned().filter(|(name, _)| name != "user").collect();
        url.query_pairs_mut().clear().extend_pairs(rest).append_pair("user", role);
        url.into()
    }

    /// Queues one run for each of these keys, in one submission.
    pub(crate) async fn submit(&self, keys: &[&str]) -> Vec<Queued> {
        let files: Vec<NewFile> = keys.iter().map(|key| new_file(key)).collect();
        store::submit(&self.pool, &files, &request_by("ann")).await.unwrap()
    }

    /// Claims the next run, for a worker of this name, with an hour's lease.
    pub(crate) async fn claim(&self, worker: &str) -> Option<ClaimedRun> {
        queue::claim(&self.pool, &claimant(worker)).await.unwrap()
    }

    /// Claims the next run with a lease that is over already.
    pub(crate) async fn claim_and_die(&self, worker: &str) -> ClaimedRun {
        let terms = Claimant { lease: Duration::ZERO, ..claimant(worker) };
        queue::claim(&self.pool, &terms).await.unwrap().expect("a run to claim")
    }

    /// Ends a claimed run, and expects that to count.
    pub(crate) async fn finish(&self, claimed: &ClaimedRun, ending: queue::Ending) {
        let finished = queue::finish(&self.pool, claimed.run.id, claimed.lease_token, &ending).await.unwrap();
        assert_eq!(finished, queue::Finished::Yes, "run {} was not ours", claimed.run.id);
    }

    /// The run's row.
    pub(crate) async fn run(&self, run: RunId) -> Run {
        store::run::get(&self.pool, run).await.unwrap().expect("the run's row")
    }

    /// The run's actions as text, oldest first.
    pub(crate) async fn actions(&self, run: RunId) -> Vec<String> {
        let filter = store::action::ActionFilter { run: Some(run), ..Default::default() };
        let mut actions = store::action::list(&self.pool, &filter).await.unwrap();
        actions.reverse();
        actions.into_iter().map(|row| row.action.to_string()).collect()
    }

    /// The codes of the audit entries about the run, oldest first.
    pub(crate) async fn entries(&self, run: RunId) -> Vec<String> {
        store::entry::of_run(&self.pool, run).await.unwrap().into_iter().map(|row| row.entry).collect()
    }

    /// Makes the queued runs due now, whatever they wait for; but for one that somebody is claiming, who may stand
    /// still within his transaction.
    pub(crate) async fn make_due(&self) {
        sqlx::query(
            "with free as (
                 select id from parse_file_meta where status = 'queued' for update skip locked
             )
             update parse_file_meta r set run_after = now() from free where r.id = free.id",
        )
        .execute(&self.pool)
        .await
        .unwrap();
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        let (admin, name, url) = (self.admin.clone(), self.name.clone(), self.url());
        // A thread, since the test's runtime can't be blocked on from within.
        let dropped = carry::thread(move || {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
                let pool = store::connect(&url, "parselog-test").await.unwrap();
                let complaints = accounting::complaints(&pool).await;
                pool.close().await;
                execute(&mut connect(&admin).await, &format!("drop database {name} with (force)")).await;
                complaints
            })
        });
        let dropped = dropped.join();
        if !std::thread::panicking() {
            let complaints = dropped.unwrap_or_else(|_| panic!("failed to drop database {}", self.name));
            assert!(complaints.is_empty(), "emitted is not stored and dropped: {complaints:#?}");
        }
    }
}

/// A worker of this name, with an hour's lease.
pub(crate) fn claimant(worker: &str) -> Claimant {
    let hour = Duration::from_secs(3600);
    Claimant { worker: worker.to_owned(), lease: hour, timeout: hour, takes: Takes::any() }
}

/// A file under this key, in the bucket `submissions`.
pub(crate) fn new_file(key: &str) -> NewFile {
    NewFile {
        bucket: "submissions".to_owned(),
        key: key.to_owned(),
        version_id: "v1".to_owned(),
        name: key.rsplit('/').next().unwrap_or(key).to_owned(),
        program: "tanf".to_owned(),
        section: "active".to_owned(),
        fiscal_year: 2024,
        fiscal_quarter: 1,
        ..NewFile::default()
    }
}

/// An outcome with something of everything.
pub(crate) fn outcome() -> Box<parser::Outcome> {
    Box::new(parser::Outcome {
        summary: parser::SummaryStatus::AcceptedWithErrors,
        records_reported: true,
        records_in_file: 5,
        records_created: 4,
        cases: parser::CaseTotals {
            rejected: 2,
            months: [(
                "202310".to_owned(),
                parser::MonthCases { accepted_without_errors: 3, accepted_with_errors: 1 },
            )]
            .into(),
        },
        deprecated_errors: 0,
        created_by_type: [("T1".to_owned(), 4)].into(),
        errors: [(parser::Category::Field, 2), (parser::Category::Case, 1)].into(),
        errors_by_month: [("202310".to_owned(), [(parser::Category::Field, 2)].into())].into(),
        first_error: Some(parser::FirstError {
            record: Some(3),
            message: "item 4 must be a number".to_owned(),
        }),
    })
}

fn admin_url() -> String {
    std::env::var("PARSELOG_TEST_DATABASE").unwrap_or_else(|_| {
        panic!(
            "PARSELOG_TEST_DATABASE is not set: it must be the URL of a Postgres server on which tests may \
             create databases, such as postgres:///postgres?host=/folder/of/the/socket&user=postgres"
        )
    })
}

/// The same server, another database.
fn url_of(admin: &str, database: &str) -> String {
    let (place, query) = admin.split_once('?').map_or((admin, String::new()), |(p, q)| (p, format!("?{q}")));
    let (scheme, rest) = place.split_once("://").expect("a database URL");
    let host = rest.split('/').next().unwrap_or_default();
    format!("{scheme}://{host}/{database}{query}")
}

/// The migrated database that tests copy. It is named by its migrations and kept, so it is made once
/// per server, not per process.
async fn template(admin: &str) -> String {
    let mut checksum = 0_u64;
    for byte in MIGRATOR.iter().flat_map(|migration| migration.checksum.iter()) {
        checksum = checksum.rotate_left(7) ^ u64::from(*byte).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    let mut name = "parselog_template_".to_owned();
    write!(name, "{checksum:016x}").unwrap();

    let mut server = connect(admin).await;
    execute(&mut server, "select pg_advisory_lock(hashtext('parselog_template'))").await;
    let exists: bool = sqlx::query_scalar("select exists (select 1 from pg_database where datname = $1)")
        .bind(&name)
        .fetch_one(&mut server)
        .await
        .unwrap();
    if !exists {
        // Renamed when complete, so that a test run that was stopped leaves no half of a template.
        let making = format!("{name}_making");
        execute(&mut server, &format!("drop database if exists {making} with (force)")).await;
        execute(&mut server, &format!("create database {making} template template0")).await;
        let mut database = connect(&url_of(admin, &making)).await;
        MIGRATOR.run_direct(None, &mut database, false).await.unwrap();
        database.close().await.unwrap();
        execute(&mut server, &format!("alter database {making} rename to {name}")).await;
    }
    server.close().await.unwrap();
    name
}

async fn connect(url: &str) -> PgConnection {
    let options = PgConnectOptions::from_str(url).expect("PARSELOG_TEST_DATABASE must be a Postgres URL");
    options
        .disable_statement_logging()
        .connect()
        .await
        .expect("the Postgres of PARSELOG_TEST_DATABASE must run")
}

async fn execute(connection: &mut PgConnection, sql: &str) {
    sqlx::query(AssertSqlSafe(sql))
        .execute(connection)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
}
