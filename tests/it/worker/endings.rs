//! How a run ends that does not end well.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_fails_its_run_and_nothing_else_and_is_tried_again() {
    let parser = By(|submission: &Submission<'_>, _: &mut Context<'_>| {
        assert!(submission.name != "bad.txt", "panic over 123-45-6789");
        tracing::info!("fine");
        Ok(outcome(SummaryStatus::Accepted))
    });
    let bench = Bench::in_folder(Some(Arc::new(parser))).await;
    let bad = bench.submit("bad.txt", SUBMISSION, 2).await;
    let good = bench.submit("good.txt", SUBMISSION, 2).await;
    bench.drain(2).await;

    assert_eq!(bench.db.run(good.run_id).await.status, RunStatus::Success);
    let run = bench.db.run(bad.run_id).await;
    assert_eq!((run.status, run.log_state), (RunStatus::Fail, LogState::Archived));
    assert!(!run.failure.unwrap().contains("6789"));
    let log = records(&gunzip(&bench.archived(&run.logs_uri.unwrap()).await));
    assert!(log.iter().any(|record| record.message.starts_with("panicked: ")));
    let filter = store::RunFilter { data_file: Some(bad.data_file_id), ..Default::default() };
    let runs = store::find(&bench.db.pool, &filter).await.unwrap();
    assert_eq!(
        runs.iter().map(|run| (run.attempt, run.status)).collect::<Vec<_>>(),
        [(2, RunStatus::Queued), (1, RunStatus::Fail)]
    );
    // The next attempt has a row and a log of its own.
    bench.db.make_due().await;
    bench.drain(1).await;
    let second = bench.db.run(runs[0].id).await;
    assert_eq!((second.status, second.log_state), (RunStatus::Fail, LogState::Archived));
}

/// A parser that says it began, and goes on until it is asked to stop.
fn endless() -> (Arc<dyn Parser>, oneshot::Receiver<()>) {
    let (began, has_begun) = oneshot::channel();
    let began = Mutex::new(Some(began));
    let parser = By(move |_: &Submission<'_>, context: &mut Context<'_>| {
        tracing::info!("began");
        if let Some(began) = began.lock().unwrap().take() {
            began.send(()).unwrap();
        }
        loop {
            context.cancel.check()?;
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    (Arc::new(parser), has_begun)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_reaches_a_running_parse_at_the_heartbeat() {
    let (parser, has_begun) = endless();
    let bench = Bench::in_folder(Some(parser)).await;
    let queued = bench.submit("endless.txt", SUBMISSION, 3).await;
    let worker = bench.serving(1, true);
    let serving = carry::spawn(async move { worker.serve(std::future::pending()).await });
    has_begun.await.unwrap();
    queue::cancel(&bench.db.pool, queued.run_id, "ann").await.unwrap();
    serving.await.unwrap().unwrap();

    let run = bench.db.run(queued.run_id).await;
    assert_eq!((run.status, run.log_state), (RunStatus::Terminate, LogState::Archived));
    assert_eq!(bench.db.actions(run.id).await, ["run", "terminate"]);
    assert!(bench.db.claim("another").await.is_none(), "a cancelled run is not tried again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parse_whose_run_was_taken_away_is_stopped_at_the_heartbeat() {
    let (began, has_begun) = oneshot::channel();
    let (stopped, was_stopped) = oneshot::channel();
    let tell = Mutex::new(Some((began, stopped)));
    let parser = By(move |_: &Submission<'_>, context: &mut Context<'_>| {
        let (began, stopped) = tell.lock().unwrap().take().unwrap();
        began.send(()).unwrap();
        loop {
            if let Err(error) = context.cancel.check() {
                stopped.send(format!("{error:?}")).unwrap();
                return Err(error);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let bench = Bench::in_folder(Some(Arc::new(parser))).await;
    let queued = bench.submit("endless.txt", SUBMISSION, 1).await;
    let worker = bench.serving(1, true);
    let serving = carry::spawn(async move { worker.serve(std::future::pending()).await });
    has_begun.await.unwrap();
    assert_eq!(queue::crashed(&bench.db.pool, queued.run_id).await.unwrap(), Finished::Yes);
    assert_eq!(was_stopped.await.unwrap(), "Cancelled(Fenced)");
    serving.await.unwrap().unwrap();
    assert_eq!(bench.db.run(queued.run_id).await.status, RunStatus::Crash, "its own result is refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stops_hands_its_runs_back_and_archives_their_logs() {
    let (parser, has_begun) = endless();
    let bench = Bench::in_folder(Some(parser)).await;
    let queued = bench.submit("endless.txt", SUBMISSION, 1).await;
    let (stop, stopped) = oneshot::channel::<()>();
    let worker = bench.serving(1, false);
    let serving = carry::spawn(async move { worker.serve(async { stopped.await.unwrap() }).await });
    has_begun.await.unwrap();
    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();

    let run = bench.db.run(queued.run_id).await;
    assert_eq!((run.status, run.log_state), (RunStatus::Terminate, LogState::Archived));
    let again = bench.db.claim("another").await.expect("the job is in the queue again");
    assert_eq!((again.run.attempt, again.run.data_file_id), (2, run.data_file_id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_past_its_deadline_is_terminated() {
    let (parser, _has_begun) = endless();
    let mut bench = Bench::in_folder(Some(parser)).await;
    bench.config.run_timeout = Duration::from_millis(300);
    let queued = bench.submit("endless.txt", SUBMISSION, 1).await;
    bench.drain(1).await;
    let run = bench.db.run(queued.run_id).await;
    assert_eq!(run.status, RunStatus::Terminate);
    assert!(run.failure.unwrap().contains("deadline"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_that_is_gone_fails_at_once_with_a_clear_reason() {
    let bench = Bench::in_folder(None).await;
    let queued = bench.submit("gone.txt", SUBMISSION, 3).await;
    fs::remove_dir_all(bench.dir.path().join("objects/files/.versions")).unwrap();
    bench.drain(1).await;
    let run = bench.db.run(queued.run_id).await;
    assert_eq!((run.status, run.log_state), (RunStatus::Fail, LogState::Archived));
    assert!(run.failure.unwrap().contains("object version not found"));
    assert!(bench.db.claim("another").await.is_none(), "what is not there is not tried again");
}
