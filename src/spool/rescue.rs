//! Copies what can be read of a log to a refuge, and completes it there.
//!
//! Every whole record that its disk still gives, or the page cache, is kept, in order and once; what can't
//! be read is counted as dropped. A log that was complete already keeps its bytes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::Utc;

use super::copy::{CopyEnd, LogCopy};
use super::files::{SpoolFolder, file_of};
use super::given::{self, GivenBack};
use super::missing::MissingEvents;
use super::segment::segment_path;
use super::{Closed, SealedLog};
use crate::durable::{self, Synced};
use crate::ids::LogId;
use crate::record::{Head, LogEnding, MAX_LINE_BYTES, seq_of};

/// What can't be read is passed over in steps of a page.
const PAGE: u64 = 4096;

/// So many unreadable pages in a row, and the rest is given up: a disk may take seconds for each.
const MOST_BAD_PAGES: u32 = 256;

/// A log that can't be completed where it lies.
pub(super) struct Remains<'a> {
    pub(super) log: LogId,
    /// The folder it lies in.
    pub(super) folder: &'a Path,
    pub(super) main: &'a File,
    /// Its head, where that is known without reading it.
    pub(super) head: Option<&'a Head>,
    /// Events that are known to be missing.
    pub(super) missing: MissingEvents,
    /// How it ended, where its own tail does not say it.
    pub(super) ending: LogEnding,
    pub(super) reason: Option<String>,
}

impl Remains<'_> {
    /// Completes the log in `refuge`, locked.
    ///
    /// # Errors
    /// The refuge refuses, or there is nothing to be read.
    pub(super) fn complete_in(&self, refuge: &Path) -> io::Result<SealedLog> {
        // Until it has its name there.
        let _steady = given::steady(self.folder)?;
        if GivenBack::of(self.folder, self.log)?.is_some() {
            return Err(io::Error::other(
                "its beginning was given back, so the rest of it stays where it is",
            ));
        }
        let folder = SpoolFolder::open(refuge)?;
        let new = folder.file(self.log, "new");
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o640).open(&new)?;
        let completed = self.fill(file, &new, &folder);
        if completed.is_err() {
            let _ = fs::remove_file(&new);
        }
        completed
    }

    fn fill(&self, file: File, new: &Path, folder: &SpoolFolder) -> io::Result<SealedLog> {
        file.try_lock()?;
        let mut copy = LogCopy::new(&file, Utc::now());
        self.copy_main(&mut copy)?;
        self.copy_segments(&mut copy)?;
        let close = CopyEnd {
            head: self.head,
            missing: self.missing,
            ending: self.ending,
            reason: self.reason.clone(),
        };
        let (head, Closed { tail, at: closed_at }) = copy.finish(&close)?;
        let lines = copy.lines();
        drop(copy);
        durable::file(&file, Synced::Rescued)?;
        // Its warnings are not to be said twice.
        if file_of(self.folder, self.log, "fellback").exists() {
            File::create(folder.file(self.log, "fellback"))?;
        }
        let path = folder.file(self.log, "log");
        fs::rename(new, &path)?;
        folder.sync(Synced::RescuedName)?;
        let leftovers = Some(self.folder.to_owned());
        Ok(SealedLog { head, tail, closed_at, lines, path, file: Arc::new(file), leftovers })
    }

    fn copy_main(&self, copy: &mut LogCopy<&File>) -> io::Result<()> {
        let mut lines = WholeLines::of(self.main)?;
        while let Some(line) = lines.next()? {
            match seq_of(line) {
                Some(0) | None => copy.frame(line, self.head)?,
                Some(seq) => copy.event(seq, line, self.head)?,
            }
        }
        Ok(())
    }

    fn copy_segments(&self, copy: &mut LogCopy<&File>) -> io::Result<()> {
        let mut segments: Vec<(u64, PathBuf)> = (0..2)
            .map(|number| segment_path(self.folder, self.log, number))
            .filter_map(|path| Some((first_seq(&path)?, path)))
            .collect();
        segments.sort();
        for (_, path) in segments {
            let file = File::open(path)?;
            let mut lines = WholeLines::of(&file)?;
            while let Some(line) = lines.next()? {
                if let Some(seq) = seq_of(line).filter(|seq| *seq > copy.last()) {
                    copy.mark_cut(seq, self.head)?;
                    copy.event(seq, line, self.head)?;
                }
            }
        }
        Ok(())
    }
}

/// Reads a file to its end; a page that the disk does not give is zeros.
struct Readable<'a> {
    file: &'a File,
    at: u64,
    end: u64,
    bad_pages: u32,
}

impl Read for Readable<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.end || self.bad_pages >= MOST_BAD_PAGES {
            return Ok(0);
        }
        let read = match self.file.read_at(buffer, self.at) {
            Ok(read) => {
                self.bad_pages = 0;
                read
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(_) => {
                self.bad_pages += 1;
                let page = (PAGE - self.at % PAGE).min(self.end - self.at).min(buffer.len() as u64) as usize;
                buffer[..page].fill(0);
                page
            }
        };
        self.at += read as u64;
        Ok(read)
    }
}

/// The records of a file that can be read. Zeros, which no record contains, are what is missing and what
/// was reserved; a record may begin right behind them, and what is left of one that they cut is none.
struct WholeLines<'a> {
    reader: BufReader<Readable<'a>>,
    line: Vec<u8>,
}

impl<'a> WholeLines<'a> {
    fn of(file: &'a File) -> io::Result<Self> {
        let readable = Readable { file, at: 0, end: file.metadata()?.len(), bad_pages: 0 };
        Ok(Self { reader: BufReader::with_capacity(1 << 18, readable), line: Vec::new() })
    }

    /// The next one, newline included.
    fn next(&mut self) -> io::Result<Option<&[u8]>> {
        self.line.clear();
        loop {
            // No record is longer, but a hole may be.
            let room = (MAX_LINE_BYTES - self.line.len()) as u64;
            if self.reader.by_ref().take(room).read_until(b'\n', &mut self.line)? == 0 {
                return Ok(None);
            }
            if let Some(zero) = memchr::memrchr(0, &self.line) {
                self.line.drain(..=zero);
            }
            if self.line.ends_with(b"\n") {
                return Ok(Some(&self.line));
            }
            if self.line.len() >= MAX_LINE_BYTES {
                self.line.clear();
            }
        }
    }
}

/// The number of the first event in a segment; `None` where there is none to be read.
fn first_seq(path: &Path) -> Option<u64> {
    let file = File::open(path).ok()?;
    WholeLines::of(&file).ok()?.next().ok()?.and_then(seq_of)
}
