//! Problems across runs: each run counts once, as long as its log is there.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use parselog::archive::ProblemCounter;
use parselog::ids::RunId;
use parselog::redact::Redactor;
use parselog::store::problem::{self, KindCount, ProblemKind};
use serde_json::Value;
use sqlx::AssertSqlSafe;
use tokio::task::JoinSet;

use crate::support::{Desk, TestDb, sample_text};

const FIRST: &str = "tanf-active-2021-q1.txt";

fn problems(desk: &Desk, options: &[&str]) -> Vec<Value> {
    desk.ok(&[&["problems", "--json"], options].concat()).json()
}

fn sum(rows: &[Value]) -> i64 {
    rows.iter().map(|row| row["problems"].as_i64().unwrap()).sum()
}

async fn execute(db: &TestDb, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&db.pool).await.unwrap();
}

/// Parses the shipped sample with nine problems, for a state; returns the run.
fn parse(desk: &Desk, name: &str, state: &str) -> RunId {
    let file = desk.file(name, &sample_text(FIRST));
    let said = desk.ok(&["run", "--json", "--state", state, &file]).json();
    said[0]["id"].as_str().unwrap().parse().unwrap()
}

/// What the days say, and what they must say: the sum of what each run added.
async fn days_and_tallies(db: &TestDb) -> [Vec<(i32, i32, i64, i64)>; 2] {
    let days = "select scope_id, kind_id, runs, problems from problem_day order by 1, 2";
    let tallies = "select scope_id, c.kind_id, count(*), sum(c.problems)::bigint from problem_tally t
                   cross join lateral unnest(t.kinds, t.problems) as c (kind_id, problems) group by 1, 2 order by 1, 2";
    let read = async |sql: &'static str| sqlx::query_as(sql).fetch_all(&db.pool).await.unwrap();
    [read(days).await, read(tallies).await]
}

#[tokio::test]
async fn problems_are_counted_by_what_is_asked_and_once_for_each_run() {
    let desk = Desk::new().await;
    let run = parse(&desk, "a.txt", "WI");
    parse(&desk, "b.txt", "OH");
    desk.ok(&["reparse", "a.txt", "--yes", "--reason", "new rules"]);
    desk.ok(&["worker", "--drain"]);
    let report = desk.ok(&["report", "a.txt", "--format", "json"]);
    let report: Value = serde_json::from_str(&report.out).unwrap();
    let of_one_run = report["summary"]["problems"].as_i64().unwrap();
    let kinds = problems(&desk, &["--top", "100"]);
    assert_eq!((sum(&kinds), of_one_run), (27, 9));
    let family = kinds.iter().find(|row| row["field"] == "FAMILY_TYPE").unwrap();
    assert_eq!(
        (&family["problems"], &family["runs"], &family["state"]),
        (&3.into(), &3.into(), &Value::Null)
    );
    assert_eq!(
        (&family["category"], &family["record_type"], &family["item"]),
        (&2.into(), &"T1".into(), &"12".into())
    );

    let states = problems(&desk, &["--by", "state"]);
    let of = |row: &Value| {
        (row["state"].as_str().unwrap().to_owned(), row["problems"].as_i64(), row["runs"].as_i64())
    };
    let counts: Vec<_> = states.iter().map(of).collect();
    assert_eq!(counts, [("WI".to_owned(), Some(18), Some(2)), ("OH".to_owned(), Some(9), Some(1))]);
    assert_eq!(sum(&problems(&desk, &["--reparse", "none"])), 18);
    assert_eq!(sum(&problems(&desk, &["--reparse", "@latest", "--by", "reparse"])), 9);
    let both = problems(&desk, &["--by", "kind,state", "--state", "OH", "--top", "1"]);
    assert_eq!((both.len(), &both[0]["state"], &both[0]["runs"]), (1, &"OH".into(), &1.into()));
    for (options, expected) in [
        (["--program", "TANF", "--section", "active", "--year", "2021", "--quarter", "1"], 27),
        (["--program", "tanf", "--section", "active", "--year", "2021", "--quarter", "2"], 0),
        (["--program", "ssp", "--section", "active", "--year", "2021", "--quarter", "1"], 0),
    ] {
        assert_eq!(
            sum(&problems(&desk, &[&options[..], &["--top", "100"]].concat())),
            expected,
            "{options:?}"
        );
    }

    // The same log again, as after a killed worker or a lost answer.
    let log = desk.ok(&["logs", &run.to_string(), "--json"]).out;
    let mut counter = ProblemCounter::new(Redactor::default());
    log.lines().for_each(|line| counter.line(line.as_bytes()).unwrap());
    let found = counter.finish();
    for _ in 0..2 {
        assert!(problem::count(&desk.db.pool, run, &found).await.unwrap());
    }
    assert_eq!(problems(&desk, &["--top", "100"]), kinds);
    // A fuller log of the run counts instead of the other.
    let fuller = [KindCount { problems: found[0].problems + 5, ..found[0].clone() }];
    assert!(problem::count(&desk.db.pool, run, &fuller).await.unwrap());
    let fewer = i64::try_from(fuller[0].problems).unwrap() - of_one_run;
    assert_eq!(sum(&problems(&desk, &["--top", "100"])), 27 + fewer);
    let [days, tallies] = days_and_tallies(&desk.db).await;
    assert_eq!(days, tallies);
}

