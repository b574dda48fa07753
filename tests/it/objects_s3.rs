//! Objects in S3, against LocalStack.

use std::io::Write;
use std::time::Duration;

use parselog::objects::{Bytes, Encryption, LinkHeaders, Missing, ObjectError, Put, S3Options};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use tokio::io::AsyncReadExt;

use crate::fault_server::http_get;
use crate::localstack::{bucket, bucket_with};

/// A file of these bytes, and how to put it.
pub(crate) fn file(bytes: &[u8]) -> (NamedTempFile, Put) {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let put = Put {
        content_type: "application/gzip",
        metadata: vec![("run-id", "01".into())],
        sha256: Sha256::digest(bytes).into(),
        if_none_match: true,
    };
    (file, put)
}

/// Bytes that differ everywhere, enough for three parts.
pub(crate) fn large() -> Vec<u8> {
    (0..11_u32 << 18).flat_map(u32::to_le_bytes).collect()
}

/// Parts of the smallest size that S3 takes.
pub(crate) fn small_parts() -> S3Options {
    S3Options { multipart_threshold: 5 << 20, part_size: 5 << 20, ..S3Options::default() }
}

#[tokio::test]
async fn a_small_file_comes_back_whole_in_ranges_and_as_a_stream() {
    let bucket = bucket().await;
    let (source, put) = file(b"0123456789");
    let key = "TANF 2026/Q1/é+%?#.txt";
    let stored = bucket.objects.put_file(&bucket.name, key, source.path(), &put).await.unwrap();
    assert_eq!(stored.size, 10);
    assert!(stored.uri.version().is_some());
    assert_eq!(stored.uri.to_string().parse::<parselog::objects::ObjectUri>().unwrap(), stored.uri);

    let current = bucket.objects.uri(&bucket.name, key, None).unwrap();
    assert_eq!(bucket.objects.head(&current).await.unwrap(), stored);
    for (bytes, expected) in [
        (Bytes::Range(2..5), &b"234"[..]),
        (Bytes::Range(8..99), b"89"),
        (Bytes::Range(10..12), b""),
        (Bytes::Range(3..3), b""),
        (Bytes::Last(4), b"6789"),
        (Bytes::Last(99), b"0123456789"),
        (Bytes::Last(0), b""),
    ] {
        let chunk = bucket.objects.get_range(&stored.uri, bytes.clone()).await.unwrap();
        assert_eq!((chunk.bytes.as_slice(), chunk.object_size), (expected, 10), "{bytes:?}");
    }
    let (opened, mut reader) = bucket.objects.open(&current).await.unwrap();
    let mut text = String::new();
    reader.read_to_string(&mut text).await.unwrap();
    assert_eq!((opened, text.as_str()), (stored, "0123456789"));

    let head = bucket.sdk.head_object().bucket(&bucket.name).key(key).send().await.unwrap();
    assert_eq!(head.content_type(), Some("application/gzip"));
    assert_eq!((head.content_encoding(), &head.metadata().unwrap()["run-id"]), (None, &"01".to_owned()));
}

#[tokio::test]
async fn an_empty_file_is_an_object_too() {
    let bucket = bucket().await;
    let (source, put) = file(b"");
    let stored = bucket.objects.put_file(&bucket.name, "empty", source.path(), &put).await.unwrap();
    let last = bucket.objects.get_range(&stored.uri, Bytes::Last(100)).await.unwrap();
    assert_eq!((last.bytes.len(), last.object_size), (0, 0));
}

