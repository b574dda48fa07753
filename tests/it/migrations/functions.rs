//! The SQL functions: whole in a file, and at home in the schema of their tables, whoever calls them.

use parselog::queue;
use parselog::store::{self, MIGRATOR, PgPool};
use sqlx::AssertSqlSafe;

use crate::support::{TestDb, claimant};

/// Roles that the tests of one server share; the schema of the first has its name.
const OWNER: &str = "Parselog Test Owner";
const BACKEND: &str = "Parselog Test Backend";

/// Makes both roles and the owner's schema; returns a pool as the owner, whose search path is the usual one.
async fn owner_of_a_schema(db: &TestDb) -> PgPool {
    for role in [OWNER, BACKEND] {
        // Other tests make them at the same time.
        let made = format!(
            "do $$ begin create role \"{role}\" login;
             exception when duplicate_object or unique_violation then null; end $$"
        );
        sqlx::raw_sql(AssertSqlSafe(made)).execute(&db.pool).await.unwrap();
    }
    let schema = format!(r#"create schema "{OWNER}" authorization "{OWNER}""#);
    sqlx::raw_sql(AssertSqlSafe(schema)).execute(&db.pool).await.unwrap();
    store::connect(&db.url_as(OWNER), "parselog-test").await.unwrap()
}

#[tokio::test]
async fn a_backend_of_another_role_queues_runs_in_tables_of_a_schema_of_their_own() {
    let db = TestDb::empty().await;
    let owner = owner_of_a_schema(&db).await;
    store::migrate(&owner).await.unwrap();
    let granted = format!(
        r#"grant usage on schema "{OWNER}" to "{BACKEND}";
           grant select, insert, update on all tables in schema "{OWNER}" to "{BACKEND}""#
    );
    sqlx::raw_sql(AssertSqlSafe(granted)).execute(&owner).await.unwrap();

    let backend = store::connect(&db.url_as(BACKEND), "parselog-test").await.unwrap();
    let queued = format!(
        r#"select "{OWNER}".enqueue_parse(bucket => 'b', key => 'k', version_id => 'v', name => 'n',
               program => 'tanf', section => 'active', fiscal_year => 2024, fiscal_quarter => 1)"#
    );
    sqlx::raw_sql(AssertSqlSafe(queued)).execute(&backend).await.unwrap();
    let again = format!(r#"select * from "{OWNER}".enqueue_reparse('{{"all": true}}')"#);
    sqlx::raw_sql(AssertSqlSafe(again)).execute(&backend).await.unwrap();
    // The trigger that notes the action looks for its table, too.
    let dropped = format!(
        r#"update "{OWNER}".parse_file_meta set status = 'inaction', failure = 'changed my mind',
               finished_at = now() where kind = 'reparse'"#
    );
    sqlx::raw_sql(AssertSqlSafe(dropped)).execute(&backend).await.unwrap();

    let claimed = queue::claim(&owner, &claimant("w")).await.unwrap().expect("the queued run");
    assert_eq!((claimed.run.key.as_str(), claimed.run.requested_by.as_str()), ("k", BACKEND));
    let actions: Vec<String> =
        sqlx::query_scalar("select action from run_action order by id").fetch_all(&owner).await.unwrap();
    assert_eq!(actions, ["inaction", "run"]);
}

#[tokio::test]
async fn every_function_that_names_a_table_looks_for_it_in_its_schema() {
    let db = TestDb::empty().await;
    let owner = owner_of_a_schema(&db).await;
    store::migrate(&owner).await.unwrap();
    let lost: Vec<String> = sqlx::query_scalar(
        "select proname::text from pg_proc
         where pronamespace = quote_ident(current_schema())::regnamespace
           and not coalesce(proconfig, '{}') @> array[format('search_path=%I, pg_temp', current_schema())]
           and exists (select 1 from pg_class
                       where relnamespace = pronamespace
                         and regexp_replace(prosrc, '''[^'']*''|--[^\n]*', '', 'g') ~ format('\\m%s\\M', relname))",
    )
    .fetch_all(&owner)
    .await
    .unwrap();
    assert!(
        lost.is_empty(),
        "begin their migration as 0006 begins, and `set search_path from current`: {lost:?}"
    );
}

#[tokio::test]
async fn every_function_stands_in_full_in_the_newest_migration_that_names_it() {
    let db = TestDb::new().await;
    let functions: Vec<(String, String)> = sqlx::query_as(
        "select proname::text, prosrc from pg_proc where pronamespace = quote_ident(current_schema())::regnamespace",
    )
    .fetch_all(&db.pool)
    .await
    .unwrap();
    assert!(!functions.is_empty());
    for (name, text) in functions {
        let newest = MIGRATOR
            .iter()
            .rev()
            .filter(|migration| migration.migration_type.is_up_migration())
            .find(|migration| migration.sql.as_str().contains(&format!("function {name}(")))
            .unwrap_or_else(|| panic!("no migration makes {name}"));
        assert!(newest.sql.as_str().contains(&text), "{name} in full is not in migration {}", newest.version);
    }
}