#[tokio::test]
async fn a_log_that_is_erased_or_pruned_takes_its_problems_with_it_and_is_not_counted_again() {
    let desk = Desk::new().await;
    let run = parse(&desk, "a.txt", "WI");
    parse(&desk, "b.txt", "OH");
    desk.ok(&["erase", &run.to_string(), "--yes"]);
    assert_eq!(problems(&desk, &["--by", "state"]).len(), 1);
    let kind = ProblemKind {
        category: 2,
        record_type: "T1".to_owned(),
        item: "12".to_owned(),
        field: "FAMILY_TYPE".to_owned(),
        deprecated: false,
    };
    let again = problem::count(&desk.db.pool, run, &[KindCount { kind, problems: 1 }]).await.unwrap();
    assert!(!again, "an erased log was counted");
    assert_eq!(sum(&problems(&desk, &["--by", "state"])), 9);
    desk.ok(&["prune", "--older-than", "0s", "--force", "--yes"]);
    assert!(problems(&desk, &[]).is_empty());
    let [days, tallies] = days_and_tallies(&desk.db).await;
    assert_eq!((days.len(), tallies.len()), (0, 0));
}

#[tokio::test]
async fn what_was_archived_before_is_counted_from_its_archive_by_a_backfill_that_can_be_repeated() {
    let desk = Desk::new().await;
    let runs = ["WI", "OH", "CA"].map(|state| parse(&desk, &format!("{state}.txt"), state));
    let before = problems(&desk, &["--by", "kind,state", "--top", "100"]);
    execute(&desk.db, "select uncount_problems(id) from log; update log set is_counted = false").await;
    let said = desk.ok(&["problems"]);
    assert!(
        said.err.contains("3 archived logs not counted yet: `parselog problems --backfill`"),
        "{}",
        said.err
    );
    // One of them began long ago.
    execute(
        &desk.db,
        &format!("update parse_file_meta set started_at = '2026-01-31 23:59Z' where id = '{}'", runs[2]),
    )
    .await;
    let archive: Vec<String> =
        desk.files("objects").into_iter().filter(|path| path.contains(&runs[1].to_string())).collect();
    let away = |nth: usize| desk.path(&format!("away-{nth}"));
    archive.iter().enumerate().for_each(|(nth, path)| std::fs::rename(path, away(nth)).unwrap());
    let said = desk.run(&["problems", "--backfill"]);
    assert_eq!(
        (said.code, said.out.trim()),
        (1, "2 logs counted, 1 failed, 2 files written"),
        "{}",
        said.err
    );
    assert!(said.err.contains(&format!("run {} is not counted", runs[1])), "{}", said.err);
    archive.iter().enumerate().for_each(|(nth, path)| std::fs::rename(away(nth), path).unwrap());
    for expected in ["1 log counted, 2 files written", "0 logs counted, 2 files written"] {
        assert_eq!(desk.ok(&["problems", "--backfill"]).out.trim(), expected);
    }
    let after = problems(&desk, &["--by", "kind,state", "--top", "100"]);
    let known = |rows: &[Value]| {
        let mut rows = rows.to_vec();
        for row in &mut rows {
            row.as_object_mut().unwrap().retain(|key, _| !key.ends_with("_seen"));
        }
        rows
    };
    assert_eq!(known(&after), known(&before));

    let old = problems(&desk, &["--by", "state", "--until", "2026-01-31"]);
    assert_eq!((old.len(), &old[0]["state"]), (1, &"CA".into()));
    let kinds = problems(&desk, &["--top", "100"]);
    assert!(kinds.iter().all(|row| row["first_seen"] == "2026-01-31" && row["last_seen"] != "2026-01-31"));
    assert_eq!(sum(&problems(&desk, &["--since", "2026-02-01", "--top", "100"])), 18);
}

