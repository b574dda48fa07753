//! Symbolic links that somebody plants in the folder of a store: no operation follows them.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use tempfile::TempDir;

use crate::objects_folder::{files, folder, put};
use crate::objects_s3::file;

#[tokio::test]
async fn no_link_leads_out_of_the_folder() {
    let (root, objects) = folder();
    let outside = TempDir::new().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    put(&objects, "inside", b"text", true).await.unwrap();
    symlink(outside.path(), root.path().join("bucket/link")).unwrap();
    symlink(outside.path().join("secret"), root.path().join("bucket/file")).unwrap();
    for key in ["link/secret", "file"] {
        let uri = objects.uri("bucket", key, None).unwrap();
        assert!(objects.head(&uri).await.unwrap_err().to_string().starts_with("failed to open"));
    }
    let error = put(&objects, "link/new", b"text", true).await.unwrap_err();
    assert!(error.ends_with("a symbolic link leads out of the object folder"), "{error}");
    assert_eq!(files(outside.path()), ["secret"]);
}

/// Somebody who may write in the folder plants links there: for a folder of keys, for a folder of versions, and for
/// an object.
#[tokio::test]
async fn no_operation_follows_a_link_out_of_the_folder() {
    let (root, objects) = folder();
    let outside = TempDir::new().unwrap();
    let secret = outside.path().join("0198c0de-0000-7000-8000-000000000000");
    let part = outside.path().join("0198c0de-0000-7000-8000-000000000001.part");
    fs::write(&secret, "text").unwrap();
    fs::write(&part, "").unwrap();
    let (_source, promise) = file(b"text");
    let before = files(outside.path());
    put(&objects, "inside", b"text", true).await.unwrap();
    let bucket = root.path().join("bucket");
    fs::create_dir_all(bucket.join(".versions/of")).unwrap();
    symlink(outside.path(), bucket.join("link")).unwrap();
    symlink(outside.path(), bucket.join(".versions/link")).unwrap();
    symlink(outside.path(), bucket.join(".versions/of/versions")).unwrap();
    symlink(&secret, bucket.join("object")).unwrap();

    let name = secret.file_name().unwrap().to_str().unwrap();
    for (key, version) in [(format!("link/{name}"), None), ("of/versions".to_owned(), Some(name))] {
        let uri = objects.uri("bucket", &key, version).unwrap();
        assert!(objects.head(&uri).await.is_err(), "{uri}");
        let error = objects.delete(&uri).await.unwrap_err();
        assert!(format!("{:#}", anyhow::Error::from(error)).ends_with("leads out of the object folder"));
        assert!(put(&objects, &key, b"text", false).await.is_err(), "{uri}");
        assert!(objects.begin_upload("bucket", &key, &promise).await.is_err(), "{uri}");
    }
    assert!(objects.list_folder("bucket", "link").await.is_err());
    for prefix in ["link/", "of/versions/"] {
        assert!(objects.stale_uploads("bucket", prefix, Duration::ZERO).await.is_err(), "{prefix}");
    }
    assert_eq!(objects.stale_uploads("bucket", "", Duration::ZERO).await.unwrap(), []);

    let object = objects.uri("bucket", "object", None).unwrap();
    assert!(objects.head(&object).await.is_err());
    assert!(put(&objects, "object", b"text", true).await.is_err());
    assert_eq!(objects.list_folder("bucket", "of").await.unwrap(), []);
    objects.delete(&object).await.unwrap();
    assert!(!bucket.join("object").is_symlink(), "the link goes, and what it names stays");
    assert_eq!((files(outside.path()), fs::read(&secret).unwrap().as_slice()), (before, &b"text"[..]));
}
