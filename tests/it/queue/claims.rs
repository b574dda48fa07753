//! Who gets a run: order, one at a time, and never twice.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use parselog::carry;
use parselog::queue::{self, Claimant};
use parselog::store::{self, NewFile, Request, RunFilter, RunStatus};
use tokio::sync::Barrier;

use super::{runs_of, success, until_somebody_waits_for_a_lock};
use crate::support::{TestDb, claimant, new_file, outcome, request_by};

#[tokio::test]
async fn a_claimed_run_carries_what_the_worker_needs_and_ends_with_its_outcome() {
    let db = TestDb::new().await;
    let queued = db.submit(&["a.txt"]).await.remove(0);
    let claimed = db.claim("w").await.unwrap();
    assert_eq!(claimed.run.id, queued.run_id);
    assert_eq!(claimed.run.status, RunStatus::Running);
    assert_eq!((claimed.run.key.as_str(), claimed.run.version_id.as_str()), ("a.txt", "v1"));
    assert_eq!(claimed.run.worker.as_deref(), Some("w"));
    assert!(claimed.run.deadline > claimed.run.started_at);
    assert!(db.claim("w").await.is_none(), "a run is claimed once");

    db.finish(&claimed, success()).await;
    let run = db.run(claimed.run.id).await;
    assert_eq!(run.status, RunStatus::Success);
    let expected = outcome();
    assert_eq!(run.summary_status, Some(expected.summary));
    assert_eq!((run.records_in_file, run.records_created, run.error_count), (Some(5), Some(4), Some(3)));
    assert_eq!(run.error_counts.unwrap().0, expected.errors);
    assert_eq!(run.errors_by_month.unwrap().0, expected.errors_by_month);
    assert_eq!(run.cases.unwrap().0, expected.cases);
    assert_eq!(run.created_by_type.unwrap().0, expected.created_by_type);
    assert_eq!(
        (run.first_error_record, run.first_error.as_deref()),
        (Some(3), Some("item 4 must be a number"))
    );
    assert_eq!((run.failure, run.lease_until), (None, None));
    assert_eq!(db.actions(run.id).await, ["run", "success"]);
    assert_eq!(runs_of(&db, run.data_file_id).await.len(), 1);
}

#[tokio::test]
async fn lower_priority_numbers_go_first_then_the_earlier_due_and_nothing_before_its_time() {
    let db = TestDb::new().await;
    let now = db.run(db.submit(&["ordinary.txt"]).await[0].run_id).await.queued_at;
    let submit = async |key: &str, priority, after: i64| {
        let request = Request {
            priority,
            run_after: Some(now + chrono::Duration::seconds(after)),
            ..request_by("ann")
        };
        store::submit(&db.pool, &[new_file(key)], &request).await.unwrap();
    };
    submit("earlier.txt", 100, -10).await;
    submit("urgent.txt", 1, 0).await;
    submit("reparse.txt", 200, -100).await;
    submit("later.txt", 1, 3600).await;
    let mut order = Vec::new();
    while let Some(claimed) = db.claim("w").await {
        order.push(claimed.run.key);
    }
    assert_eq!(order, ["urgent.txt", "earlier.txt", "ordinary.txt", "reparse.txt"]);
}

#[tokio::test]
async fn a_busy_file_does_not_starve_the_others() {
    let db = TestDb::new().await;
    for _ in 0..50 {
        db.submit(&["busy.txt"]).await;
    }
    db.submit(&["free.txt"]).await;
    let busy = db.claim("w").await.unwrap();
    assert_eq!(busy.run.key, "busy.txt");
    assert_eq!(db.claim("w").await.unwrap().run.key, "free.txt");
    assert!(db.claim("w").await.is_none());
    db.finish(&busy, success()).await;
    assert_eq!(db.claim("w").await.unwrap().run.key, "busy.txt");
}

