//! Fetching: which failures pass, and what is not what was submitted.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_that_is_denied_is_tried_again_since_credentials_are_renewed() {
    for status in [401, 403] {
        let bucket = localstack::bucket().await;
        let denied =
            "<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>";
        let expired = Arc::new(AtomicBool::new(true));
        let now = expired.clone();
        let server = FaultServer::start(&localstack::endpoint(), move |request| {
            let fetch = request.method == "GET" && !request.target.contains("parsing_logs");
            if fetch && now.load(Ordering::SeqCst) { Fault::Answer(status, denied) } else { Fault::Pass }
        })
        .await;
        let options = S3Options { endpoint: Some(server.endpoint.clone()), ..S3Options::default() };
        let bench = Bench::at(Objects::S3(S3::connect(options).await), &bucket.name, None).await;
        let queued = bench.submit("later.txt", SUBMISSION, 3).await;
        bench.run_next().await;
        let run = bench.db.run(queued.run_id).await;
        assert_eq!(run.status, RunStatus::Fail);
        assert!(run.failure.unwrap().contains("The provided token has expired"));

        expired.store(false, Ordering::SeqCst);
        bench.db.make_due().await;
        let next = bench.run_next().await;
        assert_eq!(bench.db.run(next.run).await.status, RunStatus::Success);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_copy_that_is_parsed_is_for_this_user_alone() {
    use std::os::unix::fs::PermissionsExt as _;

    let modes = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&modes);
    let parser = By(move |submission: &Submission<'_>, _: &mut Context<'_>| {
        seen.lock().unwrap().push(fs::metadata(submission.path).unwrap().permissions().mode() & 0o777);
        Ok(outcome(SummaryStatus::Accepted))
    });
    let bench = Bench::in_folder(Some(Arc::new(parser))).await;
    bench.submit("private.txt", SUBMISSION, 1).await;
    bench.drain(1).await;
    assert_eq!(*modes.lock().unwrap(), [0o600]);
}
