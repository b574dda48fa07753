//! Objects in a server that keeps no SHA-256, ignores conditions and has no versions, and what the
//! program does with one.

use parselog::objects::{ObjectError, Objects, S3, S3Options, Versions};

use crate::localstack;
use crate::objects_s3::file;
use crate::plain_server::PlainServer;
use crate::support::{Desk, Said, sample};

async fn client(server: &PlainServer) -> Objects {
    let endpoint = Some(format!("http://localhost:{}", server.port));
    Objects::S3(S3::connect(S3Options { endpoint, path_style: true, ..S3Options::default() }).await)
}

#[tokio::test]
async fn a_store_that_keeps_no_sha256_is_read_back_before_a_put_counts() {
    let server = PlainServer::start().await;
    let objects = client(&server).await;
    let (source, put) = file(b"0123456789");
    let stored = objects.put_file("bucket", "key", source.path(), &put).await.unwrap();
    assert_eq!((stored.size, stored.uri.version()), (10, None));
    assert_eq!(objects.digest(&stored.uri).await.unwrap(), (stored, put.sha256));
    assert!(matches!(objects.versions("bucket").await.unwrap(), Versions::Unknown { .. }));
}

#[tokio::test]
async fn a_whole_run_works_at_a_plain_store_behind_a_host_name() {
    let server = PlainServer::start().await;
    let desk = Desk::new().await;
    let parselog = async |arguments: &[&str]| {
        let mut command = desk.command(arguments);
        command
            .env("PARSELOG_BUCKET", "bucket")
            .env("PARSELOG_S3_PATH_STYLE", "true")
            .env("AWS_ENDPOINT_URL_S3", format!("http://localhost:{}", server.port));
        // The server answers on this test's runtime.
        Said::of(tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap())
    };
    let said = parselog(&["run", "--json", &sample("tanf-active-2021-q1.txt")]).await;
    assert_eq!(said.code, 0, "{}", said.err);
    assert_eq!(said.err.matches("keeps no SHA-256").count(), 1, "{}", said.err);
    assert_eq!(said.json()[0]["log_state"], "archived");
    let names = server.names();
    assert!(names.iter().all(|name| name.starts_with("/bucket/data_files/2021/Q1/")), "{names:?}");
    assert_eq!((names.len(), parselog(&["logs", "@latest"]).await.code), (2, 0));
    assert_eq!(parselog(&["verify", "--all"]).await.code, 0);
}

#[tokio::test]
async fn keys_with_percents_and_pluses_and_keys_that_end_in_a_slash_are_taken_as_they_stand() {
    let bucket = localstack::bucket().await;
    let desk = Desk::new().await;
    let text = crate::support::sample_text("tanf-active-2021-q1.txt");
    let keys = ["in/a%20b.txt", "in/a+b.txt", "in/100%.txt", "in/folder/", "in/c d.txt"];
    for key in keys {
        let body = text.clone().into_bytes().into();
        bucket.sdk.put_object().bucket(&bucket.name).key(key).body(body).send().await.unwrap();
    }
    let run = |key: &str| {
        let object = format!("s3://{}/{key}", bucket.name);
        let said = ["--program", "tanf", "--section", "active", "--year", "2021", "--quarter", "1"];
        let mut command = desk.command(&["run", "--json", &object]);
        command.args(said).env("PARSELOG_BUCKET", &bucket.name);
        Said::of(command.env("AWS_ENDPOINT_URL_S3", localstack::endpoint()).output().unwrap())
    };
    for key in keys {
        let said = run(key);
        assert_eq!(said.code, 0, "{key}: {}", said.err);
        assert_eq!((&said.json()[0]["key"], &said.json()[0]["log_state"]), (&key.into(), &"archived".into()));
    }
    // As a URI of ours writes it, too.
    assert_eq!(run("in/c%20d.txt").json()[0]["key"], "in/c d.txt");
    let missing = bucket.objects.uri(&bucket.name, "in/a%20b", None).unwrap();
    assert!(matches!(bucket.objects.head(&missing).await, Err(ObjectError::NotFound { .. })));
}
