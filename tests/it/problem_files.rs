//! The Parquet files with the problems of all runs: they say what is counted, and nothing else.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::time::Duration;

use aws_sdk_s3::types::BucketVersioningStatus;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::RowAccessor as _;
use parselog::dataset::ProblemFiles;
use parselog::spool::Spool;
use parselog::system::System;
use serde_json::Value;
use sqlx::AssertSqlSafe;

use crate::localstack;
use crate::support::{Desk, Said, sample_text};

const FIRST: &str = "tanf-active-2021-q1.txt";

/// The place of the only file here, but for its month.
const PLACE: &str = "objects/files/problems/program=tanf/year=2021/quarter=1/";

/// Submits the sample with nine problems for states.
fn submit(desk: &Desk, states: &[&str]) {
    for state in states {
        let file = desk.file(&format!("{state}.txt"), &sample_text(FIRST));
        desk.ok(&["submit", "--state", state, &file]);
    }
}

/// What the program counts.
fn counted(desk: &Desk) -> i64 {
    let rows = desk.ok(&["problems", "--json", "--top", "1000"]).json();
    rows.iter().map(|row| row["problems"].as_i64().unwrap()).sum()
}

fn files(desk: &Desk) -> Vec<String> {
    desk.files("objects/files/problems")
}

/// The problems of each run, and how many rows it has.
fn read(path: &str) -> BTreeMap<String, (i64, usize)> {
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    let mut runs = BTreeMap::new();
    for row in reader.get_row_iter(None).unwrap() {
        let row = row.unwrap();
        let run: &mut (i64, usize) = runs.entry(row.get_string(0).unwrap().clone()).or_default();
        run.0 += row.get_long(13).unwrap();
        run.1 += 1;
    }
    runs
}

fn sum(path: &str) -> i64 {
    read(path).values().map(|(problems, _)| problems).sum()
}

async fn execute(desk: &Desk, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&desk.db.pool).await.unwrap();
}

async fn number(desk: &Desk, sql: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&desk.db.pool).await.unwrap()
}

/// A writer of its own on the desk's database and folder.
async fn writer(desk: &Desk) -> ProblemFiles {
    let objects = parselog::objects::FolderStore::open(&desk.home.path().join("objects")).unwrap();
    let spool = Spool::open(&desk.home.path().join("spool"), 1 << 20).unwrap();
    let scratch = desk.home.path().join("scratch");
    let objects = parselog::objects::Objects::Folder(objects);
    ProblemFiles::new(&System::new(desk.db.pool.clone(), objects, spool, scratch), Duration::ZERO)
}

#[tokio::test]
async fn a_drained_worker_has_written_a_row_for_each_run_and_kind_of_problem() {
    let desk = Desk::new().await;
    submit(&desk, &["WI", "OH"]);
    desk.ok(&["worker", "--drain"]);
    let [path] = &files(&desk)[..] else { panic!("{:?}", files(&desk)) };
    assert!(path.contains(PLACE) && path.ends_with(".parquet"), "{path}");
    let runs = read(path);
    assert_eq!((counted(&desk), runs.len()), (18, 2));
    let report = desk.ok(&["problems", "--json", "--top", "1000", "--state", "WI"]).json();
    assert!(runs.values().all(|(problems, rows)| (*problems, *rows) == (9, report.len())), "{runs:?}");

    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    let mut states: Vec<String> = Vec::new();
    let run = &desk.ok(&["runs", "--json", "--state", "WI"]).json()[0];
    for row in reader.get_row_iter(None).unwrap() {
        let row = row.unwrap();
        states.push(row.get_string(5).unwrap().clone());
        if row.get_string(0).unwrap() == run["id"].as_str().unwrap() {
            assert_eq!(row.get_long(1).unwrap(), run["data_file_id"].as_i64().unwrap());
            assert_eq!((row.get_int(3).unwrap(), row.get_string(4).unwrap().as_str()), (1, "active"));
            let started = chrono::DateTime::parse_from_rfc3339(run["started_at"].as_str().unwrap()).unwrap();
            assert_eq!(row.get_timestamp_micros(6).unwrap(), started.timestamp_micros());
        }
    }
    states.sort();
    states.dedup();
    assert_eq!(states, ["OH", "WI"]);

    // Nothing changed, so nothing is written.
    let versions = || desk.files("objects/files/.versions/problems");
    let before = versions();
    assert_eq!(before.len(), 1);
    desk.ok(&["worker", "--drain"]);
    assert_eq!(versions(), before);
    // Of what changed, no older version is left.
    submit(&desk, &["CA"]);
    desk.ok(&["worker", "--drain"]);
    assert_eq!((sum(path), versions().len(), versions() == before), (27, 1, false));
    assert_eq!(desk.files("scratch").len(), 0);
}

