//! Workers that wait are woken by a run, and by the clock where nothing wakes them.

use std::time::{Duration, Instant};

use parselog::queue::Waker;
use parselog::store::{self};

use crate::support::{PATIENCE, TestDb, new_file, request_by};

/// Waits on the waker and tells how long that took.
async fn waited(waker: &Waker) -> Duration {
    let began = Instant::now();
    waker.wait().await;
    began.elapsed()
}

#[tokio::test]
async fn an_enqueued_run_wakes_a_waiting_worker() {
    let db = TestDb::new().await;
    let waker = Waker::new(db.pool.clone(), 2 * PATIENCE);
    waker.wait().await; // it listens now

    let (elapsed, ()) = tokio::join!(waited(&waker), async {
        db.submit(&["a.txt"]).await;
    });
    assert!(elapsed < PATIENCE, "woken after {elapsed:?}");
    assert!(db.claim("w").await.is_some());

    // Enqueued between the look into the queue and the wait: remembered.
    db.submit(&["b.txt"]).await;
    assert!(waited(&waker).await < PATIENCE);
}

#[tokio::test]
async fn what_is_rolled_back_wakes_nobody_and_the_poll_ends_the_wait() {
    let db = TestDb::new().await;
    let waker = Waker::new(db.pool.clone(), Duration::from_millis(300));
    waker.wait().await;
    let mut transaction = db.pool.begin().await.unwrap();
    store::submit(&mut *transaction, &[new_file("a.txt")], &request_by("ann")).await.unwrap();
    transaction.rollback().await.unwrap();
    assert!(waited(&waker).await >= Duration::from_millis(290));
    assert!(db.claim("w").await.is_none());
}

#[tokio::test]
async fn a_broken_listening_connection_is_replaced() {
    let db = TestDb::new().await;
    let waker = Waker::new(db.pool.clone(), 2 * PATIENCE);
    waker.wait().await;
    let mut killed: Vec<i32> = Vec::new();
    for _ in 0..3 {
        // One that was killed before may still be on its way out.
        let listening: Vec<i32> = sqlx::query_scalar(
            "select pid from pg_stat_activity
             where datname = current_database() and query like 'LISTEN%' and pid <> all($1)
                   and pg_terminate_backend(pid)",
        )
        .bind(&killed)
        .fetch_all(&db.pool)
        .await
        .unwrap();
        assert_eq!(listening.len(), 1);
        killed.extend(listening);
        assert!(waited(&waker).await < PATIENCE, "the new connection is a reason to look");
    }
    db.submit(&["a.txt"]).await;
    assert!(waited(&waker).await < PATIENCE);
}
