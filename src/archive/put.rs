//! Puts an archive where it belongs: whole, or only what is left of one that grew with its log.

use std::time::Duration;

use anyhow::{Result, anyhow};

use super::growing::Sending;
use super::pack::{self, Packed};
use super::{ArchiveFailure, Archiver, again, content};
use crate::faults;
use crate::ids::{composed_key, fuller_key};
use crate::objects::{ObjectError, ObjectUri};
use crate::record::Head;
use crate::spool::SealedLog;
use crate::store::log::KnownLog;
use crate::store::{self, ArchivedLog};

impl Archiver {
    /// Puts the log's archive under this key; `sending` sends what is left of it.
    pub(super) async fn put(
        &self,
        log: &SealedLog,
        key: &str,
        packed: &Packed,
        sending: Option<Sending>,
    ) -> Result<ArchivedLog, ArchiveFailure> {
        faults::point("before-put");
        let summary = &packed.summary;
        let mut metadata = pack::metadata(&log.head);
        metadata.push(("sha256", hex::encode(summary.raw_sha256)));
        let put = pack::put(metadata, summary.gzip_sha256);
        let (objects, bucket) = (&self.system.objects, &log.head.bucket);
        let sent = match sending {
            Some(sending) => sending.await.map_err(anyhow::Error::from)?.map_err(ArchiveFailure::of_store)?,
            None => None,
        };
        let stored = match sent {
            Some((upload, parts)) => {
                faults::point("growing-sent");
                objects.complete_upload(&upload, &parts, &put).await
            }
            None if !packed.is_here => {
                return Err(anyhow!("the upload of what was given back is not there").into());
            }
            None if packed.may_have_upload => objects.put_again(bucket, key, &packed.path, &put).await,
            None => objects.put_file(bucket, key, &packed.path, &put).await,
        };
        let stored = stored.map_err(ArchiveFailure::of_store)?;
        faults::point("after-put");
        Ok(ArchivedLog {
            uri: stored.uri.to_string(),
            content: content(log, summary),
            gzip_bytes: summary.gzip_bytes,
            raw_sha256: summary.raw_sha256,
            gzip_sha256: summary.gzip_sha256,
        })
    }

    /// Returns the URI that the row has then.
    pub(super) async fn put_on_own_row(
        &self,
        head: &Head,
        archived: ArchivedLog,
    ) -> Result<String, ArchiveFailure> {
        let mut tries = 1;
        while let Err(error) = store::log::archived(&self.system.pool, head.log, &archived).await {
            again(error, &mut tries).await?;
        }
        faults::point("after-row");
        Ok(archived.uri)
    }

    /// Where this machine's log belongs: if another one took it over, not where that one may put what it composed.
    pub(super) fn key_of(&self, head: &Head, known: &KnownLog) -> Result<String> {
        let (own, fuller) = (&head.log_key, fuller_key(&head.log_key));
        let fuller_uri = self.system.objects.uri(&head.bucket, &fuller, None)?;
        let named: Option<ObjectUri> = known.uri.as_deref().map(str::parse).transpose()?;
        let is_fuller = known.is_taken || named.is_some_and(|named| named.is_same_object(&fuller_uri));
        Ok(if is_fuller { fuller } else { own.clone() })
    }

    /// Aborts the unfinished uploads of the log but for the one with the id `but`: those of an earlier attempt by a dead
    /// process, and of machines that took the log over. We hold the log's lock, or took the log over, so nobody else
    /// uploads under its keys; or it is a machine that comes back, and that tries again.
    pub(super) async fn abort_uploads(&self, head: &Head, but: Option<&str>) {
        let (bucket, own) = (&head.bucket, &head.log_key);
        let keys = [own.clone(), composed_key(own), fuller_key(own)];
        let stem = own.strip_suffix(".log.gz").unwrap_or(own);
        let aborted = async {
            for upload in self.system.objects.stale_uploads(bucket, stem, Duration::ZERO).await? {
                if keys.contains(&upload.key) && but != Some(&*upload.id) {
                    self.system.objects.abort_upload(bucket, &upload).await?;
                }
            }
            Ok::<_, ObjectError>(())
        };
        if let Err(error) = aborted.await {
            tracing::warn!(
                run = head.run().map(display),
                "an unfinished upload may be left: `parselog doctor` finds it: {error}"
            );
        }
    }
}
