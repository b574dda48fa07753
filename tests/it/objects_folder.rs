//! Objects in a folder, and the URIs of both kinds.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parselog::carry;
use parselog::objects::{Bytes, FolderStore, LinkHeaders, Missing, ObjectError, ObjectUri, Objects, Put};
use proptest::prelude::*;
use tempfile::{NamedTempFile, TempDir};
use tokio::io::AsyncReadExt;
use tokio::sync::Barrier;

use crate::objects_s3::file;

pub(crate) fn folder() -> (TempDir, Objects) {
    let root = TempDir::new().unwrap();
    let objects = Objects::Folder(FolderStore::open(root.path()).unwrap());
    (root, objects)
}

pub(crate) async fn put(
    objects: &Objects,
    key: &str,
    bytes: &[u8],
    if_none_match: bool,
) -> Result<ObjectUri, String> {
    let (source, put) = file(bytes);
    let put = Put { if_none_match, ..put };
    match objects.put_file("bucket", key, source.path(), &put).await {
        Ok(stored) => Ok(stored.uri),
        Err(ObjectError::Other(error)) => Err(format!("{error:#}")),
        Err(error) => Err(error.to_string()),
    }
}

async fn read(objects: &Objects, uri: &ObjectUri) -> Result<Vec<u8>, ObjectError> {
    Ok(objects.get_range(uri, Bytes::Last(1 << 20)).await?.bytes)
}

/// All files below a folder, relative to it.
pub(crate) fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files(&entry.path()).into_iter().map(|below| format!("{name}/{below}"))),
            false => found.push(name),
        }
    }
    found
}

#[tokio::test]
async fn a_file_comes_back_whole_in_ranges_and_as_a_stream() {
    let (root, objects) = folder();
    let uri = put(&objects, "TANF 2026/Q1/é+%?#.txt", b"0123456789", true).await.unwrap();
    assert_eq!(uri.to_string().parse::<ObjectUri>().unwrap(), uri);
    assert!(uri.to_string().contains("/bucket/TANF%202026/Q1/%C3%A9+%25%3F%23.txt?versionId="));
    assert_eq!(fs::read(root.path().join("bucket/TANF 2026/Q1/é+%?#.txt")).unwrap(), b"0123456789");

    let current = objects.uri("bucket", "TANF 2026/Q1/é+%?#.txt", None).unwrap();
    let stored = objects.head(&current).await.unwrap();
    assert_eq!((&stored.uri, stored.size), (&uri, 10));
    for (bytes, expected) in [
        (Bytes::Range(2..5), &b"234"[..]),
        (Bytes::Range(8..99), b"89"),
        (Bytes::Range(10..12), b""),
        (Bytes::Last(4), b"6789"),
        (Bytes::Last(99), b"0123456789"),
        (Bytes::Last(0), b""),
    ] {
        let chunk = objects.get_range(&uri, bytes.clone()).await.unwrap();
        assert_eq!((chunk.bytes.as_slice(), chunk.object_size), (expected, 10), "{bytes:?}");
    }
    let mut text = String::new();
    objects.open(&uri).await.unwrap().1.read_to_string(&mut text).await.unwrap();
    let to = NamedTempFile::new().unwrap();
    objects.download(&uri, to.path()).await.unwrap();
    assert_eq!(
        (text.as_bytes(), fs::read(to.path()).unwrap().as_slice()),
        (&b"0123456789"[..], &b"0123456789"[..])
    );
    let link = objects.presign_get(&uri, Duration::from_secs(60), LinkHeaders::default()).await;
    assert!(link.unwrap_err().to_string().starts_with("links need an S3 bucket"));
}

#[tokio::test]
async fn every_version_stays_readable_until_it_is_deleted() {
    let (_root, objects) = folder();
    let first = put(&objects, "key", b"first", false).await.unwrap();
    let second = put(&objects, "key", b"second", false).await.unwrap();
    let current = objects.uri("bucket", "key", None).unwrap();
    assert_eq!(objects.head(&current).await.unwrap().uri, second);
    assert_eq!(read(&objects, &first).await.unwrap(), b"first");
    assert_eq!(read(&objects, &second).await.unwrap(), b"second");

    objects.delete(&current).await.unwrap();
    objects.delete(&current).await.unwrap();
    assert!(matches!(
        read(&objects, &current).await,
        Err(ObjectError::NotFound { missing: Missing::Key, .. })
    ));
    assert_eq!(read(&objects, &second).await.unwrap(), b"second");
    objects.delete(&second).await.unwrap();
    assert!(matches!(
        read(&objects, &second).await,
        Err(ObjectError::NotFound { missing: Missing::Version, .. })
    ));
    assert_eq!(read(&objects, &first).await.unwrap(), b"first");
}

