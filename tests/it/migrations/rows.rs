//! Each migration, up and down, over rows that were there before it, from every earlier step.
//!
//! `rows/N.sql` fills the tables as a database of step N is filled; it is never run at another step.

use std::collections::BTreeMap;
use std::path::PathBuf;

use parselog::queue::Ending;
use parselog::store::{self, MIGRATOR, PgPool};
use serde_json::{Map, Value};
use sqlx::AssertSqlSafe;

use crate::support::{TestDb, outcome};

/// What a migration changes about rows of earlier steps on purpose: its version, the table, the column.
const CHANGED: &[(i64, &str, &str)] = &[
    // What is no address goes.
    (5, "data_file", "submitter_emails"),
    // The worker of a run knows how far it shipped the log.
    (16, "log_follow", "shipped_to"),
];

/// What a migration makes anew, since none of it had to survive: its version, the table.
const ANEW: &[(i64, &str)] = &[(16, "log_piece")];

/// What a migration moves to a table of its own: its version, the table, the columns, and a view in which they
/// have their old names still.
const MOVED: [(i64, &str, &[&str], &str); 1] = [(
    10,
    "parse_file_meta",
    &[
        "log_state",
        "log_raw_bytes",
        "log_gzip_bytes",
        "log_lines",
        "log_events",
        "log_dropped",
        "log_raw_sha256",
        "log_gzip_sha256",
        "log_archived_at",
        "archive_error",
        "archive_attempts",
    ],
    "run",
)];

/// The rows of each table, sorted.
type Rows = BTreeMap<String, Vec<Map<String, Value>>>;

async fn rows(pool: &PgPool) -> Rows {
    let tables: Vec<String> = sqlx::query_scalar(
        "select relname::text from pg_class
         where relnamespace = current_schema()::regnamespace and relkind = 'r' and relname <> '_sqlx_migrations'",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let mut rows = Rows::new();
    for table in tables {
        let all = format!("select to_jsonb(t) from {table} t order by to_jsonb(t)::text");
        let found: Vec<Value> = sqlx::query_scalar(AssertSqlSafe(all)).fetch_all(pool).await.unwrap();
        let found = found.into_iter().map(|row| row.as_object().unwrap().clone()).collect();
        rows.insert(table, found);
    }
    rows
}

/// Everything that migrations make, as text.
async fn objects(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar(
        "with own as (select oid, relname from pg_class
                      where relnamespace = current_schema()::regnamespace and relname !~ '^_sqlx_migrations')
         select format('%s.%s %s %s %s', relname, attname, format_type(atttypid, atttypmod), attnotnull,
                       (select pg_get_expr(adbin, adrelid) from pg_attrdef where (adrelid, adnum) = (attrelid, attnum)))
         from pg_attribute join own on own.oid = attrelid where attnum > 0 and not attisdropped
         union all
         select format('%s: %s %s', relname, conname, pg_get_constraintdef(c.oid))
         from pg_constraint c join own on own.oid = conrelid
         union all
         select pg_get_indexdef(indexrelid) from pg_index join own on own.oid = indrelid
         union all
         select pg_get_triggerdef(t.oid) from pg_trigger t join own on own.oid = tgrelid where not tgisinternal
         union all
         select pg_get_functiondef(p.oid) from pg_proc p where pronamespace = current_schema()::regnamespace
         order by 1",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

/// Fills the tables of this step, which the database has just reached.
async fn fill(pool: &PgPool, step: i64) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/migrations/rows/{step}.sql"));
    let sql = std::fs::read_to_string(&path).unwrap_or_else(|error| {
        panic!("{}: {error}; write what a database of step {step} holds", path.display())
    });
    let filled = sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await;
    filled.unwrap_or_else(|error| panic!("rows/{step}.sql: {error}"));
}

/// Takes out what migrations after `step` change on purpose.
fn leave_out_changes(rows: &mut Rows, step: i64) {
    for (_, table, column) in CHANGED.iter().filter(|(version, ..)| *version > step) {
        for row in rows.get_mut(*table).into_iter().flatten() {
            row.remove(*column);
        }
    }
    for (_, table) in ANEW.iter().filter(|(version, _)| *version > step) {
        rows.entry((*table).to_owned()).and_modify(Vec::clear);
    }
}

/// Puts what a migration after `step` moved back to where it was, as its view tells it.
async fn add_what_moved(pool: &PgPool, rows: &mut Rows, step: i64) {
    for (_, table, columns, view) in MOVED.iter().filter(|(version, ..)| *version > step) {
        let sql = format!("select to_jsonb(v) from {view} v");
        let found: Vec<Value> = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(pool).await.unwrap();
        for row in rows.get_mut(*table).into_iter().flatten() {
            let moved = found.iter().find(|found| found["id"] == row["id"]).expect("a row of the view");
            row.extend(columns.iter().map(|column| ((*column).to_owned(), moved[*column].clone())));
        }
    }
}

/// Expects that each row from before is there, with whatever a later step added to it.
fn assert_kept(before: &Rows, after: &Rows, step: i64) {
    for (table, rows) in before {
        for row in rows {
            let kept = after[table]
                .iter()
                .any(|found| row.iter().all(|(name, value)| found.get(name) == Some(value)));
            assert!(
                kept,
                "a row of {table} from step {step} was lost or changed: {row:?}\nin {:#?}",
                after[table]
            );
        }
        assert_eq!(rows.len(), after[table].len(), "the number of rows in {table} from step {step}");
    }
}

/// Expects that the queue works over what is there.
async fn assert_works(db: &TestDb) {
    store::require_migrated(&db.pool).await.unwrap();
    let queued = db.submit(&["after/one.txt", "after/two.txt"]).await;
    db.make_due().await;
    let mut ended = 0;
    while let Some(claimed) = db.claim("w").await {
        db.finish(&claimed, Ending::Success(outcome())).await;
        ended += 1;
    }
    assert!(ended >= queued.len());
    for one in queued {
        assert_eq!(db.actions(one.run_id).await, ["run", "success"]);
    }
}

#[tokio::test]
async fn each_migration_keeps_the_rows_of_every_earlier_step_up_and_down() {
    let steps: Vec<i64> = MIGRATOR
        .iter()
        .filter(|migration| migration.migration_type.is_up_migration())
        .map(|migration| migration.version)
        .collect();
    for end in 0..=steps.len() {
        let db = TestDb::empty().await;
        for step in &steps[..end] {
            db.up_to(*step).await;
            fill(&db.pool, *step).await;
        }
        let step = steps[..end].last().copied().unwrap_or_default();
        let (made, mut before) = (objects(&db.pool).await, rows(&db.pool).await);
        leave_out_changes(&mut before, step);

        store::migrate(&db.pool).await.unwrap();
        let mut after = rows(&db.pool).await;
        add_what_moved(&db.pool, &mut after, step).await;
        leave_out_changes(&mut after, step);
        assert_kept(&before, &after, step);

        db.down_to(step).await;
        let mut back = rows(&db.pool).await;
        leave_out_changes(&mut back, step);
        assert_eq!(before, back, "the rows, up from step {step} and down again");
        assert_eq!(made, objects(&db.pool).await, "what is made, up from step {step} and down again");

        store::migrate(&db.pool).await.unwrap();
        assert_works(&db).await;
        db.down_to(0).await;
        assert_eq!(objects(&db.pool).await, [""; 0], "a down migration left something behind");
    }
}
