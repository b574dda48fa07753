//! Compresses a log while it is written, into a file beside it: whole lines become members, and these are handed out as
//! soon as they are complete.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::watch;

use super::marks::MarkMaker;
use crate::archive::ProblemCounter;
use crate::archive::pack::{self, Packed};
use crate::gzip::{Compressor, LineFacts};
use crate::ids::LogId;
use crate::spool::{SealedLog, Spool, TailReader, hole_in};
use crate::store::problem::KindCount;
use crate::{carry, faults};

/// Bytes of the log to compress at once: whoever ends it waits for less than that.
const STEP: usize = 256 << 10;

/// How often to look for more.
const PAUSE: Duration = Duration::from_millis(100);

/// Bytes of the disk to leave free, beside what the log itself leaves for its archive.
const ROOM: u64 = 16 << 20;

/// How much of the archive there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Made {
    pub(super) bytes: u64,
    pub(super) is_whole: bool,
}

/// The members so far.
pub(super) struct MemberWriter {
    spool: Spool,
    log: Arc<File>,
    tail: TailReader,
    compressor: Compressor<fn(&[u8]) -> LineFacts>,
    to: File,
    path: PathBuf,
    made: watch::Sender<Made>,
    /// The problems of the lines so far; `None` if they can't be counted.
    problems: Option<ProblemCounter>,
    /// Where others may go on with it, if they may.
    marks: Option<MarkMaker>,
}

impl MemberWriter {
    /// Begins anew beside the log, and tells `made` how far it is.
    ///
    /// # Errors
    /// The log is not there, or the file can't be made.
    pub(super) fn begin(
        spool: &Spool,
        log: LogId,
        made: watch::Sender<Made>,
        problems: ProblemCounter,
        marks: Option<MarkMaker>,
    ) -> io::Result<Self> {
        let path = spool.growing_path(log);
        let entry = spool.find(log).ok_or(io::ErrorKind::NotFound)?;
        let (log, to) = (Arc::new(File::open(entry.path)?), pack::create(&path)?);
        let (spool, tail) = (spool.clone(), TailReader::new(Arc::clone(&log), 0));
        let (compressor, problems) =
            (Compressor::new(pack::line_facts as fn(&[u8]) -> LineFacts), Some(problems));
        Ok(Self { spool, log, tail, compressor, to, path, made, problems, marks })
    }

    /// Follows the log until it is told to stop, or nobody can tell it any more.
    ///
    /// # Errors
    /// The log can't be read, or the disk has no room for both. The file stays, and is empty: it says that there may
    /// be an upload.
    pub(super) fn follow(mut self, stopped: &watch::Receiver<bool>) -> io::Result<Self> {
        while !*stopped.borrow() && stopped.has_changed().is_ok() {
            let is_more = self.read_on().inspect_err(|_| drop(self.to.set_len(0)))?;
            if !is_more {
                thread::park_timeout(PAUSE);
            }
        }
        Ok(self)
    }

    /// Compresses the rest of the complete log; its archive is then whole. Returns the problems of all lines too, if they
    /// can be counted.
    ///
    /// # Errors
    /// It is not the log that was followed, or a file fails.
    pub(super) fn finish(mut self, log: &SealedLog) -> io::Result<(Packed, Option<Vec<KindCount>>)> {
        carry::may_block();
        let (followed, sealed) = (self.log.metadata()?, log.file().metadata()?);
        if (followed.dev(), followed.ino()) != (sealed.dev(), sealed.ino()) {
            return Err(io::Error::other("the log was moved"));
        }
        loop {
            let mut bytes = self.tail.lines(STEP)?;
            if bytes.is_empty() {
                // A last line without an end.
                self.tail.read_to_end(&mut bytes)?;
            }
            if bytes.is_empty() {
                break;
            }
            self.push(&bytes)?;
        }
        let (rest, summary) = self.compressor.finish();
        self.to.write_all(&rest)?;
        if (summary.raw_bytes, summary.lines) != (sealed.len(), log.lines) {
            return Err(io::Error::other("the log is not what it was"));
        }
        self.made.send_replace(Made { bytes: summary.gzip_bytes, is_whole: true });
        faults::point("growing-whole");
        let is_here = log.given_back()?.is_none();
        let packed = Packed { summary, path: self.path, may_have_upload: true, is_here };
        Ok((packed, self.problems.map(ProblemCounter::finish)))
    }

    /// Compresses what is new; false if nothing is.
    fn read_on(&mut self) -> io::Result<bool> {
        let lines = self.tail.lines(STEP)?;
        if lines.is_empty() {
            return Ok(false);
        }
        // The log keeps so much free for its archive. What grows here must not take room from its events.
        let is_here = self.tail.position().saturating_sub(hole_in(&self.log));
        if self.spool.free()? < is_here / 2 + ROOM {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.push(&lines)?;
        Ok(true)
    }

    fn push(&mut self, raw: &[u8]) -> io::Result<()> {
        let mut rest = raw;
        while !rest.is_empty() {
            let taken = self.compressor.push_member(rest);
            for line in rest[..taken].split_inclusive(|byte| *byte == b'\n') {
                self.problems.take_if(|problems| problems.line(line).is_err());
            }
            if let Some(marks) = &mut self.marks {
                marks.lines(&rest[..taken]);
                if let Some(mark) = self.compressor.mark() {
                    marks.member(mark, self.compressor.entries(), self.problems.as_ref());
                }
            }
            rest = &rest[taken..];
        }
        let members = self.compressor.members();
        if !members.is_empty() {
            self.to.write_all(&members)?;
            self.made.send_modify(|made| made.bytes += members.len() as u64);
            faults::point("growing-member");
        }
        Ok(())
    }
}

impl std::fmt::Debug for MemberWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemberWriter").field("path", &self.path).field("made", &*self.made.borrow()).finish()
    }
}
