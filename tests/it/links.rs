//! Links to logs in S3: they work without an account, as text and as a download, and are audited.

use std::process::Command;

use parselog::store;

use crate::fault_server::http_get;
use crate::localstack;
use crate::support::{Desk, Said, sample_text};

/// The program at a bucket of LocalStack.
fn at(desk: &Desk, bucket: &str, arguments: &[&str]) -> Said {
    let mut command: Command = desk.command(arguments);
    command.env("PARSELOG_BUCKET", bucket).env("AWS_ENDPOINT_URL", localstack::endpoint());
    Said::of(command.output().unwrap())
}

#[tokio::test]
async fn a_link_shows_the_log_as_text_or_saves_it_and_each_is_an_audit_entry() {
    let (desk, bucket) = (Desk::new().await, localstack::bucket().await);
    let file = desk.file("a.txt", &sample_text("tanf-active-2021-q1.txt"));
    let said = at(&desk, &bucket.name, &["run", &file]);
    assert_eq!(said.code, 0, "{}", said.err);
    let raw = at(&desk, &bucket.name, &["logs", "@latest", "-o", "raw"]).out;
    assert!(raw.lines().count() > 11);

    let (mut links, mut heads) = (Vec::new(), Vec::new());
    for arguments in [&["url", "@latest", "--expires", "2m"][..], &["url", "@latest", "--download"]] {
        let said = at(&desk, &bucket.name, arguments);
        assert_eq!(said.code, 0, "{}", said.err);
        let (head, body) = http_get(said.out.trim()).await.unwrap();
        let mut unpacked = String::new();
        std::io::Read::read_to_string(
            &mut parselog::gzip::BoundedReader::new(&body[..], 1 << 20),
            &mut unpacked,
        )
        .unwrap();
        assert_eq!(unpacked, raw);
        links.push(said.out);
        heads.push(head.to_lowercase());
    }
    assert!(links[0].contains("X-Amz-Expires=120&") && links[1].contains("X-Amz-Expires=900&"), "{links:?}");
    assert!(heads[0].contains("content-type: text/plain; charset=utf-8"), "{}", heads[0]);
    assert!(heads[0].contains("content-encoding: gzip"), "{}", heads[0]);
    assert!(heads[1].contains("content-type: application/gzip"), "{}", heads[1]);
    assert!(heads[1].contains("content-disposition: attachment; filename="), "{}", heads[1]);

    let run = store::latest(&desk.db.pool, &store::RunFilter::default()).await.unwrap().unwrap();
    let entries = store::entry::of_run(&desk.db.pool, run.id).await.unwrap();
    let issued: Vec<_> = entries.iter().filter(|entry| entry.entry == "link-issued").collect();
    assert_eq!(issued.len(), 2);
    assert_eq!(
        (issued[0].actor.as_str(), issued[0].detail.as_deref()),
        ("ann", Some("a link to look at for 2m"))
    );
}

#[tokio::test]
async fn pruning_removes_exactly_the_version_of_the_log_from_the_bucket() {
    let (desk, bucket) = (Desk::new().await, localstack::bucket().await);
    let file = desk.file("a.txt", &sample_text("tanf-active-2021-q1.txt"));
    assert_eq!(at(&desk, &bucket.name, &["run", &file]).code, 0);
    let versions = async || {
        let listed = bucket.sdk.list_object_versions().bucket(&bucket.name).send().await.unwrap();
        listed.versions().len() + listed.delete_markers().len()
    };
    assert_eq!(versions().await, 2, "the submission and its log");
    assert_eq!(at(&desk, &bucket.name, &["erase", "@latest", "--yes"]).code, 0);
    assert_eq!(versions().await, 1, "the log is still there, or hidden only");
}