#[tokio::test]
async fn a_large_file_goes_up_in_parts_and_comes_back_the_same() {
    let bucket = bucket_with(small_parts()).await;
    let bytes = large();
    let (source, put) = file(&bytes);
    let stored = bucket.objects.put_file(&bucket.name, "large", source.path(), &put).await.unwrap();
    assert_eq!((stored.size, bucket.open_uploads().await), (bytes.len() as u64, 0));

    let to = NamedTempFile::new().unwrap();
    assert_eq!(bucket.objects.download(&stored.uri, to.path()).await.unwrap(), stored);
    assert!(std::fs::read(to.path()).unwrap() == bytes);

    // The same put again finds its own bytes there, and accepts them.
    let again = bucket.objects.put_file(&bucket.name, "large", source.path(), &put).await.unwrap();
    assert_eq!((again, bucket.open_uploads().await), (stored, 0));
}

#[tokio::test]
async fn every_version_stays_readable_until_it_is_deleted() {
    let bucket = bucket().await;
    let put = async |bytes: &[u8]| {
        let (source, put) = file(bytes);
        let put = Put { if_none_match: false, ..put };
        bucket.objects.put_file(&bucket.name, "key", source.path(), &put).await.unwrap().uri
    };
    let (first, second) = (put(b"first").await, put(b"second").await);
    assert_ne!(first, second);
    let read = async |uri| bucket.objects.get_range(uri, Bytes::Last(10)).await.map(|chunk| chunk.bytes);
    assert_eq!(
        (read(&first).await.unwrap(), read(&second).await.unwrap()),
        (b"first".into(), b"second".into())
    );

    bucket.objects.delete(&second).await.unwrap();
    bucket.objects.delete(&second).await.unwrap();
    assert!(matches!(read(&second).await, Err(ObjectError::NotFound { missing: Missing::Version, .. })));
    let current = bucket.objects.uri(&bucket.name, "key", None).unwrap();
    assert_eq!(read(&current).await.unwrap(), b"first");
    bucket.objects.delete(&current).await.unwrap();
    assert!(matches!(read(&current).await, Err(ObjectError::NotFound { missing: Missing::Key, .. })));
    assert_eq!(read(&first).await.unwrap(), b"first");
}

#[tokio::test]
async fn a_file_that_is_not_the_promised_one_is_refused() {
    let bucket = bucket_with(small_parts()).await;
    for bytes in [b"other".to_vec(), large()] {
        let (source, put) = file(&bytes);
        let put = Put { sha256: [7; 32], ..put };
        assert!(bucket.objects.put_file(&bucket.name, "key", source.path(), &put).await.is_err());
        let key = bucket.objects.uri(&bucket.name, "key", None).unwrap();
        assert!(matches!(bucket.objects.head(&key).await, Err(ObjectError::NotFound { .. })));
    }
    assert_eq!(bucket.open_uploads().await, 0);
}

#[tokio::test]
async fn another_object_under_the_key_is_never_replaced() {
    let bucket = bucket_with(small_parts()).await;
    let (source, put) = file(b"first");
    let stored = bucket.objects.put_file(&bucket.name, "key", source.path(), &put).await.unwrap();
    assert_eq!(bucket.objects.put_file(&bucket.name, "key", source.path(), &put).await.unwrap(), stored);
    for bytes in [b"other".to_vec(), large()] {
        let (source, put) = file(&bytes);
        let error = bucket.objects.put_file(&bucket.name, "key", source.path(), &put).await.unwrap_err();
        assert_eq!(error.to_string(), format!("another object is already there: s3://{}/key", bucket.name));
    }
    let current = bucket.objects.uri(&bucket.name, "key", None).unwrap();
    assert_eq!((bucket.objects.head(&current).await.unwrap(), bucket.open_uploads().await), (stored, 0));
}