#[tokio::test]
async fn another_object_under_the_key_is_never_replaced_and_the_same_is_accepted() {
    let (root, objects) = folder();
    let first = put(&objects, "key", b"first", true).await.unwrap();
    assert_eq!(put(&objects, "key", b"first", true).await.unwrap(), first);
    let error = put(&objects, "key", b"other", true).await.unwrap_err();
    assert!(error.ends_with("/bucket/key: another object is already there"), "{error}");
    assert_eq!(read(&objects, &first).await.unwrap(), b"first");
    assert_eq!(files(root.path()).len(), 2, "the object and its version, and nothing that failed");
}

#[tokio::test]
async fn of_many_puts_of_one_key_at_once_exactly_one_wins() {
    let (root, objects) = folder();
    let barrier = Arc::new(Barrier::new(12));
    let tasks: Vec<_> = (0..12)
        .map(|number| {
            let (objects, barrier) = (objects.clone(), barrier.clone());
            carry::spawn(async move {
                barrier.wait().await;
                put(&objects, "folder/key", format!("{number}").as_bytes(), true).await
            })
        })
        .collect();
    let mut won = Vec::new();
    for task in tasks {
        won.extend(task.await.unwrap());
    }
    assert_eq!((won.len(), files(root.path()).len()), (1, 2));
}

#[tokio::test]
async fn a_file_that_is_not_the_promised_one_is_refused_and_leaves_nothing() {
    let (root, objects) = folder();
    let (source, put) = file(b"text");
    let put = Put { sha256: [7; 32], ..put };
    assert!(objects.put_file("bucket", "key", source.path(), &put).await.is_err());
    assert_eq!(files(root.path()), Vec::<String>::new());
    let error = objects.put_file("bucket", "key", Path::new("/no/such/file"), &put).await.unwrap_err();
    assert!(error.to_string().starts_with("failed to store file://"), "{error}");
}

#[tokio::test]
async fn errors_say_in_one_line_whether_bucket_key_or_version_is_missing() {
    let (_root, objects) = folder();
    put(&objects, "folder/key", b"text", true).await.unwrap();
    let version = "0198c0de-0000-7000-8000-000000000000";
    for (bucket, key, version, what) in [
        ("nowhere", "folder/key", None, Missing::Bucket),
        ("bucket", "folder/other", None, Missing::Key),
        ("bucket", "folder", None, Missing::Key),
        ("bucket", "folder/key/below", None, Missing::Key),
        ("bucket", "folder/other", Some(version), Missing::Key),
        ("bucket", "folder/key", Some(version), Missing::Version),
        ("bucket", "folder/key", Some("../key"), Missing::Version),
    ] {
        let uri = objects.uri(bucket, key, version).unwrap();
        let error = objects.head(&uri).await.unwrap_err();
        assert_eq!(error.to_string(), format!("{what} not found: {uri}"));
        assert!(matches!(error, ObjectError::NotFound { missing, .. } if missing == what));
    }
    let elsewhere: ObjectUri = "file:///etc/hostname".parse().unwrap();
    assert!(objects.head(&elsewhere).await.unwrap_err().to_string().contains("is not in the object folder"));
    let s3: ObjectUri = "s3://bucket/key".parse().unwrap();
    assert!(objects.head(&s3).await.unwrap_err().to_string().contains("is not in the object folder"));
}

#[tokio::test]
async fn no_name_leads_out_of_the_folder() {
    let (root, objects) = folder();
    for key in ["", "/a", "a/", "a//b", "..", "a/../b", "a/../../../b", "./a", "a\0b", ".versions/a"] {
        assert!(objects.uri("bucket", key, None).is_err(), "{key:?}");
        assert!(put(&objects, key, b"text", true).await.is_err(), "{key:?}");
    }
    for bucket in ["", ".", "..", "a/b", ".versions", "/tmp", "a\0b"] {
        assert!(objects.uri(bucket, "key", None).is_err(), "{bucket:?}");
    }
    let above = format!("file://{}/bucket/../../x", root.path().canonicalize().unwrap().display());
    assert!(objects.head(&above.parse().unwrap()).await.is_err());
}

#[tokio::test]
async fn what_a_crash_left_half_written_is_listed_and_removed() {
    let (root, objects) = folder();
    put(&objects, "logs/key", b"text", true).await.unwrap();
    let list = async || objects.stale_uploads("bucket", "logs/", Duration::from_secs(60)).await.unwrap();
    assert_eq!(list().await, []);
    let versions = root.path().join("bucket/.versions/logs/key");
    for (name, age) in [
        ("0198c0de-0000-7000-8000-000000000000.part", 3600),
        ("0198c0de-0000-7000-8000-000000000001.part", 1),
    ] {
        let part = File::create(versions.join(name)).unwrap();
        part.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
    }
    let stale = list().await;
    assert_eq!(stale.iter().map(|upload| upload.key.as_str()).collect::<Vec<_>>(), ["logs/key"]);
    objects.abort_upload("bucket", &stale[0]).await.unwrap();
    objects.abort_upload("bucket", &stale[0]).await.unwrap();
    assert_eq!((list().await.len(), fs::read_dir(versions).unwrap().count()), (0, 2));
}

