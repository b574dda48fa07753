//! The queue: claims, leases, endings, and what happens when workers die or come too late.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use parselog::carry;
use parselog::ids::{DataFileId, RunId};
use parselog::queue::{self, Cancelled, Claimant, Ending, Finished, Waker};
use parselog::store::{self, NewFile, Request, RunFilter, RunStatus};
use tokio::sync::Barrier;
use uuid::Uuid;

use crate::support::{TestDb, claimant, new_file, outcome};

fn failure() -> Ending {
    Ending::Fail { reason: "it broke".to_owned(), retry: true }
}

fn success() -> Ending {
    Ending::Success(outcome())
}

/// The file's runs, oldest first.
async fn runs_of(db: &TestDb, file: DataFileId) -> Vec<store::Run> {
    let filter = RunFilter { data_file: Some(file), ..Default::default() };
    let mut runs = store::find(&db.pool, &filter).await.unwrap();
    runs.reverse();
    runs
}

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
            ..Request::by("ann")
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

async fn until_somebody_waits_for_a_lock(db: &TestDb) {
    let began = Instant::now();
    loop {
        let waiting: bool = sqlx::query_scalar(
            "select exists (select 1 from pg_stat_activity
                            where datname = current_database() and wait_event_type = 'Lock')",
        )
        .fetch_one(&db.pool)
        .await
        .unwrap();
        if waiting {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "nobody waits for a lock");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_claimers_drain_five_hundred_runs_exactly_once() {
    let db = Arc::new(TestDb::new().await);
    let keys: Vec<String> = (0..250).map(|number| format!("{number}.txt")).collect();
    let files: Vec<NewFile> = keys.iter().map(|key| new_file(key)).collect();
    for _ in 0..2 {
        store::submit(&db.pool, &files, &Request::by("ann")).await.unwrap();
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
        Ending::Inaction { reason: "nothing to do".to_owned() },
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
async fn an_expired_lease_ends_in_a_crash_and_a_new_attempt() {
    let db = TestDb::new().await;
    let file = db.submit(&["a.txt"]).await.remove(0).data_file_id;
    let dead = db.claim_and_die("w1").await;
    assert_eq!(queue::reap(&db.pool, Duration::ZERO).await.unwrap(), [dead.run.id]);
    assert!(queue::reap(&db.pool, Duration::ZERO).await.unwrap().is_empty());
    assert_eq!(db.actions(dead.run.id).await, ["run", "crash"]);
    let runs = runs_of(&db, file).await;
    assert_eq!((runs[0].status, runs[1].status, runs[1].attempt), (RunStatus::Crash, RunStatus::Queued, 2));
    assert_eq!((runs[1].run_after - runs[1].queued_at).num_seconds(), 10);
}

#[tokio::test]
async fn a_file_that_kills_its_workers_does_not_do_so_for_ever() {
    let db = TestDb::new().await;
    let file = db.submit(&["poison.txt"]).await.remove(0).data_file_id;
    for _ in 0..3 {
        db.claim_and_die("w").await;
        assert_eq!(queue::reap(&db.pool, Duration::ZERO).await.unwrap().len(), 1);
        db.make_due().await;
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
async fn nothing_is_reaped_over_a_young_connection() {
    let db = TestDb::new().await;
    db.submit(&["a.txt"]).await;
    db.claim_and_die("w").await;
    assert!(queue::reap(&db.pool, Duration::from_secs(3600)).await.unwrap().is_empty());

    let grace = Duration::from_secs(1);
    let began = Instant::now();
    let fresh = store::connect(&db.url(), "parselog-test").await.unwrap();
    while queue::reap(&fresh, grace).await.unwrap().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(20), "the connection never became old enough");
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
    assert_eq!(runs_of(&db, file).await.len(), 2);
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

/// Waits on the waker and tells how long that took.
async fn waited(waker: &Waker) -> Duration {
    let began = Instant::now();
    waker.wait().await;
    began.elapsed()
}

#[tokio::test]
async fn an_enqueued_run_wakes_a_waiting_worker() {
    let db = TestDb::new().await;
    let waker = Waker::new(db.pool.clone(), Duration::from_secs(60));
    waker.wait().await; // it listens now

    let (elapsed, ()) = tokio::join!(waited(&waker), async {
        db.submit(&["a.txt"]).await;
    });
    assert!(elapsed < Duration::from_secs(5), "woken after {elapsed:?}");
    assert!(db.claim("w").await.is_some());

    // Enqueued between the look into the queue and the wait: remembered.
    db.submit(&["b.txt"]).await;
    assert!(waited(&waker).await < Duration::from_secs(5));
}

#[tokio::test]
async fn what_is_rolled_back_wakes_nobody_and_the_poll_ends_the_wait() {
    let db = TestDb::new().await;
    let waker = Waker::new(db.pool.clone(), Duration::from_millis(300));
    waker.wait().await;
    let mut transaction = db.pool.begin().await.unwrap();
    store::submit(&mut *transaction, &[new_file("a.txt")], &Request::by("ann")).await.unwrap();
    transaction.rollback().await.unwrap();
    assert!(waited(&waker).await >= Duration::from_millis(290));
    assert!(db.claim("w").await.is_none());
}

#[tokio::test]
async fn a_broken_listening_connection_is_replaced() {
    let db = TestDb::new().await;
    let waker = Waker::new(db.pool.clone(), Duration::from_secs(60));
    waker.wait().await;
    for _ in 0..3 {
        let killed: i64 = sqlx::query_scalar(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity
             where datname = current_database() and query like 'LISTEN%'",
        )
        .fetch_one(&db.pool)
        .await
        .unwrap();
        assert_eq!(killed, 1);
        assert!(waited(&waker).await < Duration::from_secs(20), "the new connection is a reason to look");
    }
    db.submit(&["a.txt"]).await;
    assert!(waited(&waker).await < Duration::from_secs(5));
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
