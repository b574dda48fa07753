//! Where the log of a run ends up, with S3 there and without.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_is_parsed_and_its_log_lies_beside_it_in_s3() {
    let bucket = localstack::bucket().await;
    let bench = Bench::at(bucket.objects.clone(), &bucket.name, None).await;
    let queued = bench.submit("small.txt", SUBMISSION, 1).await;
    bench.drain(2).await;

    let run = bench.db.run(queued.run_id).await;
    assert_eq!((run.status, run.log_state), (RunStatus::Success, LogState::Archived));
    let uri = run.logs_uri.clone().unwrap();
    let start =
        format!("s3://{}/data_files/2021/parsing_logs/parse-datafile-{}-", bucket.name, run.data_file_id);
    assert!(uri.starts_with(&start) && uri.contains(&format!("-{}.log.gz", run.id)), "{uri}");
    let archive = bench.archived(&uri).await;
    let raw = gunzip(&archive);
    assert_eq!(run.log_gzip_bytes, Some(archive.len() as i64));
    assert_eq!(run.log_raw_bytes, Some(raw.len() as i64));
    assert_eq!(run.log_gzip_sha256, Some(Sha256::digest(&archive).into()));
    assert_eq!(run.log_raw_sha256, Some(Sha256::digest(&raw).into()));
    let lines = records(&raw);
    assert_eq!(run.log_lines, Some(lines.len() as i64));
    let head = lines[0].head.as_ref().expect("the first record is the head");
    let tail = lines.last().unwrap().tail.as_ref().expect("the last record is the tail");
    assert_eq!((head.log, tail.dropped, run.log_dropped), (run.id.into(), 0, Some(0)));
    let problems = lines.iter().filter(|line| line.target == "parselog::problem").count() as i64;
    assert_eq!(run.error_count, Some(problems), "each problem is one record");
    assert_eq!(bench.db.actions(run.id).await, ["run", "success"]);
    assert!(bench.spooled().is_empty(), "left in the spool: {:?}", bench.spooled());
    read_with_boto3(&bucket.name, uri.split_once(&format!("{}/", bucket.name)).unwrap().1, &raw);
}