#[tokio::test]
async fn no_column_of_a_file_holds_a_text_of_a_submission() {
    let desk = Desk::new().await;
    submit(&desk, &["WI"]);
    desk.ok(&["worker", "--drain"]);
    let reader = SerializedFileReader::new(File::open(&files(&desk)[0]).unwrap()).unwrap();
    let schema = reader.metadata().file_metadata().schema();
    let columns: Vec<&str> = schema.get_fields().iter().map(|column| column.name()).collect();
    // A new column has to be one that no private value can get into.
    let names_numbers_and_times = [
        "run",
        "file",
        "reparse",
        "attempt",
        "section",
        "state",
        "started",
        "archived",
        "category",
        "record_type",
        "item",
        "field",
        "deprecated",
        "problems",
    ];
    assert_eq!(columns, names_numbers_and_times);
}

#[tokio::test]
async fn a_run_without_problems_has_a_row_without_a_kind() {
    let desk = Desk::new().await;
    submit(&desk, &["WI"]);
    desk.ok(&["worker", "--drain"]);
    let run = desk.ok(&["runs", "--json"]).json()[0]["id"].as_str().unwrap().parse().unwrap();
    assert!(parselog::store::problem::count(&desk.db.pool, run, &[]).await.unwrap());
    desk.ok(&["worker", "--drain"]);
    let path = &files(&desk)[0];
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
    assert_eq!((rows.len(), rows[0].get_long(13).unwrap()), (1, 0));
    let kind: Vec<String> =
        rows[0].get_column_iter().map(|(name, value)| format!("{name} {value}")).collect();
    assert_eq!(
        kind[8..13],
        ["category null", "record_type null", "item null", "field null", "deprecated null"]
    );
}

#[tokio::test]
async fn an_erased_and_a_pruned_run_are_in_no_file_and_no_version_when_the_command_returns() {
    let desk = Desk::new().await;
    submit(&desk, &["WI", "OH", "CA"]);
    desk.ok(&["worker", "--drain"]);
    let path = files(&desk)[0].clone();
    assert_eq!(sum(&path), 27);
    let run = desk.ok(&["runs", "--json", "--state", "OH"]).json()[0]["id"].as_str().unwrap().to_owned();
    desk.ok(&["erase", &run, "--yes"]);
    let left = read(&path);
    assert!(left.len() == 2 && !left.contains_key(&run), "{left:?}");
    assert_eq!(desk.files("objects/files/.versions/problems").len(), 1);
    desk.ok(&["prune", "--older-than", "0s", "--force", "--yes"]);
    assert!(files(&desk).is_empty() && desk.files("objects/files/.versions/problems").is_empty());
    assert_eq!(number(&desk, "select count(*) from problem_file_run").await, 0);
    // The next run makes the file again.
    submit(&desk, &["ND"]);
    desk.ok(&["worker", "--drain"]);
    assert_eq!(sum(&path), 9);
}

