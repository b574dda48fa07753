//! A complete log in the folder: whoever holds its lock reads, marks and removes it.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use chrono::{DateTime, Utc};

use super::files::{SpoolFolder, remove_if_there};
use super::given::{self, GivenBack};
use super::refuge;
use crate::durable::{self, Synced};
use crate::ids::LogId;
use crate::record::{Head, Record, STREAMS, Tail};
use crate::{carry, faults};

/// A complete log on disk, locked by this process until it is dropped.
#[derive(Debug)]
pub struct SealedLog {
    /// Its first record.
    pub head: Head,
    /// Its last record.
    pub tail: Tail,
    /// When its last record was written.
    pub closed_at: DateTime<Utc>,
    /// Lines in it, frame records included.
    pub lines: u64,
    pub(super) path: PathBuf,
    /// Held for its lock.
    pub(super) file: Arc<File>,
    /// The spool's folder if this log was completed in a refuge: it may hold leftovers.
    pub(super) leftovers: Option<PathBuf>,
}

/// The ending of an archive that grows with its log.
pub(super) const GROWING: &str = "growing";

/// Reads a file with its own position, whatever others do with the same open file.
pub(super) struct Positioned<'a> {
    pub(super) file: &'a File,
    pub(super) at: u64,
}

impl SealedLog {
    /// Reads the whole of a complete log for its head, its tail and its lines.
    pub(super) fn read(file: File, path: &Path, leftovers: Option<PathBuf>) -> Result<Self> {
        let steady = given::steady(path.parent().expect("a log is in a folder"));
        let _steady = steady.context("failed to read how a log begins")?;
        let given = given_in(path).context("failed to read how a log begins")?;
        let (mut lines, begin) = given.as_ref().map_or((0, 0), |given| (given.lines, given.raw_bytes));
        let (mut first, mut last) = (Vec::new(), Vec::new());
        let mut reader = BufReader::with_capacity(1 << 20, Positioned { file: &file, at: begin });
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).context("failed to read a sealed log")? > 0 {
            lines += 1;
            if lines == 1 {
                first.clone_from(&line);
            }
            std::mem::swap(&mut last, &mut line);
            line.clear();
        }
        let head = match &given {
            Some(given) => given.head().map(Box::new),
            None => Record::decode(&first).and_then(|record| record.head),
        };
        let last = Record::decode(&last).and_then(|record| record.tail.zip(record.timestamp));
        let (Some(head), Some((tail, closed_at))) = (head, last) else {
            bail!("{} has no head or no tail record", path.display());
        };
        Ok(Self {
            head: *head,
            tail,
            closed_at,
            lines,
            path: path.to_owned(),
            file: Arc::new(file),
            leftovers,
        })
    }

    /// The path of the complete log.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The log's own file. Read it by position: others may be reading it too.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// What it gave back of its beginning. It gives no more back.
    ///
    /// # Errors
    /// Nobody can tell.
    pub fn given_back(&self) -> io::Result<Option<GivenBack>> {
        carry::may_block();
        let _steady = given::steady(self.path.parent().expect("a log is in a folder"))?;
        given_in(&self.path)
    }

    /// The path of its archive.
    pub fn archive_path(&self) -> PathBuf {
        self.path.with_extension("log.gz")
    }

    /// The path of the archive that grew while the log did.
    pub fn growing_path(&self) -> PathBuf {
        self.path.with_extension(GROWING)
    }

    /// The path of the summary that describes a whole archive.
    pub fn summary_path(&self) -> PathBuf {
        self.path.with_extension("summary")
    }

    /// Marks that the log fell back; true the first time. The mark is a file, so it survives restarts and
    /// works without the database.
    ///
    /// # Errors
    /// When the spool can't take the mark.
    pub fn first_fallback(&self) -> io::Result<bool> {
        carry::may_block();
        match File::create_new(self.fallback_mark()) {
            Ok(_) => {
                // Where the disk may lose it, said twice is better than never.
                let folder = self.path.parent().expect("a log is in a folder");
                let _ = durable::folder(folder, Synced::FallbackMark);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes the log and its archive from the folder. Call it once S3 has confirmed the bytes and the row
    /// has their URI.
    ///
    /// # Errors
    /// When the files can't be removed.
    pub fn remove(&self) -> io::Result<()> {
        carry::may_block();
        faults::point("before-remove");
        if let Some(spool) = &self.leftovers {
            refuge::forget_leftovers(spool, &self.path, self.head.log)?;
        }
        remove_if_there(&self.summary_path())?;
        remove_if_there(&self.archive_path())?;
        remove_if_there(&self.growing_path())?;
        faults::point("archive-removed");
        remove_if_there(&self.fallback_mark())?;
        faults::point("mark-removed");
        // Only a process that died between the rename and their removal left any.
        for ending in ["tail-0", "tail-1"].into_iter().chain(STREAMS) {
            remove_if_there(&self.path.with_extension(ending))?;
        }
        fs::remove_file(&self.path)?;
        given::forget(self.path.parent().expect("a log is in a folder"), self.head.log)
    }

    fn fallback_mark(&self) -> PathBuf {
        self.path.with_extension("fellback")
    }
}

/// What the log of this path gave back.
fn given_in(path: &Path) -> io::Result<Option<GivenBack>> {
    let name = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
    let (Some(folder), Some(log)) = (path.parent(), name) else { return Ok(None) };
    GivenBack::of(folder, log)
}

impl Read for Positioned<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// Gives a complete log its sealed name, and removes files it no longer needs. A power loss may undo that,
/// and it needs no sync: the log is complete on the disk under either name.
pub(super) fn finish_name(folder: &SpoolFolder, log: LogId) -> io::Result<PathBuf> {
    let path = folder.file(log, "log");
    fs::rename(folder.file(log, "open"), &path)?;
    faults::point("renamed");
    for ending in ["tail-0", "tail-1"].into_iter().chain(STREAMS) {
        remove_if_there(&folder.file(log, ending))?;
    }
    Ok(path)
}