#[tokio::test]
async fn what_the_database_does_not_count_now_is_counted_by_the_sweep() {
    let desk = Desk::new().await;
    execute(
        &desk.db,
        "alter function count_problems rename to count_problems_later;
         create function count_problems(uuid, jsonb) returns boolean language plpgsql
         as $$ begin raise 'not now' using errcode = 'serialization_failure'; end $$",
    )
    .await;
    parse(&desk, "a.txt", "WI");
    let row = &desk.ok(&["runs", "--json"]).json()[0];
    assert!(row["logs_uri"].is_string() && row["log_state"] == "archived", "{row}");
    let spooled = || desk.files("spool").into_iter().filter(|path| !path.ends_with(".id")).count();
    assert!(spooled() > 0 && problems(&desk, &[]).is_empty());
    execute(
        &desk.db,
        "drop function count_problems; alter function count_problems_later rename to count_problems",
    )
    .await;
    desk.ok(&["worker", "--drain"]);
    assert_eq!((spooled(), sum(&problems(&desk, &["--top", "100"]))), (0, 9));
}

#[tokio::test]
async fn the_days_are_the_sum_of_the_runs_however_many_count_at_once() {
    let desk = Desk::new().await;
    let runs: Vec<RunId> = (0..6).map(|nth| parse(&desk, &format!("{nth}.txt"), "WI")).collect();
    execute(&desk.db, "select uncount_problems(id) from log").await;
    let mut counting = JoinSet::new();
    for round in 0..8_u64 {
        for (nth, run) in runs.iter().copied().enumerate() {
            let pool = desk.db.pool.clone();
            counting.spawn(async move {
                // Kinds that nobody had before, in no order.
                let kind = |number: u64| ProblemKind {
                    category: 3,
                    record_type: "T1".to_owned(),
                    item: String::new(),
                    field: format!("F{number}"),
                    deprecated: false,
                };
                let numbers = (0..20).map(|n| (n * 7 + round + nth as u64) % 40);
                let found: Vec<_> =
                    numbers.map(|number| KindCount { kind: kind(number), problems: number + 1 }).collect();
                problem::count(&pool, run, &found).await.unwrap();
            });
        }
    }
    counting.join_all().await;
    let [days, tallies] = days_and_tallies(&desk.db).await;
    assert_eq!(days, tallies);
    assert_eq!(
        days.iter().filter(|(_, kind, ..)| *kind == 0).map(|(.., runs, _)| *runs).collect::<Vec<_>>(),
        [6]
    );
}

#[test]
fn what_is_no_name_or_private_is_counted_without_it() {
    let mut counter = ProblemCounter::new(Redactor::default());
    for fields in [
        r#""item":"12","field":"FAMILY_TYPE","month":"202010""#,
        r#""item":12,"field":"FAMILY_TYPE","case":3"#,
        r#""item":"12","field":"Mary Miller""#,
        r#""item":"12","field":"123-45-6789""#,
    ] {
        let line = format!(
            r#"{{"timestamp":"2026-11-21T06:30:23.123456Z","seq":7,"level":"WARN","target":"parselog::problem","message":"Mary's number is 123-45-6789","record":4,"fields":{{"category":2,"record_type":"T1",{fields}}}}}"#
        );
        counter.line(line.as_bytes()).unwrap();
    }
    counter.line(b"no record\n").unwrap();
    let found = counter.finish();
    let kinds: Vec<_> = found.iter().map(|one| (one.kind.field.as_str(), one.problems)).collect();
    assert_eq!(kinds, [("", 2), ("FAMILY_TYPE", 2)]);
    assert!(found.iter().all(|one| (&*one.kind.record_type, &*one.kind.item) == ("T1", "12")));
}

#[tokio::test]
async fn the_tables_of_problems_take_names_alone() {
    let db = TestDb::new().await;
    for field in ["Mary Miller", "a\nb", &"x".repeat(65)] {
        let sql = "insert into problem_kind (category, record_type, item, field, deprecated) values (2, '', '', $1, false)";
        assert!(sqlx::query(sql).bind(field).execute(&db.pool).await.is_err(), "{field:?}");
    }
}