#[tokio::test]
async fn an_erasure_waits_for_who_writes_the_file_and_writes_it_again() {
    let desk = Desk::new().await;
    submit(&desk, &["WI", "OH"]);
    desk.ok(&["worker", "--drain"]);
    // Another worker has begun to write it, and dies.
    let lease =
        "update problem_file set changes = changes + 1, due_at = now(), lease_token = gen_random_uuid(),
                 lease_until = now() + interval '2 seconds'";
    execute(&desk, lease).await;
    let run = desk.ok(&["runs", "--json", "--state", "OH"]).json()[0]["id"].as_str().unwrap().to_owned();
    desk.ok(&["erase", &run, "--yes"]);
    assert!(!read(&files(&desk)[0]).contains_key(&run));
    // The dead one might have been slow, so the file is written once more when that is over.
    let later = "select count(*) from problem_file where lease_token is null and due_at > now() + interval '30 seconds'";
    assert_eq!(number(&desk, later).await, 1);
}

#[tokio::test]
async fn a_backfill_writes_the_files_of_what_was_counted_before_there_were_files() {
    let desk = Desk::new().await;
    submit(&desk, &["WI", "OH", "CA"]);
    desk.ok(&["worker", "--drain", "--problem-files", "off"]);
    assert!(files(&desk).is_empty());
    // A database of before; and one of the runs began long ago.
    let run = desk.ok(&["runs", "--json", "--state", "CA"]).json()[0]["id"].as_str().unwrap().to_owned();
    execute(
        &desk,
        &format!(
            "update parse_file_meta set started_at = '2026-01-31 23:59Z' where id = '{run}';
             select uncount_problems('{run}'); update log set is_counted = false where id = '{run}';
             delete from problem_change; delete from problem_file_run; delete from problem_file"
        ),
    )
    .await;
    let said = desk.ok(&["problems", "--backfill", "--json"]).json();
    assert_eq!(said, [serde_json::json!({"counted": 1, "failed": 0, "files": 2})]);
    let paths = files(&desk);
    assert!(paths.len() == 2 && paths[0].ends_with("quarter=1/2026-01.parquet"), "{paths:?}");
    assert_eq!(paths.iter().map(|path| sum(path)).collect::<Vec<_>>(), [9, 18]);
    assert_eq!(paths.iter().map(|path| sum(path)).sum::<i64>(), counted(&desk));
    // It makes anew what somebody removed.
    fs::remove_file(&paths[0]).unwrap();
    assert_eq!(desk.ok(&["problems", "--backfill"]).out.trim(), "0 logs counted, 2 files written");
    assert_eq!(files(&desk), paths);
    // What is known only since then is taken away too.
    desk.ok(&["prune", "--older-than", "0s", "--force", "--yes"]);
    assert!(files(&desk).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_at_once_write_each_file_whole_and_none_twice() {
    let desk = Desk::new().await;
    submit(&desk, &["WI", "OH"]);
    desk.ok(&["worker", "--drain", "--problem-files", "off"]);
    let (one, other) = (writer(&desk).await, writer(&desk).await);
    for turn in 0..10 {
        let change = "insert into problem_change (file_id) select id from problem_file";
        execute(&desk, change).await;
        let (one, other) = tokio::join!(one.write_due(true, |_| {}), other.write_due(true, |_| {}));
        let written = one.unwrap() + other.unwrap();
        assert!(written <= 2, "round {turn}: {written}");
        writer(&desk).await.write_due(true, |_| {}).await.unwrap();
        assert_eq!((sum(&files(&desk)[0]), files(&desk).len()), (18, 1), "round {turn}");
        assert_eq!(number(&desk, "select count(*) from problem_change").await, 0);
        assert_eq!(number(&desk, "select count(*) from problem_file where due_at is not null").await, 0);
    }
}

#[tokio::test]
async fn what_changes_while_a_file_is_written_makes_it_due_again() {
    let desk = Desk::new().await;
    submit(&desk, &["WI"]);
    desk.ok(&["worker", "--drain"]);
    execute(&desk, "insert into problem_change (file_id) select id from problem_file").await;
    // The change of another run comes in after the claim.
    execute(
        &desk,
        "create function claimed_before() returns trigger language plpgsql as $$
         begin update problem_file set changes = changes + 1; return new; end $$;
         create trigger claimed_before after update of tried_at on problem_file
         for each row execute function claimed_before()",
    )
    .await;
    assert_eq!(writer(&desk).await.write_due(true, |_| {}).await.unwrap(), 1);
    assert_eq!(number(&desk, "select count(*) from problem_file where due_at is not null").await, 1);
}

#[tokio::test]
async fn a_file_that_can_not_be_written_is_named_by_the_doctor_until_it_is() {
    let desk = Desk::new().await;
    submit(&desk, &["WI"]);
    let blocked = desk.path("objects/files/problems");
    fs::create_dir_all(desk.path("objects/files")).unwrap();
    fs::write(&blocked, "in the way").unwrap();
    let said = desk.ok(&["worker", "--drain"]);
    assert!(said.err.contains("the next worker writes the Parquet files"), "{}", said.err);
    let doctor = desk.run(&["doctor", "--json"]);
    let findings: Vec<Value> = doctor.json();
    let codes: Vec<&str> = findings.iter().filter_map(|finding| finding["kind"].as_str()).collect();
    assert_eq!((doctor.code, codes), (1, vec!["problems-unwritten"]), "{}", doctor.out);
    let what = findings[0]["what"].as_str().unwrap();
    assert!(
        what.starts_with("the problems of tanf 2021 Q1 in 20") && what.contains("after 1 try: "),
        "{what}"
    );
    fs::remove_file(&blocked).unwrap();
    desk.ok(&["problems", "--backfill"]);
    assert_eq!((sum(&files(&desk)[0]), desk.run(&["doctor"]).code), (9, 0));
}

#[tokio::test]
async fn in_s3_no_version_of_a_file_is_left_that_has_an_erased_run() {
    for status in [Some(BucketVersioningStatus::Enabled), Some(BucketVersioningStatus::Suspended), None] {
        let (desk, bucket) = (Desk::new().await, localstack::bucket_versioned(status.clone()).await);
        let ok = |arguments: &[&str]| {
            let mut command = desk.command(arguments);
            command.env("PARSELOG_BUCKET", &bucket.name).env("AWS_ENDPOINT_URL", localstack::endpoint());
            let said = Said::of(command.output().unwrap());
            assert_eq!(said.code, 0, "{status:?}: {}{}", said.out, said.err);
            said
        };
        for state in ["WI", "OH"] {
            let file = desk.file(&format!("{state}.txt"), &sample_text(FIRST));
            ok(&["submit", "--state", state, &file]);
        }
        ok(&["worker", "--drain"]);
        ok(&["problems", "--backfill"]);
        let listed = async || {
            let listed = bucket
                .sdk
                .list_object_versions()
                .bucket(&bucket.name)
                .prefix("problems/")
                .send()
                .await
                .unwrap();
            assert!(listed.delete_markers().is_empty(), "{status:?}");
            listed.versions().iter().map(|version| version.key().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let [key] = &listed().await[..] else { panic!("{status:?}: {:?}", listed().await) };
        let read_it = async || {
            let got = bucket.sdk.get_object().bucket(&bucket.name).key(key).send().await.unwrap();
            let path = desk.path("got.parquet");
            fs::write(&path, got.body.collect().await.unwrap().into_bytes()).unwrap();
            read(&path)
        };
        assert_eq!(read_it().await.len(), 2);
        let runs = ok(&["runs", "--json"]).json();
        ok(&["erase", runs[0]["id"].as_str().unwrap(), "--yes"]);
        let left: Vec<String> = read_it().await.into_keys().collect();
        assert_eq!((left, listed().await.len()), (vec![runs[1]["id"].as_str().unwrap().to_owned()], 1));
        ok(&["erase", runs[1]["id"].as_str().unwrap(), "--yes"]);
        assert!(listed().await.is_empty(), "{status:?}");
    }
}
