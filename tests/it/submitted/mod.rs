//! What is submitted is what is parsed, and whose it is belongs to what it is: by the program itself, at
//! every kind of store.

mod bytes;
mod owners;
mod unversioned;

use std::process::Command;

use aws_sdk_s3::types::BucketVersioningStatus;
use parselog::store::{self, Run, RunFilter};
use sha2::{Digest, Sha256};

use crate::localstack::{self, Bucket};
use crate::support::{Desk, Said, sample_text};

/// A desk, and its bucket; without one, a folder.
struct Place {
    desk: Desk,
    bucket: Option<Bucket>,
}

impl Place {
    async fn folder() -> Self {
        Self { desk: Desk::new().await, bucket: None }
    }

    async fn s3(status: Option<BucketVersioningStatus>) -> Self {
        Self { desk: Desk::new().await, bucket: Some(localstack::bucket_versioned(status).await) }
    }

    /// One of each kind of store.
    async fn all() -> [Self; 4] {
        [
            Self::folder().await,
            Self::s3(Some(BucketVersioningStatus::Enabled)).await,
            Self::s3(Some(BucketVersioningStatus::Suspended)).await,
            Self::s3(None).await,
        ]
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.desk.command(arguments);
        if let Some(bucket) = &self.bucket {
            command.env("PARSELOG_BUCKET", &bucket.name).env("AWS_ENDPOINT_URL_S3", localstack::endpoint());
        }
        command
    }

    fn run(&self, arguments: &[&str]) -> Said {
        Said::of(self.command(arguments).output().unwrap())
    }

    fn ok(&self, arguments: &[&str]) -> Said {
        let said = self.run(arguments);
        assert_eq!(said.code, 0, "{arguments:?} at {:?}: {}{}", self.name(), said.out, said.err);
        said
    }

    fn name(&self) -> Option<&str> {
        self.bucket.as_ref().map(|bucket| bucket.name.as_str())
    }

    /// Writes a file of this name into a folder of its own; returns its path.
    fn file(&self, folder: &str, name: &str, text: &str) -> String {
        std::fs::create_dir_all(self.desk.home.path().join(folder)).unwrap();
        self.desk.file(&format!("{folder}/{name}"), text)
    }

    /// Puts an object as another program does.
    async fn put(&self, key: &str, text: &str) {
        let bucket = self.bucket.as_ref().unwrap();
        let body = text.to_owned().into_bytes().into();
        bucket.sdk.put_object().bucket(&bucket.name).key(key).body(body).send().await.unwrap();
    }

    /// Queues an object as a backend does that names no version.
    async fn enqueue(&self, key: &str, by: &str) {
        sqlx::query(
            "select enqueue_parse(bucket => $1, key => $2, version_id => '', name => 'a.txt', program => 'tanf',
                 section => 'active', fiscal_year => 2021, fiscal_quarter => 1, submitted_by => $3,
                 submitter_emails => array[$3 || '@example.org'])",
        )
        .bind(self.name().unwrap())
        .bind(key)
        .bind(by)
        .execute(&self.desk.db.pool)
        .await
        .unwrap();
    }

    /// All runs, the oldest first.
    async fn runs(&self) -> Vec<Run> {
        let mut runs = store::find(&self.desk.db.pool, &RunFilter::default()).await.unwrap();
        runs.reverse();
        runs
    }
}

fn hash(text: &str) -> Option<[u8; 32]> {
    Some(Sha256::digest(text).into())
}

/// A submission with 9 errors, and its correction with none.
fn texts() -> [String; 2] {
    [sample_text("tanf-active-2021-q1.txt"), sample_text("tanf-active-2021-q1-corrected.txt")]
}

/// The submission, as this state's.
fn of_state(fips: &str) -> String {
    let [text, _] = texts();
    let changed = text.replacen("HEADER20204A06", &format!("HEADER20204A{fips}"), 1);
    assert!(fips == "06" || changed != text, "the sample has another header");
    changed
}
