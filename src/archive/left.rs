//! Completes the upload of a machine that is gone: from the parts that are up, and what is composed behind them.
//!
//! Nothing of the parts is read: what was noted with the last of them is enough to go on. The same log behind the same
//! parts makes the same bytes, so whoever repeats it finds what was up, or the object that it became.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use uuid::Uuid;

use super::composed::TakenLog;
use super::{ArchiveFailure, Archived, Archiver, blocking, content, pack};
use crate::faults;
use crate::gzip::{ArchiveSummary, Compressor};
use crate::objects::{Missing, ObjectError, StoredObject, Upload, UploadedPart};
use crate::record::{Head, LogCount};
use crate::spool::{ComposedLog, SealedLog};
use crate::store::ArchivedLog;
use crate::store::part::{self, NotedPart, NotedUpload};

/// The upload of a log whose machine is gone.
#[derive(Debug)]
pub struct BegunUpload {
    upload: Upload,
    noted: NotedUpload,
    /// The parts that were noted.
    parts: Vec<UploadedPart>,
    /// The entries of the index up to there.
    entries: Vec<u8>,
    /// The parts that the store has; `None` if the upload has ended.
    there: Option<Vec<UploadedPart>>,
}

impl BegunUpload {
    /// Bytes of the log that need not be composed.
    pub fn raw_bytes(&self) -> u64 {
        self.noted.mark.raw_bytes
    }

    /// What the log has up to there.
    pub fn count(&self) -> LogCount {
        self.noted.count
    }

    /// Whether what was noted belongs together.
    fn adds_up(&self) -> bool {
        let up: u64 = self.parts.iter().map(|part| part.size).sum();
        let mark = &self.noted.mark;
        up + self.noted.rest.len() as u64 == mark.gzip_bytes
            && Compressor::resume(pack::line_facts, mark, self.entries.clone()).is_ok()
    }
}

impl Archiver {
    /// The upload of a log that this worker took over; `is_stored` says whether an object has the log's own key. `None`
    /// if nothing was noted of it, or the store has not all that was.
    ///
    /// # Errors
    /// The database or the object store fails.
    pub async fn left_upload(&self, head: &Head, is_stored: bool) -> Result<Option<BegunUpload>> {
        let Some((noted, parts)) = part::noted(&self.system.pool, head.log).await? else { return Ok(None) };
        let upload =
            Upload { bucket: head.bucket.clone(), key: head.log_key.clone(), id: noted.upload.clone() };
        let there = match self.system.objects.parts(&upload).await {
            Ok(there) => Some(there),
            Err(ObjectError::NotFound { missing: Missing::Upload, .. }) => None,
            Err(error) => return Err(error).context("failed to ask which parts of a log are up"),
        };
        // An object beside an open upload is the log's own machine's. One that an upload became may be what another
        // worker composed, and was lost with before the row had it.
        if there.is_some() == is_stored {
            tracing::debug!(log = %head.log, is_stored, "the upload of the log can't be completed");
            return Ok(None);
        }
        let up = up(&parts, there.as_deref());
        let entries = parts.into_iter().flat_map(|part| part.entries).collect();
        let left = up.map(|parts| BegunUpload { upload, noted, parts, entries, there });
        let left = left.filter(BegunUpload::adds_up);
        if left.is_none() {
            tracing::warn!(log = %head.log, "the object store lacks parts of the log that were up");
        }
        Ok(left)
    }

    /// Archives what was composed behind the parts of an upload, as [`Self::archive_composed`]. `None` if the upload
    /// has become another object than this would be.
    pub async fn archive_behind(
        &self,
        composed: ComposedLog,
        left: BegunUpload,
        spool: Uuid,
        what: &str,
    ) -> Option<Archived> {
        let ComposedLog { log, lost_after } = composed;
        let (log, taken) = (Arc::new(log), TakenLog { spool, what, lost_after });
        let before = left.noted.problems.clone();
        let stored = match self.complete_left(&log, left).await {
            Ok(None) => return None,
            Ok(Some(archived)) => {
                let problems = match before {
                    Some(before) => self.problems_of(&log, before).await,
                    None => None,
                };
                self.put_on_row(log.head.log, &archived, taken, problems, true).await
            }
            Err(failure) => Err(failure),
        };
        Some(self.tell_taken(&log, taken, stored))
    }