#[tokio::test]
async fn errors_say_in_one_line_whether_bucket_key_or_version_is_missing() {
    let bucket = bucket().await;
    let (source, put) = file(b"text");
    let stored = bucket.objects.put_file(&bucket.name, "key", source.path(), &put).await.unwrap();
    let elsewhere = bucket.objects.uri("no-such-bucket-here", "key", None).unwrap();
    let no_key = bucket.objects.uri(&bucket.name, "nothing", None).unwrap();
    let no_version =
        bucket.objects.uri(&bucket.name, "key", Some("AZxyAbCdEfGhIjKlMnOpQrStUvWxYz01")).unwrap();
    let to = NamedTempFile::new().unwrap();
    for (uri, what) in
        [(&elsewhere, Missing::Bucket), (&no_key, Missing::Key), (&no_version, Missing::Version)]
    {
        let errors = [
            bucket.objects.head(uri).await.unwrap_err(),
            bucket.objects.download(uri, to.path()).await.unwrap_err(),
            bucket.objects.get_range(uri, Bytes::Range(0..4)).await.unwrap_err(),
            bucket.objects.get_range(uri, Bytes::Last(4)).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.to_string(), format!("{what} not found: {uri}"));
            assert!(matches!(error, ObjectError::NotFound { missing, .. } if missing == what));
        }
    }
    let (_, put) = file(b"text");
    let error = bucket.objects.put_file("no-such-bucket-here", "key", source.path(), &put).await.unwrap_err();
    assert!(matches!(error, ObjectError::NotFound { missing: Missing::Bucket, .. }), "{error}");
    assert_eq!(bucket.objects.head(&stored.uri).await.unwrap(), stored);
}

#[tokio::test]
async fn a_presigned_link_is_read_by_a_plain_get_until_it_is_tampered_with() {
    let bucket = bucket().await;
    let (source, put) = file(b"log lines");
    let stored = bucket.objects.put_file(&bucket.name, "a b/é.gz", source.path(), &put).await.unwrap();
    let headers = LinkHeaders {
        content_type: Some("text/plain".into()),
        content_disposition: Some("attachment; filename=\"run.log\"".into()),
        content_encoding: Some("gzip".into()),
    };
    let hour = Duration::from_secs(3600);
    let link = bucket.objects.presign_get(&stored.uri, hour, headers).await.unwrap();
    let (head, body) = http_get(&link).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(body, b"log lines");
    let head = head.to_lowercase();
    for expected in ["content-type: text/plain", "content-encoding: gzip", "filename=\"run.log\""] {
        assert!(head.contains(expected), "{head}");
    }
    let (head, _) = http_get(&link.replace("X-Amz-Expires=3600", "X-Amz-Expires=7200")).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 403"), "{head}");
    assert!(bucket.objects.presign_get(&stored.uri, 200 * hour, LinkHeaders::default()).await.is_err());
}

#[tokio::test]
async fn stale_uploads_are_listed_by_prefix_and_age_and_aborted() {
    let bucket = bucket().await;
    for key in ["logs/a", "logs/b", "other"] {
        bucket.sdk.create_multipart_upload().bucket(&bucket.name).key(key).send().await.unwrap();
    }
    let list = async |age| bucket.objects.stale_uploads(&bucket.name, "logs/", age).await.unwrap();
    assert_eq!(list(Duration::from_secs(3600)).await, []);
    let stale = list(Duration::ZERO).await;
    assert_eq!(stale.iter().map(|upload| upload.key.as_str()).collect::<Vec<_>>(), ["logs/a", "logs/b"]);
    for upload in &stale {
        bucket.objects.abort_upload(&bucket.name, upload).await.unwrap();
        bucket.objects.abort_upload(&bucket.name, upload).await.unwrap();
    }
    assert_eq!((list(Duration::ZERO).await.len(), bucket.open_uploads().await), (0, 1));
}

#[tokio::test]
async fn encryption_is_asked_for_on_every_put() {
    let bucket = bucket_with(S3Options { encryption: Encryption::Aes256, ..small_parts() }).await;
    for (key, bytes) in [("small", b"small".to_vec()), ("large", large())] {
        let (source, put) = file(&bytes);
        bucket.objects.put_file(&bucket.name, key, source.path(), &put).await.unwrap();
        let head = bucket.sdk.head_object().bucket(&bucket.name).key(key).send().await.unwrap();
        assert_eq!(head.server_side_encryption().unwrap().as_str(), "AES256");
    }
}
