//! Objects in S3, or in any server that speaks its language with SHA-256 checksums.
//!
//! The only user of the AWS SDK. Every call is bounded in time: by what its bytes need at a
//! slow but living pace, times the tries. Credentials, region and endpoint come from the standard
//! AWS environment unless the options name them.

mod error;
mod list;
mod put;

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow};
use aws_config::BehaviorVersion;
use aws_config::meta::region::RegionProviderChain;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::{RetryConfig, RetryPartition};
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{self, Region};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::types::ChecksumMode;
use tokio::io::AsyncReadExt;

use self::error::Failure;
use super::{
    Bytes, Chunk, LinkHeaders, Missing, ObjectError, ObjectReader, ObjectUri, Result, StaleUpload, Stored,
};

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
        Self { client: Client::from_conf(builder.build()), options }
    }

    pub(super) async fn head(&self, uri: &ObjectUri) -> Result<Stored> {
        let (bucket, key, version) = parts(uri)?;
        let request = self.client.head_object().bucket(bucket).key(key).set_version_id(version);
        let sent = request.customize().config_override(self.quick()).send().await;
        match sent.map_err(|error| Failure::of(&error)) {
            Ok(head) => stored(uri, head.version_id, head.content_length),
            Err(failure) => {
                // The answer to HEAD has no body, so only GET says what it is that is missing.
                if failure.is_unexplained() {
                    self.get(uri, Some("bytes=0-0".into()), 1).await?;
                }
                Err(failure.named(&uri.to_string()))
            }
        }
    }

    pub(super) async fn get_range(&self, uri: &ObjectUri, wanted: Bytes) -> Result<Chunk> {
        let (header, most) = match &wanted {
            Bytes::Range(range) if range.is_empty() => return self.nothing_of(uri).await,
            Bytes::Last(0) => return self.nothing_of(uri).await,
            Bytes::Range(range) => {
                (format!("bytes={}-{}", range.start, range.end - 1), range.end - range.start)
            }
            Bytes::Last(count) => (format!("bytes=-{count}"), *count),
        };
        self.again(|| async {
            let Some(answer) = self.get(uri, Some(header.clone()), most).await? else {
                return self.nothing_of(uri).await;
            };
            let total = answer.content_range().and_then(|range| range.rsplit_once('/')?.1.parse().ok());
            // Some servers answer with all of an empty object.
            let total = total.or_else(|| answer.content_length().filter(|size| *size == 0).map(|_| 0));
            let object_size = total.with_context(|| format!("no size in the answer for a range of {uri}"))?;
            let expected = match &wanted {
                Bytes::Range(range) => range.end.min(object_size).saturating_sub(range.start),
                Bytes::Last(count) => object_size.min(*count),
            };
            let mut bytes = Vec::new();
            // One byte too many is enough to see that the answer is wrong.
            let mut body = answer.body.into_async_read().take(expected + 1);
            let read = self.in_time(expected, body.read_to_end(&mut bytes)).await;
            read.with_context(|| format!("failed to read {uri}"))?;
            if bytes.len() as u64 != expected {
                return Err(anyhow!("{} bytes of {uri} came instead of {expected}", bytes.len()).into());
            }
            Ok(Chunk { bytes, object_size })
        })
        .await
    }

    pub(super) async fn open_object(&self, uri: &ObjectUri) -> Result<(Stored, ObjectReader)> {
        let answer = self.get(uri, None, 0).await?.context("a whole object was refused as a range")?;
        let stored = stored(uri, answer.version_id, answer.content_length)?;
        Ok((stored, Box::pin(answer.body.into_async_read())))
    }

    pub(super) async fn download(&self, uri: &ObjectUri, to: &Path) -> Result<Stored> {
        self.again(|| async {
            let (stored, mut body) = self.open_object(uri).await?;
            let copy = async {
                let mut file = tokio::fs::File::create(to).await?;
                tokio::io::copy(&mut body, &mut file).await?;
                tokio::io::AsyncWriteExt::flush(&mut file).await
            };
            let copied = self.in_time(stored.size, copy).await;
            copied.with_context(|| format!("failed to download {uri} to {}", to.display()))?;
            Ok(stored)
        })
        .await
    }

    pub(super) async fn delete(&self, uri: &ObjectUri) -> Result<()> {
        let (bucket, key, version) = parts(uri)?;
        let request = self.client.delete_object().bucket(bucket).key(key).set_version_id(version);
        let sent = request.customize().config_override(self.quick()).send().await;
        match sent.map_err(|error| Failure::of(&error).named(&uri.to_string())) {
            Ok(_) | Err(ObjectError::NotFound { missing: Missing::Key | Missing::Version, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn presign_get(
        &self,
        uri: &ObjectUri,
        expires: Duration,
        headers: LinkHeaders,
    ) -> Result<String> {
        let (bucket, key, version) = parts(uri)?;
        let expires = PresigningConfig::expires_in(expires).context("a link expires in a week at most")?;
        let request = self.client.get_object().bucket(bucket).key(key).set_version_id(version);
        let link = request
            .set_response_content_type(headers.content_type)
            .set_response_content_disposition(headers.content_disposition)
            .set_response_content_encoding(headers.content_encoding)
            .presigned(expires)
            .await;
        Ok(link.map_err(|error| Failure::of(&error).named(&uri.to_string()))?.uri().to_owned())
    }

    pub(super) async fn stale_uploads(
        &self,
        bucket: &str,
        prefix: &str,
        age: Duration,
    ) -> Result<Vec<StaleUpload>> {
        let before = SystemTime::now() - age;
        let mut found = Vec::new();
        let (mut key, mut id) = (None, None);
        loop {
            let request = self.client.list_multipart_uploads().bucket(bucket).prefix(prefix);
            let request = request.set_key_marker(key).set_upload_id_marker(id);
            let page = request.customize().config_override(self.quick()).send().await;
            let page = page.map_err(|error| Failure::of(&error).named(&format!("s3://{bucket}")))?;
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

    pub(super) async fn abort_upload(&self, bucket: &str, key: &str, id: &str) -> Result<()> {
        let request = self.client.abort_multipart_upload().bucket(bucket).key(key).upload_id(id);
        let sent = request.customize().config_override(self.quick()).send().await;
        match sent.map_err(|error| Failure::of(&error)) {
            Err(failure) if !failure.is_ended() => Err(failure.named(&format!("s3://{bucket}/{key}"))),
            _ => Ok(()),
        }
    }

    /// Asks for an object of which at most `most` bytes will be read; `None` where the range
    /// begins behind its end.
    async fn get(
        &self,
        uri: &ObjectUri,
        range: Option<String>,
        most: u64,
    ) -> Result<Option<GetObjectOutput>> {
        let (bucket, key, version) = parts(uri)?;
        let request = self.client.get_object().bucket(bucket).key(key).set_version_id(version);
        let request = request.checksum_mode(ChecksumMode::Enabled).set_range(range);
        let sent = request.customize().config_override(self.bounded(most)).send().await;
        match sent.map_err(|error| Failure::of(&error)) {
            Ok(answer) => Ok(Some(answer)),
            Err(failure) if failure.code() == Some("InvalidRange") => Ok(None),
            Err(failure) => Err(failure.named(&uri.to_string())),
        }
    }

    /// The chunk of a range that holds nothing.
    async fn nothing_of(&self, uri: &ObjectUri) -> Result<Chunk> {
        Ok(Chunk { bytes: Vec::new(), object_size: self.head(uri).await?.size })
    }

    /// Does a download again when its bytes stop coming, which the SDK does not do.
    async fn again<T, F: Future<Output = Result<T>>>(&self, mut work: impl FnMut() -> F) -> Result<T> {
        for tries in 1..self.options.attempts {
            match work().await {
                Err(ObjectError::Other(error)) if is_cut(&error) => {
                    tokio::time::sleep(self.options.first_backoff * tries).await;
                }
                done => return done,
            }
        }
        work().await
    }

    /// Bounds the reading of a body, as [`Self::bounded`] does the request.
    async fn in_time<T>(&self, bytes: u64, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        tokio::time::timeout(self.time_for(bytes), work)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
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

fn parts(uri: &ObjectUri) -> Result<(&str, &str, Option<String>)> {
    match uri {
        ObjectUri::S3 { bucket, key, version } => Ok((bucket, key, version.clone())),
        ObjectUri::File { .. } => Err(anyhow!("{uri} is not in S3").into()),
    }
}

fn stored(uri: &ObjectUri, version: Option<String>, size: Option<i64>) -> Result<Stored> {
    let (bucket, key, asked) = parts(uri)?;
    let size = size.and_then(|size| u64::try_from(size).ok());
    Ok(Stored {
        uri: ObjectUri::s3(bucket, key, version.or(asked).as_deref())?,
        size: size.with_context(|| format!("S3 says no size of {uri}"))?,
    })
}

/// Whether the bytes of an object stopped coming, as opposed to a file that cannot be written.
fn is_cut(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.raw_os_error().is_none())
}