/// Reads the archive as another language does; LocalStack's own Python has boto3.
fn read_with_boto3(bucket: &str, key: &str, raw: &[u8]) {
    let python =
        std::env::var("PARSELOG_TEST_PYTHON").expect("PARSELOG_TEST_PYTHON names a Python with boto3");
    let script = "import boto3, gzip, hashlib, os, sys
s3 = boto3.client('s3', endpoint_url=os.environ['PARSELOG_TEST_S3'])
o = s3.get_object(Bucket=sys.argv[1], Key=sys.argv[2])
assert o['ContentType'] == 'application/gzip' and 'ContentEncoding' not in o, o
raw = gzip.decompress(o['Body'].read())
assert o['Metadata']['sha256'] == hashlib.sha256(raw).hexdigest(), o['Metadata']
print(len(raw), o['Metadata']['run-id'], o['Metadata']['data-file-id'])";
    let key = key.split('?').next().unwrap();
    let output = Command::new(python).args(["-c", script, bucket, key]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).starts_with(&raw.len().to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_of_one_file_have_two_logs_two_rows_and_two_keys() {
    let bench = Bench::in_folder(None).await;
    let mut uris = Vec::new();
    for _ in 0..2 {
        let queued = bench.submit("twice.txt", SUBMISSION, 1).await;
        bench.drain(1).await;
        let run = bench.db.run(queued.run_id).await;
        uris.push(run.logs_uri.unwrap());
    }
    let logs: Vec<_> =
        [bench.archived(&uris[0]).await, bench.archived(&uris[1]).await].map(|gz| gunzip(&gz)).into();
    assert_ne!(uris[0], uris[1]);
    assert_ne!(records(&logs[0])[0].head, records(&logs[1])[0].head);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_s3_down_the_outcome_stands_the_log_falls_back_and_is_archived_when_s3_is_back() {
    let bucket = localstack::bucket().await;
    let down = Arc::new(AtomicBool::new(false));
    let is_down = Arc::clone(&down);
    let server = FaultServer::start(&localstack::endpoint(), move |_| {
        if is_down.load(Ordering::SeqCst) {
            Fault::Answer(503, "<Error><Code>SlowDown</Code></Error>")
        } else {
            Fault::Pass
        }
    })
    .await;
    let options = S3Options {
        endpoint: Some(server.endpoint.clone()),
        attempts: 2,
        first_backoff: Duration::from_millis(10),
        ..S3Options::default()
    };
    let stopper = Arc::clone(&down);
    let parser = By(move |_: &Submission<'_>, _: &mut Context<'_>| {
        stopper.store(true, Ordering::SeqCst);
        tracing::info!("not replayed");
        tracing::warn!(
            record = 3u64,
            owner = "ann@example.org",
            "replayed, of 123-45-6789, while S3 is down"
        );
        Ok(outcome(SummaryStatus::AcceptedWithErrors))
    });
    let objects = Objects::S3(S3::connect(options).await);
    let bench = Bench::at(objects, &bucket.name, Some(Arc::new(parser))).await;
    let queued = bench.submit("outage.txt", SUBMISSION, 1).await;

    let report = bench.run_next().await;
    assert!(matches!(report.log, Some(Archived::Kept { store_is_down: true, .. })), "{report:?}");
    let run = bench.db.run(queued.run_id).await;
    assert_eq!((run.status, run.log_state), (RunStatus::Success, LogState::Fallback));
    assert!(run.logs_uri.is_none() && run.archive_error.is_some());
    assert!(bench.db.entries(run.id).await.contains(&"fell-back".to_owned()));
    let spooled = fs::read(bench.worker.system().spool.find(run.id).unwrap().path).unwrap();
    // A second try does not replay again.
    bench.sweep().await;
    let replayed = global("replayed, of 123-45-6789, while S3 is down");
    assert_eq!(replayed.len(), 1);
    assert_eq!(replayed[0].fields["run"], run.id.to_string());
    assert!(global("not replayed").is_empty());

    down.store(false, Ordering::SeqCst);
    let swept = bench.sweep().await;
    assert_eq!((swept.archived, swept.kept), (1, 0));
    let run = bench.db.run(queued.run_id).await;
    assert_eq!((run.log_state, run.archive_error), (LogState::Archived, None));
    let archive = bench.archived(&run.logs_uri.unwrap()).await;
    assert_eq!(gunzip(&archive), spooled, "gunzip gives the spooled log back byte for byte");
    assert!(bench.spooled().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_runs_at_once_misplace_no_line_and_their_counts_add_up() {
    const RUNS: usize = 200;
    let parser = By(|submission: &Submission<'_>, _: &mut Context<'_>| {
        let name = submission.name.to_owned();
        let inner = name.clone();
        let thread =
            carry::thread(move || (0..20).for_each(|event| tracing::info!(name = inner, event, "thread")));
        (0..20).for_each(|event| tracing::warn!(name, event, "parse"));
        thread.join().unwrap();
        Ok(outcome(SummaryStatus::Accepted))
    });
    let bench = Bench::in_folder(Some(Arc::new(parser))).await;
    let mut queued = Vec::new();
    for number in 0..RUNS {
        queued.push(bench.submit(&format!("file-{number}.txt"), "HEADER", 1).await);
    }
    bench.drain(RUNS).await;
    while bench.sweep().await != Default::default() {}
    for (number, queued) in queued.iter().enumerate() {
        let run = bench.db.run(queued.run_id).await;
        assert_eq!(
            (run.status, run.log_state),
            (RunStatus::Success, LogState::Archived),
            "{:?}",
            run.archive_error
        );
        let log = records(&gunzip(&bench.archived(&run.logs_uri.unwrap()).await));
        let named: Vec<_> = log.iter().filter_map(|record| record.fields.get("name")).collect();
        assert_eq!(named.len(), 40);
        assert!(named.iter().all(|name| **name == format!("file-{number}.txt")));
        let events = run.log_events.unwrap().0;
        assert_eq!((events["WARN"], run.log_dropped), (20, Some(0)));
        assert_eq!(
            events.values().sum::<u64>(),
            log.iter().filter(|record| record.is_event()).count() as u64
        );
    }
}
