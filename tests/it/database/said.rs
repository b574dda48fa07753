//! What an error of the database says: once, and what to do.

use std::fs;
use std::path::Path;

use parselog::store;

use crate::support::{Desk, TestDb};

#[tokio::test]
async fn an_error_of_the_database_is_said_once_without_its_place_in_postgres() {
    let desk = Desk::new().await;
    sqlx::query("alter table run_action rename to elsewhere").execute(&desk.db.pool).await.unwrap();
    let said = desk.run(&["actions"]);
    assert_eq!(said.code, 1);
    assert_eq!(said.err.matches("does not exist").count(), 1, "{}", said.err);
    assert!(!said.err.contains("at line") && !said.err.contains("returned from database"), "{}", said.err);
    sqlx::query("alter table elsewhere rename to run_action").execute(&desk.db.pool).await.unwrap();
}

#[tokio::test]
async fn too_many_connections_are_said_as_such_with_what_to_do() {
    let db = TestDb::empty().await;
    sqlx::raw_sql(
        "do $$ begin create role parselog_test_crowd login;
         exception when duplicate_object or unique_violation then null; end $$;
         alter role parselog_test_crowd connection limit 0",
    )
    .execute(&db.pool)
    .await
    .unwrap();
    let error = store::connect(&db.url_as("parselog_test_crowd"), "parselog-test").await.unwrap_err();
    let said = format!("{error:#}");
    assert!(
        said.contains("too many connections") && said.contains("PARSELOG_DATABASE_CONNECTIONS"),
        "{said}"
    );
}

#[test]
fn no_room_that_knows_sqlx_passes_its_errors_on_by_other_means() {
    let rooms = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = 0;
    for room in ["store", "queue"] {
        for entry in fs::read_dir(rooms.join(room)).unwrap() {
            let path = entry.unwrap().path();
            let imports = fs::read_to_string(&path).unwrap();
            let wrong =
                imports.lines().any(|line| line.starts_with("use anyhow::") && line.contains("Context"));
            assert!(!wrong, "{}: anyhow's Context repeats what sqlx says; use store's", path.display());
            files += 1;
        }
    }
    assert!(files > 20, "{files}");
}
