//! Sends an archive while it grows: each part as soon as it is whole, in order. While the store is away the parts wait
//! in the spool.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::members::Made;
use super::noter::ConfirmedPart;
use crate::archive::pack;
use crate::faults;
use crate::objects::{Missing, ObjectError, ObjectResult, Objects, PartSizes, Put, Upload, UploadedPart};
use crate::record::Head;
use crate::system::System;

/// Pauses between two tries while the store is away: the first, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Parts to spare for what is left of an archive that is too large for parts of the usual size.
const LARGER: u16 = 100;

/// Sends the parts of one archive.
pub(super) struct PartSender {
    objects: Objects,
    bucket: String,
    key: String,
    put: Put,
    path: PathBuf,
    sizes: PartSizes,
    /// Parts to send, at most, and whether the upload is needed then all the same.
    most: u16,
    is_needed: bool,
    /// Who notes what is up, if anybody does.
    noter: Option<mpsc::UnboundedSender<ConfirmedPart>>,
}

impl PartSender {
    /// Of the archive that grows in the file `path`; `None` if the store takes it as a whole, at the end. What is up may
    /// be given back if `gives_back`: then nobody can send it again, in fewer and larger parts.
    pub(super) fn new(
        system: &System,
        head: &Head,
        path: PathBuf,
        noter: Option<mpsc::UnboundedSender<ConfirmedPart>>,
        gives_back: bool,
    ) -> Option<Self> {
        let (objects, sizes) = (system.objects.clone(), system.objects.part_sizes()?);
        // Nobody knows the checksum of the whole yet.
        let put = pack::put(pack::metadata(head), [0; 32]);
        Some(Self {
            objects,
            bucket: head.bucket.clone(),
            key: head.log_key.clone(),
            put,
            path,
            sizes,
            most: if gives_back { sizes.most.saturating_sub(LARGER) } else { sizes.most },
            is_needed: gives_back,
            noter,
        })
    }

    /// Sends all parts. `None` if there is no upload to complete: the archive is small, or too large, nothing of it went
    /// up while it grew, somebody aborted its upload, or nobody completes the archive.
    ///
    /// # Errors
    /// The store does not take the last parts. The upload is left.
    pub(super) async fn send(
        self,
        mut made: watch::Receiver<Made>,
    ) -> ObjectResult<Option<(Upload, Vec<UploadedPart>)>> {
        let (mut upload, mut parts, mut at) = (None, Vec::new(), 0);
        let mut pause = FIRST_PAUSE;
        loop {
            let now = *made.borrow_and_update();
            let Some(bytes) = next(self.sizes, now, at).filter(|_| !now.is_whole || upload.is_some()) else {
                if now.is_whole {
                    return Ok(upload.map(|upload| (upload, parts)));
                }
                if made.changed().await.is_err() {
                    return Ok(None);
                }
                continue;
            };
            if parts.len() == usize::from(self.most) {
                if let Some(upload) = upload.filter(|_| !self.is_needed) {
                    self.objects.abort(&upload).await?;
                }
                return Ok(None);
            }
            let number = parts.len() as u16 + 1;
            match self.send_one(&mut upload, number, bytes.clone()).await {
                Ok(part) => {
                    (at, pause) = (bytes.end, FIRST_PAUSE);
                    faults::point("growing-part-sent");
                    if let (Some(noter), Some(upload)) = (&self.noter, &upload) {
                        // It may have ended, since another machine has the log.
                        let _ = noter.send(ConfirmedPart { upload: upload.clone(), part: part.clone() });
                    }
                    parts.push(part);
                }
                Err(ObjectError::NotFound { missing: Missing::Upload, .. }) => return Ok(None),
                Err(error) if made.borrow().is_whole => return Err(error),
                Err(error) => {
                    tracing::debug!(key = self.key, number, "a part of a log waits: {error}");
                    tokio::select! {
                        () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                        whole = made.wait_for(|made| made.is_whole) => {
                            if whole.is_err() {
                                return Ok(None);
                            }
                        }
                    }
                }
            }
        }
    }

    async fn send_one(
        &self,
        upload: &mut Option<Upload>,
        number: u16,
        bytes: Range<u64>,
    ) -> ObjectResult<UploadedPart> {
        let upload = match upload {
            Some(upload) => upload,
            None => upload.insert(self.objects.begin_upload(&self.bucket, &self.key, &self.put).await?),
        };
        self.objects.upload_part(upload, number, &self.path, bytes).await
    }
}

/// The next part of an archive of which the bytes before `at` were sent.
fn next(sizes: PartSizes, made: Made, at: u64) -> Option<Range<u64>> {
    let end = if made.is_whole { made.bytes.min(at + sizes.each) } else { at + sizes.each };
    (made.bytes > sizes.above && end > at && end <= made.bytes).then_some(at..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_cut_as_those_of_a_file_that_is_put_at_once() {
        let sizes = PartSizes { above: 8, each: 5, most: 10 };
        let growing = |bytes| Made { bytes, is_whole: false };
        let whole = |bytes| Made { bytes, is_whole: true };
        assert_eq!(next(sizes, growing(8), 0), None, "it may stay so small that it goes up in one request");
        assert_eq!(next(sizes, whole(8), 0), None);
        assert_eq!(next(sizes, growing(9), 0), Some(0..5));
        assert_eq!(next(sizes, growing(9), 5), None, "not before it is whole");
        assert_eq!(next(sizes, growing(10), 5), Some(5..10));
        assert_eq!(next(sizes, whole(9), 5), Some(5..9));
        assert_eq!(next(sizes, whole(10), 10), None, "there is no empty part");
    }
}
