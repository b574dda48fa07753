//! Uploads in parts: one body of tests for both stores.

use std::time::Duration;

use parselog::objects::{Bytes, FolderStore, Missing, ObjectError, Objects, Put, Upload, UploadedPart};
use tempfile::TempDir;

use crate::localstack::{self, Bucket};
use crate::objects_s3::{file, large};

/// A store, and what it lives in.
struct Store {
    objects: Objects,
    bucket: String,
    _folder: Option<TempDir>,
    s3: Option<Bucket>,
}

impl Store {
    fn folder() -> Self {
        let root = TempDir::new().unwrap();
        let objects = Objects::Folder(FolderStore::open(root.path()).unwrap());
        Self { objects, bucket: "bucket".to_owned(), _folder: Some(root), s3: None }
    }

    async fn s3() -> Self {
        let bucket = localstack::bucket().await;
        Self { objects: bucket.objects.clone(), bucket: bucket.name.clone(), _folder: None, s3: Some(bucket) }
    }

    async fn begin(&self, key: &str) -> Upload {
        self.objects.begin_upload(&self.bucket, key, &file(b"").1).await.unwrap()
    }

    /// Sends the bytes as three parts, the last one first.
    async fn send(&self, upload: &Upload, bytes: &[u8]) -> Vec<UploadedPart> {
        let (source, _) = file(bytes);
        let (step, size) = (5 << 20, bytes.len() as u64);
        let mut parts = Vec::new();
        for number in [3, 1, 2] {
            let begin = (u64::from(number) - 1) * step;
            let stretch = begin..(begin + step).min(size);
            parts.push(self.objects.upload_part(upload, number, source.path(), stretch).await.unwrap());
        }
        parts.sort_by_key(|part| part.number);
        parts
    }

    async fn complete(&self, upload: &Upload, parts: &[UploadedPart], put: &Put) -> Result<String, String> {
        let stored = self.objects.complete_upload(upload, parts, put).await;
        stored.map(|stored| stored.uri.to_string()).map_err(|error| match error {
            ObjectError::Other(error) => format!("{error:#}"),
            error => error.to_string(),
        })
    }

    async fn stale(&self) -> usize {
        let stale = self.objects.stale_uploads(&self.bucket, "logs/", Duration::ZERO).await;
        stale.map_or(0, |stale| stale.len())
    }

    /// What is left of uploads that ended.
    async fn left(&self) -> usize {
        match (&self.s3, &self._folder) {
            (Some(bucket), _) => bucket.open_uploads().await,
            (None, Some(root)) => std::fs::read_dir(root.path().join("bucket/.versions/logs/key"))
                .map_or(0, |files| {
                    files.filter(|file| file.as_ref().unwrap().path().extension().is_some()).count()
                }),
            (None, None) => unreachable!("a store lives somewhere"),
        }
    }
}

