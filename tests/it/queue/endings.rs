//! How runs end: verdicts, retries, leases that run out, and results that come too late.

use std::time::{Duration, Instant};

use parselog::ids::RunId;
use parselog::queue::{self, Cancelled, Ending, Finished};
use parselog::store::{self, RunStatus};
use uuid::Uuid;

use super::{failure, runs_of, success, until_somebody_waits_for_a_lock};
use crate::support::{PATIENCE, TestDb};

#[tokio::test]
async fn a_failure_is_tried_again_after_a_growing_pause_until_the_attempts_are_used_up() {
    let db = TestDb::new().await;
    let file = db.submit(&["a.txt"]).await.remove(0).data_file_id;
    for (attempt, pause) in [(1, Some(10)), (2, Some(20)), (3, None)] {
        let claimed = db.claim("w").await.unwrap();
        assert_eq!(claimed.run.attempt, attempt);
        db.finish(&claimed, failure()).await;
        let last = runs_of(&db, file).await.pop().unwrap();
        match pause {
            Some(seconds) => {
                assert_eq!((last.status, last.attempt), (RunStatus::Queued, attempt + 1));
                assert_eq!((last.run_after - last.queued_at).num_seconds(), seconds);
                assert!(db.claim("w").await.is_none(), "not before the pause is over");
                assert_eq!(db.entries(claimed.run.id).await.last().unwrap(), "retry-queued");
            }
            None => assert_eq!((last.id, last.status), (claimed.run.id, RunStatus::Fail)),
        }
        db.make_due().await;
    }
    assert!(db.claim("w").await.is_none());
    let runs = runs_of(&db, file).await;
    assert_eq!(runs.len(), 3);
    assert!(runs.iter().all(|run| run.failure.as_deref() == Some("it broke")));
}

#[tokio::test]
async fn an_ending_without_retry_is_the_last() {
    let db = TestDb::new().await;
    let endings = [
        Ending::Fail { reason: "no such object".to_owned(), retry: false },
        Ending::Terminate { reason: "past its deadline".to_owned() },
    ];
    for ending in endings {
        let file = db.submit(&["a.txt"]).await.remove(0).data_file_id;
        let before = runs_of(&db, file).await.len();
        let claimed = db.claim("w").await.unwrap();
        db.finish(&claimed, ending.clone()).await;
        let runs = runs_of(&db, file).await;
        assert_eq!((runs.len(), runs[before - 1].status), (before, ending.status()));
        assert_eq!(db.actions(claimed.run.id).await, ["run", ending.status().as_str()]);
    }
}

#[tokio::test]
async fn a_run_that_is_handed_back_costs_no_attempt_and_waits_for_nothing() {
    let db = TestDb::new().await;
    db.submit(&["a.txt"]).await;
    let first = db.claim("w1").await.unwrap();
    db.finish(&first, Ending::HandBack).await;
    let second = db.claim("w2").await.expect("it is due at once");
    assert_eq!(db.run(first.run.id).await.status, RunStatus::Terminate);
    assert_eq!(db.entries(first.run.id).await, ["submitted", "handed-back"]);
    assert_eq!(second.run.max_attempts - second.run.attempt, first.run.max_attempts - first.run.attempt);
    assert_eq!(second.run.batch_id, first.run.batch_id);
}

#[tokio::test]
async fn an_expired_lease_ends_in_a_crash_and_a_new_attempt_that_is_due_at_once() {
    let db = TestDb::new().await;
    let file = db.submit(&["a.txt"]).await.remove(0).data_file_id;
    let dead = db.claim_and_die("w1").await;
    assert_eq!(queue::reap(&db.pool, Duration::ZERO).await.unwrap(), [dead.run.id]);
    assert!(queue::reap(&db.pool, Duration::ZERO).await.unwrap().is_empty());
    assert_eq!(db.actions(dead.run.id).await, ["run", "crash"]);
    let runs = runs_of(&db, file).await;
    assert_eq!((runs[0].status, runs[1].status, runs[1].attempt), (RunStatus::Crash, RunStatus::Queued, 2));
    assert_eq!(db.claim("w2").await.expect("its machine is gone").run.id, runs[1].id);
}

#[tokio::test]
async fn a_file_that_kills_its_workers_does_not_do_so_for_ever() {
    let db = TestDb::new().await;
    let file = db.submit(&["poison.txt"]).await.remove(0).data_file_id;
    for _ in 0..3 {
        db.claim_and_die("w").await;
        assert_eq!(queue::reap(&db.pool, Duration::ZERO).await.unwrap().len(), 1);
    }
    assert!(db.claim("w").await.is_none());
    let runs = runs_of(&db, file).await;
    assert_eq!(runs.iter().map(|run| run.status).collect::<Vec<_>>(), [RunStatus::Crash; 3]);
    let batch = store::batch::get(&db.pool, runs[0].batch_id).await.unwrap().unwrap();
    assert!(batch.finished_at.is_some());
}

