//! A bucket of its own for each test, in the LocalStack that `PARSELOG_TEST_S3` names.

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use parselog::objects::{Objects, S3, S3Options};
use uuid::Uuid;

/// The endpoint of LocalStack. S3 tests fail without one; they are never skipped.
pub(crate) fn endpoint() -> String {
    std::env::var("PARSELOG_TEST_S3")
        .expect("PARSELOG_TEST_S3 names no S3 server for tests: run eval \"$(localstack/start --env)\" first")
}

/// A versioned bucket, and our client of it.
pub(crate) struct Bucket {
    pub name: String,
    pub objects: Objects,
    /// The plain SDK, for what parselog itself never does.
    pub sdk: Client,
}

/// Makes a new, empty bucket.
pub(crate) async fn bucket() -> Bucket {
    bucket_with(S3Options::default()).await
}

/// As [`bucket`]; versioning stands as said, or was never asked for.
pub(crate) async fn bucket_versioned(status: Option<BucketVersioningStatus>) -> Bucket {
    make(S3Options::default(), status).await
}

/// As [`bucket`]; `options` are those of our client.
pub(crate) async fn bucket_with(options: S3Options) -> Bucket {
    make(options, Some(BucketVersioningStatus::Enabled)).await
}

async fn make(options: S3Options, status: Option<BucketVersioningStatus>) -> Bucket {
    let config =
        aws_config::defaults(aws_config::BehaviorVersion::latest()).endpoint_url(endpoint()).load().await;
    let sdk = Client::new(&config);
    let name = format!("test-{}", Uuid::new_v4());
    sdk.create_bucket().bucket(&name).send().await.expect("LocalStack makes a bucket");
    if let Some(status) = status {
        let versioned = VersioningConfiguration::builder().status(status).build();
        sdk.put_bucket_versioning().bucket(&name).versioning_configuration(versioned).send().await.unwrap();
    }
    let endpoint = options.endpoint.clone().or_else(|| Some(endpoint()));
    let objects = Objects::S3(S3::connect(S3Options { endpoint, ..options }).await);
    Bucket { name, objects, sdk }
}

impl Bucket {
    /// How many multipart uploads are open.
    pub(crate) async fn open_uploads(&self) -> usize {
        self.sdk.list_multipart_uploads().bucket(&self.name).send().await.unwrap().uploads().len()
    }
}