    pub(super) async fn complete_left(
        &self,
        log: &Arc<SealedLog>,
        left: BegunUpload,
    ) -> Result<Option<ArchivedLog>, ArchiveFailure> {
        let BegunUpload { upload, noted, parts, entries, there } = left;
        let pack =
            move |log: &SealedLog| pack::pack_rest(log, &noted, entries).map_err(std::io::Error::other);
        let summary = blocking(log, pack).await.map_err(anyhow::Error::new)?;
        faults::point("takeover-packed");
        let put = pack::put(pack::metadata(&log.head), summary.gzip_sha256);
        let is_open = there.is_some();
        let parts = self.send_rest(log, &summary, &upload, parts, there.as_deref()).await?;
        let objects = &self.system.objects;
        let stored: Option<StoredObject> = if is_open {
            // Those of others that took it over and are gone: nobody comes again once it is on the row.
            self.abort_uploads(&log.head, Some(&upload.id)).await;
            faults::point("takeover-sent");
            let stored = objects.complete_upload(&upload, &parts, &put).await;
            Some(stored.map_err(ArchiveFailure::of_store)?)
        } else {
            objects.ended_with(&upload, &parts, &put).await.map_err(ArchiveFailure::of_store)?
        };
        faults::point("takeover-completed");
        Ok(stored.map(|stored| ArchivedLog {
            uri: stored.uri.to_string(),
            content: content(log, &summary),
            gzip_bytes: summary.gzip_bytes,
            raw_sha256: summary.raw_sha256,
            gzip_sha256: summary.gzip_sha256,
        }))
    }

    /// Sends what is behind the parts, where the upload is open; returns all parts.
    async fn send_rest(
        &self,
        log: &SealedLog,
        summary: &ArchiveSummary,
        upload: &Upload,
        mut parts: Vec<UploadedPart>,
        there: Option<&[UploadedPart]>,
    ) -> Result<Vec<UploadedPart>, ArchiveFailure> {
        let (objects, path) = (&self.system.objects, log.archive_path());
        let up: u64 = parts.iter().map(|part| part.size).sum();
        let (mut at, end) = (0, summary.gzip_bytes.saturating_sub(up));
        let most = objects.part_sizes().map_or(u16::MAX, |sizes| sizes.most);
        let each = part_size(&parts, end, most);
        while at < end {
            let bytes = at..end.min(at + each);
            at = bytes.end;
            let number = u16::try_from(parts.len() + 1).context("the archive has too many parts")?;
            let part = UploadedPart::of_file(number, &path, bytes.clone()).await;
            let part = part.map_err(ArchiveFailure::of_store)?;
            let Some(there) = there else {
                parts.push(part);
                continue;
            };
            if let Some(there) = there.iter().find(|there| there.is_same(&part)) {
                parts.push(there.clone());
                continue;
            }
            let sent = objects.upload_part(upload, number, &path, bytes).await;
            parts.push(sent.map_err(ArchiveFailure::of_store)?);
            faults::point("takeover-part-sent");
        }
        Ok(parts)
    }
}

/// Bytes of each further part behind these: as many as theirs, but where that makes more than `most` parts.
fn part_size(parts: &[UploadedPart], rest: u64, most: u16) -> u64 {
    let usual = parts.iter().map(|part| part.size).max().unwrap_or(u64::MAX);
    let left = usize::from(most).saturating_sub(parts.len()).max(1);
    usual.max(rest.div_ceil(left as u64))
}

/// The noted parts as the store has them, if it has all of them.
fn up(noted: &[NotedPart], there: Option<&[UploadedPart]>) -> Option<Vec<UploadedPart>> {
    let find = |part: &NotedPart| {
        let noted = UploadedPart::noted(part.number, part.bytes, part.sha256);
        let Some(there) = there else { return Some(noted) };
        let found = there.iter().find(|there| (there.number, there.size) == (noted.number, noted.size))?;
        let mut found = found.clone();
        // A store may keep none.
        let is_it = *found.sha256.get_or_insert(part.sha256) == part.sha256;
        is_it.then_some(found)
    };
    noted.iter().map(find).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_large_archive_fits_into_the_parts_that_are_left() {
        let parts: Vec<_> = (1..=8).map(|number| UploadedPart::noted(number, 5, [0; 32])).collect();
        assert_eq!(part_size(&parts, 7, 10), 5);
        assert_eq!(part_size(&parts, 11, 10), 6);
        assert_eq!(part_size(&parts, 11, 8), 11, "the store refuses it");
        assert_eq!(part_size(&[], 11, 10), u64::MAX);
    }

    #[test]
    fn an_upload_is_gone_on_with_only_if_the_store_has_each_part_as_it_was_noted() {
        let part =
            |number, bytes, sha256| NotedPart { number, bytes, sha256: [sha256; 32], entries: Vec::new() };
        let there = |number, size, sha256| UploadedPart::noted(number, size, [sha256; 32]);
        let noted = [part(1, 8, 1), part(2, 8, 2)];
        let both = [there(1, 8, 1), there(2, 8, 2), there(3, 8, 3)];
        assert_eq!(up(&noted, Some(&both)).as_deref(), Some(&both[..2]));
        assert_eq!(up(&noted, None).as_deref(), Some(&both[..2]), "the upload has ended");
        assert_eq!(up(&noted, Some(&both[..1])), None);
        assert_eq!(up(&noted, Some(&[there(1, 8, 1), there(2, 8, 9)])), None);
        assert_eq!(up(&noted, Some(&[there(1, 8, 1), there(2, 7, 2)])), None);
        let mut unknown = there(2, 8, 2);
        unknown.sha256 = None;
        assert_eq!(up(&noted, Some(&[there(1, 8, 1), unknown])).as_deref(), Some(&both[..2]));
    }
}