#[tokio::test]
async fn a_file_put_there_by_hand_is_an_object_without_a_version() {
    let (root, objects) = folder();
    fs::create_dir_all(root.path().join("bucket")).unwrap();
    fs::write(root.path().join("bucket/by-hand"), "text").unwrap();
    let uri = objects.uri("bucket", "by-hand", None).unwrap();
    let stored = objects.head(&uri).await.unwrap();
    assert_eq!((stored.uri.version(), stored.size), (None, 4));
}

/// What is left of a put that was killed before its version became the current one.
#[tokio::test]
async fn a_put_that_is_repeated_takes_up_the_version_that_a_killed_one_left() {
    let (root, objects) = folder();
    let versions = root.path().join("bucket/.versions/key");
    let left = |bytes: &[u8]| {
        let name = uuid::Uuid::now_v7().to_string();
        fs::create_dir_all(&versions).unwrap();
        fs::write(versions.join(&name), bytes).unwrap();
        name
    };
    let first = left(b"first");
    assert_eq!(put(&objects, "key", b"first", false).await.unwrap().version(), Some(first.as_str()));
    let second = left(b"second");
    // Of other bytes, or older than the current one: it is nobody's business.
    for bytes in [b"other", b"first"] {
        let stored = put(&objects, "key", bytes, false).await.unwrap();
        assert!(![first.as_str(), second.as_str()].contains(&stored.version().unwrap()));
        assert_eq!(read(&objects, &stored).await.unwrap(), bytes);
    }
    let third = left(b"third");
    assert_eq!(put(&objects, "key", b"third", false).await.unwrap().version(), Some(third.as_str()));
    let current = objects.uri("bucket", "key", None).unwrap();
    assert_eq!(read(&objects, &current).await.unwrap(), b"third");
    assert_eq!(fs::read_dir(&versions).unwrap().count(), 5);
}

#[test]
fn what_is_no_uri_is_refused_with_a_reason() {
    for (text, reason) in [
        ("key", "begins neither with s3:// nor with file:///"),
        ("https://bucket/key", "begins neither with s3:// nor with file:///"),
        ("s3://", "is not a bucket name"),
        ("s3://buc ket/key", "is not a bucket name"),
        ("s3://bucket", "an object key has 1 to 1024 bytes"),
        ("s3://bucket/", "an object key has 1 to 1024 bytes"),
        ("file://host/path", "is not an absolute path"),
        ("s3://bucket/%ff", "is not UTF-8"),
    ] {
        let error = text.parse::<ObjectUri>().unwrap_err().to_string();
        assert!(error.contains(reason), "{text}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_key_and_version_survive_being_written_as_a_uri(key in "\\PC{1,60}|[ -~]{1,60}|.{1,20}", version in prop::option::of("[!-~]{1,40}")) {
        let uri = ObjectUri::S3 { bucket: "bucket".into(), key, version };
        let text = uri.to_string();
        prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{}", text);
        prop_assert_eq!(text.parse::<ObjectUri>().unwrap(), uri);
    }
}

/// A folder that no walk comes through: its path is longer than the system takes.
fn abyss(at: &Path) {
    fs::create_dir_all(at).unwrap();
    let mut folder = File::open(at).unwrap();
    let name = "x".repeat(250);
    for _ in 0..20 {
        rustix::fs::mkdirat(&folder, &name, rustix::fs::Mode::RWXU).unwrap();
        let (flags, mode) = (rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty());
        folder = rustix::fs::openat(&folder, &name, flags, mode).unwrap().into();
    }
}

#[tokio::test]
async fn unfinished_uploads_of_one_key_are_found_without_a_walk_through_the_bucket() {
    let (root, objects) = folder();
    put(&objects, "logs/2026/key", b"text", true).await.unwrap();
    let versions = root.path().join("bucket/.versions");
    File::create(versions.join("logs/2026/key/0198c0de-0000-7000-8000-000000000000.part")).unwrap();
    for other in ["other", "logs/2025", "logs/2026/another"] {
        abyss(&versions.join(other));
    }
    let found = objects.stale_uploads("bucket", "logs/2026/key", Duration::ZERO).await.unwrap();
    assert_eq!(found.iter().map(|upload| upload.key.as_str()).collect::<Vec<_>>(), ["logs/2026/key"]);
    assert!(
        objects.stale_uploads("bucket", "", Duration::ZERO).await.is_err(),
        "a walk does not come through"
    );
}
