//! Reading: whether an object is there, some of its bytes, all of them, and their SHA-256.
//!
//! A body that stops coming is asked for again, which the SDK does not do.

use std::io;
use std::path::Path;

use anyhow::{Context, anyhow};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::types::ChecksumMode;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::error::S3Failure;
use super::{S3, parts};
use crate::objects::{Bytes, Chunk, ObjectError, ObjectReader, ObjectResult, ObjectUri, StoredObject};

impl S3 {
    pub(in crate::objects) async fn head(&self, uri: &ObjectUri) -> ObjectResult<StoredObject> {
        let mut came_in_between = false;
        loop {
            let (bucket, key, version) = parts(uri)?;
            let request = self.client.head_object().bucket(bucket).key(key).set_version_id(version);
            let sent = request.customize().config_override(self.quick()).send().await;
            match sent.map_err(|error| S3Failure::of(&error)) {
                Ok(head) => return stored(uri, head.version_id, head.content_length),
                // The answer to HEAD has no body, so only GET says what it is that is missing. Where that
                // finds the object, somebody stored it in this moment.
                Err(failure) if failure.is_unexplained() && !came_in_between => {
                    self.get(uri, Some("bytes=0-0".into()), 1).await?;
                    came_in_between = true;
                }
                Err(failure) => return Err(failure.named(&uri.to_string())),
            }
        }
    }

    pub(in crate::objects) async fn get_range(&self, uri: &ObjectUri, wanted: Bytes) -> ObjectResult<Chunk> {
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

    pub(in crate::objects) async fn open_object(
        &self,
        uri: &ObjectUri,
    ) -> ObjectResult<(StoredObject, ObjectReader)> {
        let answer = self.get(uri, None, 0).await?.context("a whole object was refused as a range")?;
        let stored = stored(uri, answer.version_id, answer.content_length)?;
        Ok((stored, Box::pin(answer.body.into_async_read())))
    }

    pub(in crate::objects) async fn download(
        &self,
        uri: &ObjectUri,
        to: &Path,
    ) -> ObjectResult<StoredObject> {
        self.again(|| async {
            let (stored, mut body) = self.open_object(uri).await?;
            let copy = async {
                let mut file = tokio::fs::File::create(to).await?;
                tokio::io::copy(&mut body, &mut file).await?;
                file.flush().await
            };
            let copied = self.in_time(stored.size, copy).await;
            copied.with_context(|| format!("failed to download {uri} to {}", to.display()))?;
            Ok(stored)
        })
        .await
    }

    /// Reads the whole object and keeps nothing of it but its SHA-256.
    pub(in crate::objects) async fn digest(&self, uri: &ObjectUri) -> ObjectResult<(StoredObject, [u8; 32])> {
        self.again(|| async {
            let (stored, mut body) = self.open_object(uri).await?;
            let hash = async {
                let (mut digest, mut buffer) = (Sha256::new(), vec![0; 64 << 10]);
                loop {
                    match body.read(&mut buffer).await? {
                        0 => return Ok(digest.finalize().into()),
                        read => digest.update(&buffer[..read]),
                    }
                }
            };
            let sha256 = self.in_time(stored.size, hash).await;
            Ok((stored, sha256.with_context(|| format!("failed to read {uri}"))?))
        })
        .await
    }

    /// Asks for an object of which at most `most` bytes will be read; `None` where the range
    /// begins behind its end.
    async fn get(
        &self,
        uri: &ObjectUri,
        range: Option<String>,
        most: u64,
    ) -> ObjectResult<Option<GetObjectOutput>> {
        let (bucket, key, version) = parts(uri)?;
        let request = self.client.get_object().bucket(bucket).key(key).set_version_id(version);
        let request = request.checksum_mode(ChecksumMode::Enabled).set_range(range);
        let sent = request.customize().config_override(self.bounded(most)).send().await;
        match sent.map_err(|error| S3Failure::of(&error)) {
            Ok(answer) => Ok(Some(answer)),
            Err(failure) if failure.code() == Some("InvalidRange") => Ok(None),
            Err(failure) => Err(failure.named(&uri.to_string())),
        }
    }

    /// The chunk of a range that holds nothing.
    async fn nothing_of(&self, uri: &ObjectUri) -> ObjectResult<Chunk> {
        Ok(Chunk { bytes: Vec::new(), object_size: self.head(uri).await?.size })
    }

    /// Does a download again when its bytes stop coming, which the SDK does not do.
    async fn again<T, F: Future<Output = ObjectResult<T>>>(
        &self,
        mut work: impl FnMut() -> F,
    ) -> ObjectResult<T> {
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
}

fn stored(uri: &ObjectUri, version: Option<String>, size: Option<i64>) -> ObjectResult<StoredObject> {
    let (bucket, key, asked) = parts(uri)?;
    let size = size.and_then(|size| u64::try_from(size).ok());
    Ok(StoredObject {
        uri: ObjectUri::s3(bucket, key, version.or(asked).as_deref())?,
        size: size.with_context(|| format!("S3 says no size of {uri}"))?,
    })
}

/// Whether the bytes of an object stopped coming, as opposed to a file that cannot be written.
fn is_cut(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.raw_os_error().is_none())
}
