//! Objects in S3, or in any compatible server, with or without SHA-256 checksums and
//! versions.
//!
//! The only user of the AWS SDK. Every call is bounded in time: by what its bytes need at a
//! slow but living pace, times the tries. Credentials, region and endpoint come from the standard
//! AWS environment unless the options name them.

mod bucket;
mod confirm;
mod error;
mod get;
mod put;
mod upload;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Once};
use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow};
use aws_config::BehaviorVersion;
use aws_config::meta::region::RegionProviderChain;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::{RetryConfig, RetryPartition};
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{self, Region};
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::{ByteStream, Length};
use aws_sdk_s3::types::ServerSideEncryption;

use self::error::S3Failure;
use super::{LinkHeaders, Missing, ObjectError, ObjectResult, ObjectUri, Put, StaleUpload};

/// How S3 is reached and used.
#[derive(Debug, Clone)]
pub struct S3Options {
    /// Instead of `AWS_ENDPOINT_URL_S3` and `AWS_ENDPOINT_URL`.
    pub endpoint: Option<String>,
    /// Instead of `AWS_REGION` and the profile; where nothing says one, it is `us-east-1`.
    pub region: Option<String>,
    /// Buckets as the first part of the path, as most servers other than Amazon's want it.
    pub path_style: bool,
    pub encryption: Encryption,
    /// Larger files go up in parts, in bytes.
    pub multipart_threshold: u64,
    /// Bytes of a part, at least 5 MiB; more where 10,000 parts would not be enough.
    pub part_size: u64,
    /// Parts of one file that are under way at once.
    pub parts_at_once: usize,
    /// Tries of each request, the first included.
    pub attempts: u32,
    /// A try may take this long, and the time that its bytes take at `slowest` on top; a request
    /// with all its tries, four times that.
    pub attempt_timeout: Duration,
    /// Bytes a second.
    pub slowest: u64,
    /// How long a request without a body may wait for its answer.
    pub read_timeout: Duration,
    /// The pause before the second try is at most this; it doubles, up to five seconds.
    pub first_backoff: Duration,
}

impl Default for S3Options {
    fn default() -> Self {
        Self {
            endpoint: None,
            region: None,
            path_style: false,
            encryption: Encryption::None,
            multipart_threshold: 8 << 20,
            part_size: 8 << 20,
            parts_at_once: 3,
            attempts: 4,
            attempt_timeout: Duration::from_secs(30),
            slowest: 256 << 10,
            read_timeout: Duration::from_secs(10),
            first_backoff: Duration::from_millis(200),
        }
    }
}

/// Server-side encryption that each put asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encryption {
    /// What the bucket does by itself.
    None,
    Aes256,
    /// With this key, or the account's own one for S3.
    Kms {
        key_id: Option<String>,
    },
}

/// A client of S3.
#[derive(Debug, Clone)]
pub struct S3 {
    client: Client,
    options: S3Options,
    /// It is said once that the server keeps no SHA-256.
    told_of_no_sha256: Arc<Once>,
}

impl S3 {
    /// Makes a client. Sends nothing to S3, so a wrong endpoint or key shows at the first use.
    pub async fn connect(options: S3Options) -> Self {
        let region = options.region.clone().map(Region::new);
        let region = RegionProviderChain::first_try(region).or_default_provider().or_else("us-east-1");
        let shared = aws_config::defaults(BehaviorVersion::v2026_01_12()).region(region).load().await;
        let retry = RetryConfig::standard()
            .with_max_attempts(options.attempts)
            .with_initial_backoff(options.first_backoff)
            .with_max_backoff(Duration::from_secs(5));
        let mut builder = config::Builder::from(&shared)
            .retry_config(retry)
            // The default partition is shared by the whole process, and so is its budget of tries.
            .retry_partition(RetryPartition::custom("parselog").build())
            .force_path_style(options.path_style);
        if let Some(endpoint) = &options.endpoint {
            builder = builder.endpoint_url(endpoint);
        }
        Self { client: Client::from_conf(builder.build()), options, told_of_no_sha256: Arc::new(Once::new()) }
    }