#[tokio::test]
async fn a_lease_that_runs_is_left_alone() {
    let db = TestDb::new().await;
    db.submit(&["a.txt"]).await;
    let claimed = db.claim("w").await.unwrap();
    assert!(queue::reap(&db.pool, Duration::ZERO).await.unwrap().is_empty());
    db.finish(&claimed, success()).await;
}

#[tokio::test]
async fn a_heartbeat_that_comes_while_its_run_is_reaped_keeps_the_run() {
    let db = TestDb::new().await;
    db.submit(&["a.txt"]).await;
    let claimed = db.claim_and_die("w").await;
    let mut beat = db.pool.begin().await.unwrap();
    sqlx::query("update parse_file_meta set lease_until = now() + interval '1 hour' where id = $1")
        .bind(claimed.run.id)
        .execute(&mut *beat)
        .await
        .unwrap();
    // The reaper sees the lease that was, and then waits for the heartbeat.
    let (reaped, ()) = tokio::join!(queue::reap(&db.pool, Duration::ZERO), async {
        until_somebody_waits_for_a_lock(&db).await;
        beat.commit().await.unwrap();
    });
    assert!(reaped.unwrap().is_empty());
    db.finish(&claimed, success()).await;
}

#[tokio::test]
async fn nothing_is_reaped_over_a_young_connection() {
    let db = TestDb::new().await;
    db.submit(&["a.txt"]).await;
    db.claim_and_die("w").await;
    assert!(queue::reap(&db.pool, Duration::from_secs(3600)).await.unwrap().is_empty());

    let grace = Duration::from_secs(1);
    let began = Instant::now();
    let fresh = store::connect(&db.url(), "parselog-test").await.unwrap();
    while queue::reap(&fresh, grace).await.unwrap().is_empty() {
        assert!(began.elapsed() < PATIENCE, "the connection never became old enough");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(began.elapsed() >= grace, "reaped after {:?}", began.elapsed());
}

#[tokio::test]
async fn a_worker_whose_lock_is_free_is_given_up_before_its_lease_is_over() {
    let db = TestDb::new().await;
    let file = db.submit(&["a.txt"]).await.remove(0).data_file_id;
    let claimed = db.claim("w").await.unwrap();
    assert_eq!(queue::crashed(&db.pool, claimed.run.id).await.unwrap(), Finished::Yes);
    assert_eq!(queue::crashed(&db.pool, claimed.run.id).await.unwrap(), Finished::Fenced);
    let runs = runs_of(&db, file).await;
    assert_eq!((runs.len(), (runs[1].run_after - runs[1].queued_at).num_seconds()), (2, 10));
}

#[tokio::test]
async fn a_finish_that_comes_too_late_is_refused_and_changes_nothing() {
    let db = TestDb::new().await;
    let file = db.submit(&["a.txt"]).await.remove(0).data_file_id;
    let dead = db.claim_and_die("zombie").await;
    queue::reap(&db.pool, Duration::ZERO).await.unwrap();
    let before = runs_of(&db, file).await;
    for ending in [success(), failure(), Ending::HandBack] {
        let finished = queue::finish(&db.pool, dead.run.id, dead.lease_token, &ending).await.unwrap();
        assert_eq!(finished, Finished::Fenced);
    }
    assert_eq!(runs_of(&db, file).await, before);
    assert_eq!(db.actions(dead.run.id).await, ["run", "crash"]);
    assert_eq!(db.entries(dead.run.id).await[2..], ["fenced", "fenced", "fenced"]);

    db.make_due().await;
    let second = db.claim("w2").await.unwrap();
    let finished = queue::finish(&db.pool, second.run.id, dead.lease_token, &success()).await.unwrap();
    assert_eq!(finished, Finished::Fenced, "another claim's token opens nothing");
    db.finish(&second, success()).await;
}

#[tokio::test]
async fn a_finish_can_be_repeated_after_a_lost_answer() {
    let db = TestDb::new().await;
    let file = db.submit(&["a.txt"]).await.remove(0).data_file_id;
    let claimed = db.claim("w").await.unwrap();
    db.finish(&claimed, failure()).await;
    db.finish(&claimed, failure()).await;
    assert_eq!(runs_of(&db, file).await.len(), 2, "one retry, not two");
    assert_eq!(db.actions(claimed.run.id).await, ["run", "fail"]);
    let unknown = queue::finish(&db.pool, RunId::new(), Uuid::new_v4(), &success()).await.unwrap();
    assert_eq!(unknown, Finished::Fenced);
}

#[tokio::test]
async fn a_heartbeat_prolongs_what_is_ours_and_leaves_out_what_is_not() {
    let db = TestDb::new().await;
    db.submit(&["a.txt", "b.txt", "c.txt"]).await;
    let ours = db.claim("w").await.unwrap();
    let cancelled = db.claim("w").await.unwrap();
    let lost = db.claim_and_die("w").await;
    queue::reap(&db.pool, Duration::ZERO).await.unwrap();
    assert_eq!(queue::cancel(&db.pool, cancelled.run.id, "ann").await.unwrap(), Cancelled::Requested);

    let mine: Vec<_> = [&ours, &cancelled, &lost].map(|run| (run.run.id, run.lease_token)).into();
    let mut beats = queue::heartbeat(&db.pool, &mine, Duration::from_secs(7200)).await.unwrap();
    beats.sort_by_key(|beat| beat.run);
    let beats: Vec<_> = beats.iter().map(|beat| (beat.run, beat.cancel_requested)).collect();
    assert_eq!(beats, [(ours.run.id, false), (cancelled.run.id, true)]);
    assert!(db.run(ours.run.id).await.lease_until > ours.run.lease_until);
    assert!(queue::heartbeat(&db.pool, &[], Duration::ZERO).await.unwrap().is_empty());
    let wrong = [(ours.run.id, Uuid::new_v4())];
    assert!(queue::heartbeat(&db.pool, &wrong, Duration::from_secs(9)).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_queued_run_is_cancelled_at_once_and_a_running_one_is_asked() {
    let db = TestDb::new().await;
    let queued = db.submit(&["a.txt"]).await.remove(0).run_id;
    assert_eq!(queue::cancel(&db.pool, queued, "ann").await.unwrap(), Cancelled::BeforeStart);
    assert_eq!(
        queue::cancel(&db.pool, queued, "ann").await.unwrap(),
        Cancelled::HadEnded(RunStatus::Inaction)
    );
    assert!(db.claim("w").await.is_none());
    assert_eq!(db.actions(queued).await, ["inaction"]);
    assert_eq!(db.entries(queued).await, ["submitted", "cancel-requested"]);

    let file = db.submit(&["b.txt"]).await.remove(0).data_file_id;
    let running = db.claim("w").await.unwrap();
    for _ in 0..2 {
        assert_eq!(queue::cancel(&db.pool, running.run.id, "ann").await.unwrap(), Cancelled::Requested);
    }
    assert_eq!(db.entries(running.run.id).await, ["submitted", "cancel-requested"]);
    assert_eq!(db.run(running.run.id).await.cancel_requested_by.as_deref(), Some("ann"));
    // What was cancelled is not tried again, whatever becomes of it.
    db.finish(&running, failure()).await;
    assert_eq!(runs_of(&db, file).await.len(), 1);
    assert_eq!(queue::cancel(&db.pool, RunId::new(), "ann").await.unwrap(), Cancelled::Unknown);
}

#[tokio::test]
async fn a_reparse_is_named_on_the_run_and_its_retries() {
    let db = TestDb::new().await;
    let file = db.submit(&["a.txt"]).await.remove(0).data_file_id;
    let first = db.claim("w").await.unwrap();
    db.finish(&first, success()).await;
    let reparse: i64 = sqlx::query_scalar(
        "with b as (insert into parse_meta (kind, requested_by, selection) values ('reparse', 'bob', '{}') returning id)
         insert into parse_file_meta (data_file_id, batch_id, kind, priority)
         select $1, id, 'reparse', 200 from b returning reparse_id",
    )
    .bind(file)
    .fetch_one(&db.pool)
    .await
    .unwrap();
    let again = db.claim("w").await.unwrap();
    assert_eq!(again.run.reparse_id.map(|id| id.0), Some(reparse));
    db.finish(&again, failure()).await;
    let retry = runs_of(&db, file).await.pop().unwrap();
    assert_eq!((retry.reparse_id, retry.attempt, retry.priority), (again.run.reparse_id, 2, 200));
    let filter = store::action::ActionFilter { task: Some("reparse".to_owned()), ..Default::default() };
    assert_eq!(store::action::list(&db.pool, &filter).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_ends_the_last_run_of_a_batch_marks_the_batch_though_two_end_at_once() {
    let db = TestDb::new().await;
    for last in ["b.txt", "cancelled.txt"] {
        let queued = db.submit(&["a.txt", last]).await;
        let one = db.claim("one").await.unwrap();
        if last == "cancelled.txt" {
            db.finish(&one, success()).await;
            queue::cancel(&db.pool, queued[1].run_id, "ann").await.unwrap();
        } else {
            let other = db.claim("other").await.unwrap();
            tokio::join!(db.finish(&one, success()), db.finish(&other, success()));
        }
        let batch = store::batch::get(&db.pool, one.run.batch_id).await.unwrap().unwrap();
        assert!(batch.finished_at.is_some(), "{last}");
    }
}
