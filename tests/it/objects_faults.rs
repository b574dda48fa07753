//! What happens to a put and a get when S3 is down, slow, refusing or lying.

use std::time::{Duration, Instant};

use parselog::objects::{
    Bytes, Encryption, Missing, ObjectError, ObjectResult, Objects, Put, S3, S3Options, StoredObject,
};
use tempfile::NamedTempFile;

use crate::fault_server::{Fault, FaultServer, Request};
use crate::localstack::{Bucket, bucket, endpoint};
use crate::objects_s3::{file, large, small_parts};
use crate::support::{KeptPort, PATIENCE};

/// What no answer takes, on a slow machine too.
const PATIENT: Duration = Duration::from_secs(30);

/// For a server that never answers.
const IMPATIENT: Duration = Duration::from_secs(1);

/// A client of `endpoint` that waits so long for an answer, and tries three times.
async fn client(endpoint: &str, patience: Duration) -> Objects {
    Objects::S3(
        S3::connect(S3Options {
            endpoint: Some(endpoint.to_owned()),
            attempts: 3,
            attempt_timeout: patience,
            read_timeout: patience,
            first_backoff: Duration::from_millis(10),
            ..small_parts()
        })
        .await,
    )
}

/// Puts `bytes` under "key" through a server that does what `decide` says.
async fn put_through(
    bucket: &Bucket,
    bytes: &[u8],
    patience: Duration,
    decide: impl Fn(&Request) -> Fault + Send + Sync + 'static,
) -> (ObjectResult<StoredObject>, FaultServer) {
    let server = FaultServer::start(&endpoint(), decide).await;
    let objects = client(&server.endpoint, patience).await;
    let (source, put) = file(bytes);
    let started = Instant::now();
    let stored = objects.put_file(&bucket.name, "key", source.path(), &put).await;
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
    (stored, server)
}

/// The error of a put that must fail: one line. Nothing may be stored, and no upload left open.
async fn refused(
    bytes: &[u8],
    decide: impl Fn(&Request) -> Fault + Send + Sync + 'static,
) -> (ObjectError, FaultServer) {
    refused_within(PATIENT, bytes, decide).await
}

/// The same, by a client that waits so long for an answer.
async fn refused_within(
    patience: Duration,
    bytes: &[u8],
    decide: impl Fn(&Request) -> Fault + Send + Sync + 'static,
) -> (ObjectError, FaultServer) {
    let bucket = bucket().await;
    let (stored, server) = put_through(&bucket, bytes, patience, decide).await;
    let error = stored.unwrap_err();
    assert!(!format!("{error:#}").contains(['\n', '\r']), "{error}");
    let uri = bucket.objects.uri(&bucket.name, "key", None).unwrap();
    assert!(matches!(bucket.objects.head(&uri).await, Err(ObjectError::NotFound { .. })));
    assert_eq!(bucket.open_uploads().await, 0);
    (error, server)
}

/// A put that must succeed in spite of it all.
async fn accepted(bytes: &[u8], decide: impl Fn(&Request) -> Fault + Send + Sync + 'static) -> FaultServer {
    let bucket = bucket().await;
    let (stored, server) = put_through(&bucket, bytes, PATIENT, decide).await;
    let stored = stored.unwrap();
    assert!(stored.uri.version().is_some());
    assert_eq!(bucket.objects.head(&stored.uri).await.unwrap(), stored);
    assert_eq!((stored.size, bucket.open_uploads().await), (bytes.len() as u64, 0));
    server
}

fn text(error: &ObjectError) -> String {
    match error {
        ObjectError::Other(error) => format!("{error:#}"),
        error => error.to_string(),
    }
}

const SLOW_DOWN: &str =
    "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";
const INTERNAL: &str =
    "<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>";

#[tokio::test]
async fn a_refused_connection_fails_soon_and_says_so() {
    let nobody = KeptPort::new();
    let objects = client(&format!("http://{}", nobody.address()), PATIENT).await;
    let (source, put) = file(b"text");
    let started = Instant::now();
    let error = objects.put_file("bucket", "key", source.path(), &put).await.unwrap_err();
    assert!(started.elapsed() < PATIENCE);
    let expected = "the request for s3://bucket/key failed: Connection refused (os error 111)";
    assert_eq!(text(&error), expected);
}

