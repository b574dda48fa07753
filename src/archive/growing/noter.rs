//! Notes which parts of an archive are up, and how to go on behind them, where another machine can reach it. Neither
//! the parse nor the parts wait for it: what can't be noted now is noted with the next part.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use tokio::sync::mpsc;

use super::marks::{PartMark, PartMarks};
use crate::archive::Archiver;
use crate::ids::LogId;
use crate::objects::{PartSizes, Upload, UploadedPart};
use crate::record::Head;
use crate::spool::GivenBack;
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
    pub(super) archiver: Archiver,
    pub(super) log: LogId,
    /// The file in which the archive grows.
    pub(super) path: PathBuf,
    pub(super) sizes: PartSizes,
    pub(super) marks: PartMarks,
    /// The head of the log, if what is up is to be given back.
    pub(super) gives_back: Option<Head>,
}

impl PartNoter {
    /// Notes each part that is confirmed, until nobody sends any more, or another machine has the log.
    pub(super) async fn run(mut self, mut confirmed: mpsc::UnboundedReceiver<ConfirmedPart>) {
        // Those that are not noted yet, and the last mark among them.
        let (mut parts, mut last): (Vec<NotedPart>, Option<PartMark>) = (Vec::new(), None);
        // What may be given back as soon as its pieces are shipped, in order.
        let mut due: VecDeque<PartMark> = VecDeque::new();
        loop {
            let next = tokio::select! {
                next = confirmed.recv() => next,
                () = tokio::time::sleep(self.archiver.tail.tick()), if !due.is_empty() => {
                    self.give_back(&mut due).await;
                    continue;
                }
            };
            let Some(ConfirmedPart { upload, part }) = next else { return };
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
                    self.archiver.tail.is_up(self.log, mark.mark.raw_bytes);
                    parts.retain(|part| part.number > mark.part);
                    due.extend(last.take().filter(|_| self.gives_back.is_some()));
                    self.give_back(&mut due).await;
                }
                Ok(false) => return,
                Err(error) => {
                    tracing::debug!(log = %self.log, "that a part of its archive is up is not noted yet: {error:#}");
                }
            }
        }
    }

    /// Gives back what another machine could go on behind, and of which readers have the pieces.
    async fn give_back(&mut self, due: &mut VecDeque<PartMark>) {
        let shipped = self.archiver.tail.shipped(self.log);
        let many = due.partition_point(|mark| mark.mark.raw_bytes <= shipped);
        let Some(mark) = due.drain(..many).next_back() else { return };
        match self.try_give_back(&mark).await {
            Ok(true) => {}
            // In a moment.
            Ok(false) => due.push_front(mark),
            Err(error) => {
                tracing::warn!(log = %self.log, "the spool gives no more of this log back: {error:#}");
                self.gives_back = None;
                due.clear();
            }
        }
    }

    async fn try_give_back(&self, mark: &PartMark) -> Result<bool> {
        let Some(head) = &self.gives_back else { return Ok(true) };
        // As whoever has to complete it without the log would. What nobody can tell now is given back with the next part.
        let Ok(left) = self.archiver.left_upload(head, false).await else { return Ok(true) };
        let is_up = left.is_some_and(|left| left.raw_bytes() >= mark.mark.raw_bytes);
        ensure!(is_up, "the object store has not all of it any more");
        let head = String::from_utf8(head.to_line())?;
        let given = GivenBack {
            head,
            raw_bytes: mark.mark.raw_bytes,
            lines: mark.mark.lines,
            count: mark.count,
            last_micros: mark.said.micros,
            output: mark.said.output,
            raw_sha256: mark.mark.raw_sha256.clone(),
            noted: serde_json::to_value(&mark.problems)?,
        };
        let (log, archive) = (self.log, u64::from(mark.part) * self.sizes.each);
        let spool = self.archiver.system.spool.clone();
        let give = carry::spawn_blocking(move || spool.give_back(log, &given, archive));
        give.await.context("giving space back panicked")?.context("failed to give space back")
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
        part::note(&self.archiver.system.pool, self.log, &noted, &parts).await
    }
}