#[tokio::test]
async fn a_run_can_be_claimed_by_name() {
    let db = TestDb::new().await;
    db.submit(&["first.txt"]).await;
    let second = db.submit(&["second.txt"]).await.remove(0).run_id;
    let claimed = queue::claim_run(&db.pool, &claimant("w"), second).await.unwrap().unwrap();
    assert_eq!(claimed.run.id, second);
    assert!(queue::claim_run(&db.pool, &claimant("w"), second).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_racing_workers_never_run_one_file_twice_at_once() {
    const ROUNDS: usize = 40;
    let db = Arc::new(TestDb::new().await);
    for _ in 0..ROUNDS {
        db.submit(&["a.txt"]).await;
    }
    let barrier = Arc::new(Barrier::new(2));
    let racers = ["w1", "w2"].map(|worker| {
        let (db, barrier) = (Arc::clone(&db), Arc::clone(&barrier));
        carry::spawn(async move {
            let mut won = Vec::new();
            for _ in 0..ROUNDS {
                barrier.wait().await;
                let claimed = db.claim(worker).await;
                barrier.wait().await;
                if let Some(claimed) = claimed {
                    db.finish(&claimed, success()).await;
                    won.push(claimed.run.id);
                }
            }
            won
        })
    });
    let mut won = Vec::new();
    for racer in racers {
        won.extend(racer.await.unwrap());
    }
    assert_eq!(won.len(), ROUNDS, "each round has one winner");
    assert_eq!(won.iter().collect::<HashSet<_>>().len(), ROUNDS, "no run was claimed twice");
}

#[tokio::test]
async fn of_two_claims_of_one_file_in_the_same_moment_one_is_let_through() {
    let db = TestDb::new().await;
    for commit in [true, false] {
        let key = format!("{commit}.txt");
        let first = db.submit(&[&key]).await.remove(0).run_id;
        let second = db.submit(&[&key]).await.remove(0).run_id;
        // The first claim is made by hand, and kept open.
        let mut claim = db.pool.begin().await.unwrap();
        sqlx::query(
            "update parse_file_meta set status = 'running', worker = 'w1', lease_token = gen_random_uuid(),
                 lease_until = now() + interval '1 hour', started_at = now(), heartbeat_at = now() where id = $1",
        )
        .bind(first)
        .execute(&mut *claim)
        .await
        .unwrap();
        let (claimed, ()) = tokio::join!(db.claim("w2"), async {
            until_somebody_waits_for_a_lock(&db).await;
            if commit { claim.commit().await.unwrap() } else { claim.rollback().await.unwrap() }
        });
        let expected = if commit { None } else { Some(second) };
        assert_eq!(claimed.map(|claimed| claimed.run.id), expected, "commit: {commit}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_claimers_drain_five_hundred_runs_exactly_once() {
    let db = Arc::new(TestDb::new().await);
    let keys: Vec<String> = (0..250).map(|number| format!("{number}.txt")).collect();
    let files: Vec<NewFile> = keys.iter().map(|key| new_file(key)).collect();
    for _ in 0..2 {
        store::submit(&db.pool, &files, &request_by("ann")).await.unwrap();
    }
    let parsing = Arc::new(Mutex::new(HashSet::new()));
    let barrier = Arc::new(Barrier::new(8));
    let claimers: Vec<_> = (0..8)
        .map(|number| {
            let (db, parsing, barrier) = (Arc::clone(&db), Arc::clone(&parsing), Arc::clone(&barrier));
            carry::spawn(async move {
                let mut done = Vec::new();
                barrier.wait().await;
                loop {
                    let Some(claimed) = db.claim(&format!("w{number}")).await else {
                        let waiting = RunFilter {
                            status: vec![RunStatus::Queued],
                            limit: Some(1),
                            ..Default::default()
                        };
                        match store::latest(&db.pool, &waiting).await.unwrap() {
                            Some(_) => continue,
                            None => return done,
                        }
                    };
                    assert!(parsing.lock().unwrap().insert(claimed.run.data_file_id), "two runs of one file");
                    tokio::task::yield_now().await;
                    parsing.lock().unwrap().remove(&claimed.run.data_file_id);
                    db.finish(&claimed, success()).await;
                    done.push(claimed.run.id);
                }
            })
        })
        .collect();
    let mut done = Vec::new();
    for claimer in claimers {
        done.extend(claimer.await.unwrap());
    }
    assert_eq!(done.len(), 500);
    assert_eq!(done.iter().collect::<HashSet<_>>().len(), 500);
    queue::reap(&db.pool, Duration::ZERO).await.unwrap();
    let unfinished: i64 = sqlx::query_scalar("select count(*) from parse_meta where finished_at is null")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert_eq!(unfinished, 0, "both batches are done");
}

#[tokio::test]
async fn each_claim_has_a_token_and_a_deadline_of_its_own() {
    let db = TestDb::new().await;
    db.submit(&["a.txt", "b.txt"]).await;
    let terms = Claimant { timeout: Duration::from_secs(60), ..claimant("w") };
    let one = queue::claim(&db.pool, &terms).await.unwrap().unwrap();
    let two = queue::claim(&db.pool, &terms).await.unwrap().unwrap();
    assert_ne!(one.lease_token, two.lease_token);
    let deadline = one.run.deadline.unwrap() - one.run.started_at.unwrap();
    assert_eq!(deadline.num_seconds(), 60);
}