#[tokio::test]
async fn a_name_that_does_not_resolve_fails_soon_and_says_so() {
    let objects = client("http://parselog.invalid:9", PATIENT).await;
    let uri = objects.uri("bucket", "key", None).unwrap();
    let error = text(&objects.head(&uri).await.unwrap_err());
    assert!(error.contains("failed to lookup address information"), "{error}");
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up_in_bounded_time() {
    let (error, server) = refused_within(IMPATIENT, b"text", |_| Fault::Hang).await;
    assert!(text(&error).ends_with("no answer in time"), "{error}");
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn denied_access_is_told_apart_and_not_tried_again() {
    let denied = "<Error><Code>AccessDenied</Code><Message>Access\n\tDenied\u{85}now</Message><RequestId>A1B2</RequestId></Error>";
    for bytes in [b"text".to_vec(), large()] {
        let (error, server) = refused(&bytes, move |_| Fault::Answer(403, denied)).await;
        assert!(matches!(error, ObjectError::Denied { .. }), "{error:?}");
        assert!(error.to_string().ends_with("denied: Access Denied now (AccessDenied)"), "{error}");
        assert_eq!(server.requests().len(), 1);
    }
    let expired =
        "<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>";
    let (error, _) = refused(b"text", move |_| Fault::Answer(400, expired)).await;
    assert!(matches!(error, ObjectError::Denied { .. }), "{error:?}");
}

#[tokio::test]
async fn a_missing_bucket_is_told_apart() {
    let missing =
        "<Error><Code>NoSuchBucket</Code><Message>The specified bucket does not exist</Message></Error>";
    let (error, server) = refused(&large(), move |_| Fault::Answer(404, missing)).await;
    assert!(matches!(error, ObjectError::NotFound { missing: Missing::Bucket, .. }), "{error:?}");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn errors_of_the_server_are_tried_again_and_then_told_in_one_line() {
    for (status, body, reason) in [
        (500, INTERNAL, "We encountered an internal error. (InternalError)"),
        (503, SLOW_DOWN, "Please reduce your request rate. (SlowDown)"),
        (503, "<html><body>no upstream</body></html>", "HTTP status 503"),
    ] {
        let (error, server) = refused(b"text", move |_| Fault::Answer(status, body)).await;
        assert!(text(&error).ends_with(reason), "{}", text(&error));
        assert_eq!(server.requests().len(), 3);
        let server = accepted(b"text", move |request| match request.number {
            0 | 1 => Fault::Answer(status, body),
            _ => Fault::Pass,
        })
        .await;
        assert_eq!(server.requests().len(), 4, "three puts and the question what is there");
    }
}

#[tokio::test]
async fn a_reset_in_the_middle_of_a_part_is_tried_again() {
    let first_parts = |request: &Request| match request.is_part() && request.number < 3 {
        true => Fault::ResetMidBody,
        false => Fault::Pass,
    };
    accepted(&large(), first_parts).await;
}

#[tokio::test]
async fn parts_that_never_arrive_end_in_an_abort_and_the_first_error() {
    let every_part = |request: &Request| if request.is_part() { Fault::ResetMidBody } else { Fault::Pass };
    let (error, server) = refused(&large(), every_part).await;
    assert!(text(&error).starts_with("the request for s3://"), "{error}");
    assert!(server.requests().iter().any(|request| request.method == "DELETE"));
}

#[tokio::test]
async fn an_abort_that_fails_too_does_not_hide_the_first_error() {
    let bucket = bucket().await;
    let (stored, _server) =
        put_through(&bucket, &large(), PATIENT, |request| match request.method.as_str() {
            "PUT" => Fault::Answer(500, INTERNAL),
            "DELETE" => Fault::Answer(503, SLOW_DOWN),
            _ => Fault::Pass,
        })
        .await;
    assert!(text(&stored.unwrap_err()).ends_with("(InternalError)"));
    let stale = bucket.objects.stale_uploads(&bucket.name, "", Duration::ZERO).await.unwrap();
    assert_eq!(stale.len(), 1);
    bucket.objects.abort_upload(&bucket.name, &stale[0]).await.unwrap();
    assert_eq!(bucket.open_uploads().await, 0);
}

#[tokio::test]
async fn a_success_whose_answer_was_lost_is_found_and_accepted() {
    let lost = |request: &Request| match request.method == "PUT" && request.number == 0 {
        true => Fault::LoseAnswer,
        false => Fault::Pass,
    };
    let server = accepted(b"text", lost).await;
    assert_eq!(server.requests().len(), 3, "the put, the put that meets itself, and the question");
}

#[tokio::test]
async fn a_completion_whose_answer_was_lost_is_found_and_accepted() {
    let lost = std::sync::atomic::AtomicBool::new(false);
    let first_completion = move |request: &Request| match request.is_completion()
        && !lost.swap(true, std::sync::atomic::Ordering::Relaxed)
    {
        true => Fault::LoseAnswer,
        false => Fault::Pass,
    };
    accepted(&large(), first_completion).await;
}

#[tokio::test]
async fn a_completion_that_fails_under_a_success_status_is_not_believed() {
    let failing = |request: &Request| match request.is_completion() {
        true => Fault::Answer(200, INTERNAL),
        false => Fault::Pass,
    };
    let (error, _) = refused(&large(), failing).await;
    assert!(text(&error).contains("InternalError"), "{error}");
}

#[tokio::test]
async fn a_success_without_an_object_behind_it_is_not_believed() {
    let lie = |request: &Request| if request.method == "PUT" { Fault::Answer(200, "") } else { Fault::Pass };
    let (error, _) = refused(b"text", lie).await;
    assert!(text(&error).starts_with("the put could not be confirmed"), "{}", text(&error));
}

#[tokio::test]
async fn a_wrong_checksum_in_an_answer_is_not_believed() {
    let wrong = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    for method in ["PUT", "HEAD"] {
        let bucket = bucket().await;
        let (stored, _server) =
            put_through(&bucket, b"text", PATIENT, move |request| match request.method == method {
                true => Fault::Lie("x-amz-checksum-sha256", wrong),
                false => Fault::Pass,
            })
            .await;
        let error = text(&stored.unwrap_err());
        assert_eq!(error, format!("S3 did not store the bytes that were sent: s3://{}/key", bucket.name));
    }
}

#[tokio::test]
async fn the_key_for_encryption_is_named_on_every_put() {
    let server = FaultServer::start(&endpoint(), |_| Fault::Answer(403, "")).await;
    let encryption = Encryption::Kms { key_id: Some("alias/logs".into()) };
    let options = S3Options { endpoint: Some(server.endpoint.clone()), encryption, ..small_parts() };
    let objects = Objects::S3(S3::connect(options).await);
    for bytes in [b"small".to_vec(), large()] {
        let (source, put) = file(&bytes);
        let put = Put { if_none_match: false, ..put };
        assert!(objects.put_file("bucket", "key", source.path(), &put).await.is_err());
    }
    for request in server.requests() {
        let head = request.head.to_lowercase();
        assert!(head.contains("x-amz-server-side-encryption: aws:kms\r\n"), "{head}");
        assert!(head.contains("x-amz-server-side-encryption-aws-kms-key-id: alias/logs\r\n"), "{head}");
        assert!(!head.contains("if-none-match"), "{head}");
    }
}

#[tokio::test]
async fn a_download_that_breaks_off_is_done_again_and_never_ends_short() {
    let bucket = bucket().await;
    let bytes = large();
    let (source, put) = file(&bytes);
    let stored = bucket.objects.put_file(&bucket.name, "key", source.path(), &put).await.unwrap();
    let to = NamedTempFile::new().unwrap();

    let server = FaultServer::start(&endpoint(), |request| match request.number {
        0 => Fault::CutBody(100_000),
        _ => Fault::Pass,
    })
    .await;
    let objects = client(&server.endpoint, PATIENT).await;
    assert_eq!(objects.download(&stored.uri, to.path()).await.unwrap(), stored);
    assert!(std::fs::read(to.path()).unwrap() == bytes);

    let server = FaultServer::start(&endpoint(), |_| Fault::CutBody(10)).await;
    let objects = client(&server.endpoint, PATIENT).await;
    assert!(objects.download(&stored.uri, to.path()).await.is_err());
    assert!(objects.get_range(&stored.uri, Bytes::Range(0..50)).await.is_err());
    assert_eq!(server.requests().len(), 6);
}

/// S3 says no more of a missing object in answer to HEAD than that, so GET is asked, too late to say the same.
#[tokio::test]
async fn an_object_that_is_stored_between_two_questions_about_it_is_there() {
    let bucket = bucket().await;
    let (source, put) = file(b"text");
    let stored = bucket.objects.put_file(&bucket.name, "key", source.path(), &put).await.unwrap();
    let early = |request: &Request| if request.number == 0 { Fault::Answer(404, "") } else { Fault::Pass };
    let server = FaultServer::start(&endpoint(), early).await;
    let objects = client(&server.endpoint, PATIENT).await;
    let uri = objects.uri(&bucket.name, "key", None).unwrap();
    assert_eq!(objects.head(&uri).await.unwrap(), stored);
}
