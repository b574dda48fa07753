//! A migration of large tables that are in use.

use std::time::Duration;

use parselog::store::{self, MIGRATOR};
use parselog::{carry, queue};

use crate::support::{PATIENCE, TestDb, claimant};

/// The migration whose indexes are made ahead, over a queue of some runs.
async fn before_it() -> TestDb {
    let db = TestDb::empty().await;
    db.up_to(17).await;
    sqlx::raw_sql(
        "select enqueue_parse(bucket => 'b', key => 'k' || n, version_id => 'v', name => 'n', program => 'tanf',
                              section => 'active', fiscal_year => 2024, fiscal_quarter => 1)
         from generate_series(1, 20) as n",
    )
    .execute(&db.pool)
    .await
    .unwrap();
    db
}

#[tokio::test]
async fn indexes_are_made_ahead_and_what_a_killed_process_left_half_made_is_made_anew() {
    let db = before_it().await;
    sqlx::raw_sql(
        "alter table parse_file_meta add column file_kind text;
         create index log_state on log (state, run_id) where state <> 'archived';
         create index data_file_state on data_file (state, id);
         update pg_index set indisvalid = false where indexrelid = 'log_state'::regclass",
    )
    .execute(&db.pool)
    .await
    .unwrap();
    let kept: i64 = sqlx::query_scalar("select 'data_file_state'::regclass::oid::bigint")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    store::migrate(&db.pool).await.unwrap();
    let (invalid, is_kept): (i64, bool) = sqlx::query_as(
        "select count(*) filter (where not indisvalid), bool_or(indexrelid::bigint = $1) from pg_index",
    )
    .bind(kept)
    .fetch_one(&db.pool)
    .await
    .unwrap();
    assert_eq!((invalid, is_kept), (0, true));
    let claimed = queue::claim(&db.pool, &claimant("w")).await.unwrap();
    assert!(claimed.is_some(), "what was queued before is still there");
}

#[tokio::test]
async fn a_migration_gives_way_while_somebody_reads_for_long() {
    let db = before_it().await;
    let mut reader = db.pool.begin().await.unwrap();
    sqlx::query("select count(*) from parse_file_meta").execute(&mut *reader).await.unwrap();
    let pool = db.pool.clone();
    let migrating = carry::spawn(async move { store::migrate(&pool).await });
    // The migration comes and goes meanwhile, and others go on.
    for _ in 0..20 {
        let touched = sqlx::query("update parse_file_meta set priority = priority").execute(&db.pool);
        tokio::time::timeout(PATIENCE, touched).await.expect("the table is locked").unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(!migrating.is_finished(), "nothing was in its way");
    reader.commit().await.unwrap();
    migrating.await.unwrap().unwrap();
    store::require_migrated(&db.pool).await.unwrap();
    assert!(MIGRATOR.iter().any(|migration| migration.version == 18));
}
