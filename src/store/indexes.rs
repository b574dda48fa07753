//! Indexes that a migration needs, built before it, so that it locks no large table while it reads all of it.
//!
//! Each migration is applied in one transaction, in which an index can only be made by locking its table. So the
//! indexes of [`AHEAD`] are made before, `concurrently`: workers go on meanwhile. The migration makes what it does not
//! find: in an empty database, behind a pooler, and where it follows earlier migrations at once.

use std::time::Duration;

use anyhow::Result;
use sqlx::AssertSqlSafe;

use super::failure::DbContext as _;
use super::pool::{Connection, PgPool};

/// What is made ahead of a migration.
struct Ahead {
    migration: i64,
    /// What the indexes need; repeatable.
    before: &'static str,
    /// Names, and what follows `create index name on`.
    indexes: &'static [(&'static str, &'static str)],
}

const AHEAD: Ahead = Ahead {
    migration: 18,
    before: "alter table parse_file_meta add column if not exists file_kind text",
    indexes: &[
        (
            "parse_file_meta_waiting",
            "parse_file_meta (file_kind, priority, run_after, id) where status = 'queued'",
        ),
        ("parse_file_meta_unended", "parse_file_meta (batch_id) where finished_at is null"),
        (
            "parse_file_meta_status",
            "parse_file_meta (status, id) where status not in ('queued', 'running', 'success')",
        ),
        ("parse_file_meta_verdict", "parse_file_meta (summary_status, id) where summary_status is not null"),
        ("parse_meta_requested_by", "parse_meta (requested_by, id)"),
        ("parse_meta_deadline", "parse_meta (deadline) where finished_at is null"),
        ("log_state", "log (state, run_id) where state <> 'archived'"),
        ("data_file_section", "data_file (section, id)"),
        ("data_file_state", "data_file (state, id)"),
        ("data_file_year", "data_file (fiscal_year, fiscal_quarter, id)"),
    ],
};

/// How long to wait between two looks whether another process is done with the same.
const PAUSE: Duration = Duration::from_millis(200);

/// Whether indexes are to be made before these migrations are applied, the first of which is the next.
pub(super) fn are_wanted(pool: &PgPool, missing: &[i64]) -> bool {
    !pool.is_behind_pooler() && missing.first() == Some(&AHEAD.migration)
}

/// Makes the indexes that are not there yet, or that a killed process left half made; each may take as long as `pool`
/// allows a statement.
///
/// # Errors
/// The database fails; what was made stays, and is found by the next try.
pub(super) async fn build(pool: &PgPool) -> Result<()> {
    let mut connection = pool.acquire().await.context("failed to make indexes")?;
    let limit =
        format!("set statement_timeout = {}; set client_min_messages = warning", pool.limit.as_millis());
    run(&mut connection, &limit).await?;
    // A waiting statement would keep its snapshot, and making an index waits for snapshots: so this only asks.
    while !sqlx::query_scalar("select pg_try_advisory_lock(hashtext('parselog_indexes'))")
        .fetch_one(&mut connection)
        .await
        .context("failed to wait for another process that makes indexes")?
    {
        tokio::time::sleep(PAUSE).await;
    }
    let built = build_each(&mut connection).await;
    run(
        &mut connection,
        "select pg_advisory_unlock(hashtext('parselog_indexes')); reset statement_timeout; reset client_min_messages",
    )
    .await?;
    built
}

async fn build_each(db: &mut Connection) -> Result<()> {
    run(db, &format!("set lock_timeout = '1s'; {}; reset lock_timeout", AHEAD.before)).await?;
    for (name, definition) in AHEAD.indexes {
        let is_valid: Option<bool> =
            sqlx::query_scalar("select indisvalid from pg_index where indexrelid = to_regclass($1)")
                .bind(*name)
                .fetch_optional(&mut *db)
                .await
                .with_context(|| format!("failed to look for index {name}"))?;
        if is_valid == Some(true) {
            continue;
        }
        if is_valid == Some(false) {
            run(db, &format!("drop index concurrently {name}")).await?;
        }
        run(db, &format!("create index concurrently {name} on {definition}")).await?;
    }
    Ok(())
}

async fn run(db: &mut Connection, sql: &str) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(db)
        .await
        .with_context(|| format!("failed to make indexes: {sql}"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::AHEAD;
    use crate::store::MIGRATOR;

    #[test]
    fn the_migration_makes_the_same_indexes_where_they_are_missing() {
        let mut up = MIGRATOR.iter().filter(|migration| migration.migration_type.is_up_migration());
        let migration = up.find(|migration| migration.version == AHEAD.migration).expect("the migration");
        let sql = migration.sql.as_str();
        for (name, definition) in AHEAD.indexes {
            let line = format!("('{name}', '{}')", definition.replace('\'', "''"));
            assert!(sql.contains(&line), "{line}");
        }
        assert!(sql.contains(AHEAD.before));
        assert_eq!(sql.matches("        ('").count(), AHEAD.indexes.len(), "an index is not made ahead");
    }
}