/// Each test, for either store.
macro_rules! for_both_stores {
    ($($name:ident)*) => {
        mod folder {
            $(#[tokio::test] async fn $name() { super::$name(super::Store::folder()).await })*
        }
        mod s3 {
            $(#[tokio::test] async fn $name() { super::$name(super::Store::s3().await).await })*
        }
    };
}

for_both_stores! {
    parts_become_an_object_and_a_lost_answer_is_asked_for_again
    another_process_goes_on_with_an_upload
    an_aborted_upload_frees_what_it_held
    parts_that_are_not_the_promised_bytes_are_no_object
    an_object_that_is_there_is_kept
}

async fn parts_become_an_object_and_a_lost_answer_is_asked_for_again(store: Store) {
    let (bytes, upload) = (large(), store.begin("logs/key").await);
    let put = file(&bytes).1;
    let parts = store.send(&upload, &bytes).await;
    let uri = store.objects.uri(&store.bucket, "logs/key", None).unwrap();
    assert!(matches!(store.objects.head(&uri).await, Err(ObjectError::NotFound { .. })));

    let stored = store.objects.complete_upload(&upload, &parts, &put).await.unwrap();
    assert_eq!(stored.size, bytes.len() as u64);
    let read = store.objects.get_range(&stored.uri, Bytes::Range(0..stored.size)).await.unwrap();
    assert!(read.bytes == bytes);
    assert_eq!((store.stale().await, store.left().await), (0, 0));

    let again = store.objects.complete_upload(&upload, &parts, &put).await.unwrap();
    assert_eq!(again, stored);
    store.objects.abort(&upload).await.unwrap();
    assert_eq!(store.objects.head(&uri).await.unwrap(), stored);
}

async fn another_process_goes_on_with_an_upload(store: Store) {
    let (bytes, begun) = (large(), store.begin("logs/key").await);
    let sent = store.send(&begun, &bytes).await;
    let upload = Upload { bucket: store.bucket.clone(), key: "logs/key".to_owned(), id: begun.id };
    let parts = store.objects.parts(&upload).await.unwrap();
    assert_eq!(parts, sent);
    assert_eq!(store.stale().await, 1);

    // A part that is sent again takes the place of the first one.
    let (source, put) = file(&bytes);
    store.objects.upload_part(&upload, 2, source.path(), 0..5 << 20).await.unwrap();
    store.objects.upload_part(&upload, 2, source.path(), 5 << 20..10 << 20).await.unwrap();
    let parts = store.objects.parts(&upload).await.unwrap();
    assert_eq!(parts, sent);
    store.complete(&upload, &parts, &put).await.unwrap();
    assert_eq!(store.left().await, 0);
}

async fn an_aborted_upload_frees_what_it_held(store: Store) {
    let (bytes, upload) = (large(), store.begin("logs/key").await);
    let parts = store.send(&upload, &bytes).await;
    assert_eq!(store.stale().await, 1);
    store.objects.abort(&upload).await.unwrap();
    store.objects.abort(&upload).await.unwrap();
    assert_eq!((store.stale().await, store.left().await), (0, 0));

    let parts_left = store.objects.parts(&upload).await;
    assert!(
        matches!(parts_left, Err(ObjectError::NotFound { missing: Missing::Upload, .. })),
        "{parts_left:?}"
    );
    store.complete(&upload, &parts, &file(&bytes).1).await.unwrap_err();
}

async fn parts_that_are_not_the_promised_bytes_are_no_object(store: Store) {
    let (bytes, upload) = (large(), store.begin("logs/key").await);
    let put = file(&bytes).1;
    let parts = store.send(&upload, &bytes[1..]).await;
    let mut lie = parts.clone();
    lie[1].sha256 = Some([7; 32]);
    if store.s3.is_some() {
        store.complete(&upload, &lie, &put).await.unwrap_err();
    } else {
        let error = store.complete(&upload, &lie, &put).await.unwrap_err();
        assert!(error.contains("is not the file that was promised"), "{error}");
    }
    store.objects.abort(&upload).await.unwrap();
    assert_eq!(store.left().await, 0);
}

async fn an_object_that_is_there_is_kept(store: Store) {
    let (source, put) = file(b"first");
    let first = store.objects.put_file(&store.bucket, "logs/key", source.path(), &put).await.unwrap();

    let (bytes, upload) = (large(), store.begin("logs/key").await);
    let put = file(&bytes).1;
    let parts = store.send(&upload, &bytes).await;
    let error = store.complete(&upload, &parts, &put).await.unwrap_err();
    assert!(error.contains("another object is already there"), "{error}");
    assert_eq!(store.objects.head(&first.uri).await.unwrap(), first);
    store.objects.abort(&upload).await.unwrap();

    let upload = store.begin("logs/key").await;
    let parts = store.send(&upload, &bytes).await;
    let put = Put { if_none_match: false, ..put };
    let second = store.complete(&upload, &parts, &put).await.unwrap();
    let current = store.objects.uri(&store.bucket, "logs/key", None).unwrap();
    assert_eq!(store.objects.head(&current).await.unwrap().uri.to_string(), second);
}