    pub(super) async fn delete(&self, uri: &ObjectUri) -> ObjectResult<()> {
        let (bucket, key, version) = parts(uri)?;
        let request = self.client.delete_object().bucket(bucket).key(key).set_version_id(version);
        let sent = request.customize().config_override(self.quick()).send().await;
        match sent.map_err(|error| S3Failure::of(&error).named(&uri.to_string())) {
            Ok(_) | Err(ObjectError::NotFound { missing: Missing::Key | Missing::Version, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn presign_get(
        &self,
        uri: &ObjectUri,
        expires: Duration,
        headers: LinkHeaders,
    ) -> ObjectResult<String> {
        let (bucket, key, version) = parts(uri)?;
        let expires = PresigningConfig::expires_in(expires).context("a link expires in a week at most")?;
        let request = self.client.get_object().bucket(bucket).key(key).set_version_id(version);
        let link = request
            .set_response_content_type(headers.content_type)
            .set_response_content_disposition(headers.content_disposition)
            .set_response_content_encoding(headers.content_encoding)
            .presigned(expires)
            .await;
        Ok(link.map_err(|error| S3Failure::of(&error).named(&uri.to_string()))?.uri().to_owned())
    }

    pub(super) async fn stale_uploads(
        &self,
        bucket: &str,
        prefix: &str,
        age: Duration,
    ) -> ObjectResult<Vec<StaleUpload>> {
        let before = SystemTime::now() - age;
        let mut found = Vec::new();
        let (mut key, mut id) = (None, None);
        loop {
            let request = self.client.list_multipart_uploads().bucket(bucket).prefix(prefix);
            let request = request.set_key_marker(key).set_upload_id_marker(id);
            let page = request.customize().config_override(self.quick()).send().await;
            let page = page.map_err(|error| S3Failure::of(&error).named(&format!("s3://{bucket}")))?;
            for upload in page.uploads.unwrap_or_default() {
                let started = upload.initiated.and_then(|time| SystemTime::try_from(time).ok());
                if let (Some(key), Some(id), Some(started)) = (upload.key, upload.upload_id, started)
                    && started < before
                {
                    found.push(StaleUpload { key, started, id });
                }
            }
            (key, id) = (page.next_key_marker, page.next_upload_id_marker);
            if page.is_truncated != Some(true) || key.is_none() {
                return Ok(found);
            }
        }
    }

    fn time_for(&self, bytes: u64) -> Duration {
        self.options.attempt_timeout + Duration::from_secs(bytes / self.options.slowest.max(1))
    }

    /// The bounds of a request that carries `bytes` there or back. No read timeout: on an upload
    /// it would count the time that sending takes.
    fn bounded(&self, bytes: u64) -> config::Builder {
        let attempt = self.time_for(bytes);
        let timeouts =
            TimeoutConfig::builder().operation_attempt_timeout(attempt).operation_timeout(4 * attempt);
        config::Config::builder().timeout_config(timeouts.build())
    }

    /// The bounds of a request without a body.
    fn quick(&self) -> config::Builder {
        let attempt = self.options.attempt_timeout;
        let timeouts = TimeoutConfig::builder()
            .read_timeout(self.options.read_timeout)
            .operation_attempt_timeout(attempt)
            .operation_timeout(4 * attempt);
        config::Config::builder().timeout_config(timeouts.build())
    }
}

fn parts(uri: &ObjectUri) -> ObjectResult<(&str, &str, Option<String>)> {
    match uri {
        ObjectUri::S3 { bucket, key, version } => Ok((bucket, key, version.clone())),
        ObjectUri::File { .. } => Err(anyhow!("{uri} is not in S3").into()),
    }
}

impl S3 {
    fn encryption(&self) -> (Option<ServerSideEncryption>, Option<String>) {
        match &self.options.encryption {
            Encryption::None => (None, None),
            Encryption::Aes256 => (Some(ServerSideEncryption::Aes256), None),
            Encryption::Kms { key_id } => (Some(ServerSideEncryption::AwsKms), key_id.clone()),
        }
    }
}

fn condition(put: &Put) -> Option<String> {
    put.if_none_match.then(|| "*".to_owned())
}

fn metadata(put: &Put) -> HashMap<String, String> {
    put.metadata.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

/// Bytes of a file to read at once for a request: the SDK's 4 KiB took as long for a part of 8 MiB as a store on the same
/// machine does with it.
const READ_AT_ONCE: usize = 128 << 10;

/// Some bytes of a file, read again from it at every try.
async fn body(path: &Path, offset: u64, length: u64) -> anyhow::Result<ByteStream> {
    let body = ByteStream::read_from().path(path).offset(offset).length(Length::Exact(length));
    let body = body.buffer_size(READ_AT_ONCE);
    body.build().await.with_context(|| format!("failed to read {}", path.display()))
}
