//! Notes which parts of an archive are up, and how to go on behind them, where another machine can reach it. Neither
//! the parse nor the parts wait for it: what can't be noted now is noted with the next part.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use tokio::sync::mpsc;

use super::marks::{PartMark, PartMarks};
use crate::archive::RemoteTail;
use crate::ids::LogId;
use crate::objects::{PartSizes, Upload, UploadedPart};
use crate::store::PgPool;
use crate::store::part::{self, NotedPart, NotedUpload};
use crate::{carry, faults};

/// A part that is up.
#[derive(Debug)]
pub(super) struct ConfirmedPart {
    pub(super) upload: Upload,
    pub(super) part: UploadedPart,
}

/// Notes the parts of one archive.
pub(super) struct PartNoter {
    pub(super) pool: PgPool,
    pub(super) tail: RemoteTail,
    pub(super) log: LogId,
    /// The file in which the archive grows.
    pub(super) path: PathBuf,
    pub(super) sizes: PartSizes,
    pub(super) marks: PartMarks,
}

impl PartNoter {
    /// Notes each part that is confirmed, until nobody sends any more, or another machine has the log.
    pub(super) async fn run(self, mut confirmed: mpsc::UnboundedReceiver<ConfirmedPart>) {
        // Those that are not noted yet, and the last mark among them.
        let (mut parts, mut last): (Vec<NotedPart>, Option<PartMark>) = (Vec::new(), None);
        while let Some(ConfirmedPart { upload, part }) = confirmed.recv().await {
            let Some(sha256) = part.sha256 else { return };
            parts.push(NotedPart { number: part.number, bytes: part.size, sha256, entries: Vec::new() });
            for mark in self.marks.up_to(part.number) {
                // A part in the middle of a member has no mark of its own.
                if let Some(its) = parts.iter_mut().find(|part| part.number == mark.part) {
                    its.entries.clone_from(&mark.entries);
                }
                last = Some(mark);
            }
            let Some(mark) = &last else { continue };
            match self.note(&upload, mark, &parts).await {
                Ok(true) => {
                    faults::point("growing-part-noted");
                    self.tail.is_up(self.log, mark.mark.raw_bytes);
                    parts.retain(|part| part.number > mark.part);
                    last = None;
                }
                Ok(false) => return,
                Err(error) => {
                    tracing::debug!(log = %self.log, "that a part of its archive is up is not noted yet: {error:#}");
                }
            }
        }
    }

    async fn note(&self, upload: &Upload, mark: &PartMark, parts: &[NotedPart]) -> Result<bool> {
        let (path, at) = (self.path.clone(), u64::from(mark.part) * self.sizes.each);
        let many = (mark.mark.gzip_bytes - at) as usize;
        let read = move || -> io::Result<Vec<u8>> {
            let mut rest = vec![0; many];
            File::open(path)?.read_exact_at(&mut rest, at)?;
            Ok(rest)
        };
        let rest = carry::spawn_blocking(read).await.context("reading an archive panicked")?;
        let noted = NotedUpload {
            upload: upload.id.clone(),
            parts: mark.part,
            mark: mark.mark.clone(),
            count: mark.count,
            problems: mark.problems.clone(),
            rest: rest.context("failed to read the archive that grows")?,
        };
        let parts: Vec<NotedPart> = parts.iter().filter(|part| part.number <= mark.part).cloned().collect();
        part::note(&self.pool, self.log, &noted, &parts).await
    }
}
