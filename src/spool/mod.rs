//! The spool: the local folder with one log per unfinished run.
//!
//! ```text
//! <run>.new        being created: locked, its head is not complete yet
//! <run>.open       a log that is written to; its writer holds the file lock
//! <run>.tail-0/-1  the last records of a log that reached its cap, in turn
//! <run>.log        sealed: complete, fsynced, waits to be archived
//! <run>.fellback   its warnings are in the global log already
//! <run>.log.gz     the archive on its way to S3; made anew from the sealed log when left over
//! ```
//!
//! A lock that nobody holds on a `.open` or `.log` file means that its process is gone. All state
//! is in the files, so recovery works with the database down. This room knows no network.

mod bus;
mod journal;
mod recover;
mod sync;
mod window;

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

pub use journal::{Journal, Stored};
pub use sync::{SYNC_INTERVAL, Syncer};

use crate::faults;
use crate::ids::RunId;
use crate::record::{Head, LevelCounts, Record, Tail};

/// A `.new` file older than this belongs to a process that died while creating it.
const NEW_FILE_GRACE: Duration = Duration::from_secs(60);

/// The folder.
#[derive(Debug, Clone)]
pub struct Spool {
    dir: PathBuf,
    cap: u64,
}

/// A complete log on disk, locked by this process until it is dropped.
#[derive(Debug)]
pub struct SealedLog {
    /// Its first record.
    pub head: Head,
    /// Its last record.
    pub tail: Tail,
    /// Lines in it, frame records included.
    pub lines: u64,
    path: PathBuf,
    /// Held for its lock.
    _file: File,
}

/// One log found in the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The run it is of.
    pub run: RunId,
    /// Whether it is complete.
    pub sealed: bool,
    /// Its path.
    pub path: PathBuf,
}

impl Spool {
    /// Opens the folder, made when missing with mode 0750. `cap` is the most bytes one log may take.
    ///
    /// # Errors
    /// When the folder can't be made or written to.
    pub fn open(dir: &Path, cap: u64) -> Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o750)
            .create(dir)
            .with_context(|| format!("failed to make the spool folder {}", dir.display()))?;
        // One name for all: what a process that died here left behind, the next one removes.
        let probe = dir.join(".probe");
        File::create(&probe)
            .and_then(|_| {
                faults::point("probe-written");
                remove_if_there(&probe)
            })
            .with_context(|| format!("failed to write to the spool folder {}", dir.display()))?;
        Ok(Self { dir: dir.to_owned(), cap })
    }

    /// The folder's path.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Creates the log of a run with its head record; it has its name only once both are on disk.
    ///
    /// # Errors
    /// When the folder can't take the file, or the run has a log already.
    pub fn create(&self, head: &Head) -> io::Result<Journal> {
        let new = self.path(head.run, "new");
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o640).open(&new)?;
        faults::point("file-created");
        let created = file.try_lock().map_err(io::Error::from).and_then(|()| {
            let open = self.path(head.run, "open");
            if open.exists() || self.path(head.run, "log").exists() {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the run has a log already"));
            }
            let journal = Journal::start(file, &self.dir, head, self.cap)?;
            faults::point("head-written");
            fs::rename(&new, &open)?;
            faults::point("file-named");
            sync_dir(&self.dir)?;
            Ok(journal)
        });
        if created.is_err() {
            let _ = fs::remove_file(&new);
        }
        created
    }

    /// All logs in the folder, oldest run first.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub fn list(&self) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for found in fs::read_dir(&self.dir).context("failed to list the spool folder")? {
            let path = found.context("failed to list the spool folder")?.path();
            let Some((run, suffix)) = split_name(&path) else { continue };
            match suffix.as_str() {
                "open" | "log" => entries.push(Entry { run, sealed: suffix == "log", path }),
                "new" => remove_if_stale(&path),
                _ => {}
            }
        }
        entries.sort_by_key(|entry| entry.run);
        Ok(entries)
    }

    /// The log of one run, if it is here.
    pub fn find(&self, run: RunId) -> Option<Entry> {
        ["log", "open"].into_iter().find_map(|suffix| {
            let path = self.path(run, suffix);
            path.exists().then(|| Entry { run, sealed: suffix == "log", path })
        })
    }

    /// Whether the log's process is gone. Where that can't be told, it is not.
    pub fn is_abandoned(&self, entry: &Entry) -> bool {
        matches!(lock(entry), Ok(Some(_)))
    }

    /// Files of the spool's kinds, older than `age`, whose log is not here any more.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub fn strays(&self, age: Duration) -> Result<Vec<PathBuf>> {
        let mut strays = Vec::new();
        for found in fs::read_dir(&self.dir).context("failed to list the spool folder")? {
            let path = found.context("failed to list the spool folder")?.path();
            let Some((run, suffix)) = split_name(&path) else { continue };
            let of_a_log = matches!(suffix.as_str(), "tail-0" | "tail-1" | "fellback" | "log.gz");
            if of_a_log && self.find(run).is_none() && is_older(&path, age) {
                strays.push(path);
            }
        }
        Ok(strays)
    }

    /// Completes an open log whose process is gone with a `crash` tail; `false` when a living process
    /// holds it, or it is complete or gone by now.
    ///
    /// # Errors
    /// When the file can't be read or closed; it stays as it is.
    pub fn close_abandoned(&self, entry: &Entry) -> Result<bool> {
        if entry.sealed {
            return Ok(false);
        }
        let Some(file) = lock(entry)? else { return Ok(false) };
        recover::close_abandoned(file, &self.dir, entry.run)?;
        Ok(true)
    }

    /// Takes over a complete log whose process is gone; `None` when a living process holds it, or it is
    /// not complete, or gone by now.
    ///
    /// # Errors
    /// When the file can't be read; it stays as it is.
    pub fn take_sealed(&self, entry: &Entry) -> Result<Option<SealedLog>> {
        if !entry.sealed {
            return Ok(None);
        }
        lock(entry)?.map(|file| read_sealed(file, &entry.path)).transpose()
    }

    fn path(&self, run: RunId, suffix: &str) -> PathBuf {
        self.dir.join(format!("{run}.{suffix}"))
    }
}

impl SealedLog {
    /// Where the complete log lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where its archive is made.
    pub fn archive_path(&self) -> PathBuf {
        self.path.with_extension("log.gz")
    }

    /// Marks that the log fell back; true when it had not before. The mark is a file, so it holds
    /// over restarts and without the database.
    ///
    /// # Errors
    /// When the spool can't take the mark.
    pub fn first_fallback(&self) -> io::Result<bool> {
        match File::create_new(self.fallback_mark()) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes the log and its archive from the folder: called once S3 has confirmed the bytes and
    /// the row says where they are.
    ///
    /// # Errors
    /// When the files can't be removed.
    pub fn remove(self) -> io::Result<()> {
        faults::point("before-remove");
        remove_if_there(&self.archive_path())?;
        faults::point("archive-removed");
        remove_if_there(&self.fallback_mark())?;
        faults::point("mark-removed");
        // Only a process that died between the rename and their removal left any.
        for number in 0..2 {
            remove_if_there(&self.path.with_extension(format!("tail-{number}")))?;
        }
        fs::remove_file(&self.path)
    }

    fn fallback_mark(&self) -> PathBuf {
        self.path.with_extension("fellback")
    }
}

/// The log's file, locked by this process; `None` when a living process holds it, or it is gone.
fn lock(entry: &Entry) -> Result<Option<File>> {
    let file = match OpenOptions::new().read(true).write(true).open(&entry.path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).context("failed to open a spool file"),
    };
    match file.try_lock() {
        // Between open and lock its owner may have sealed or removed it: only the name counts.
        Ok(()) => Ok(entry.path.exists().then_some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error).context("failed to lock a spool file"),
    }
}

/// Makes a rename or removal in `dir` durable.
fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn remove_if_stale(path: &Path) {
    if is_older(path, NEW_FILE_GRACE) && File::open(path).is_ok_and(|file| file.try_lock().is_ok()) {
        let _ = fs::remove_file(path);
    }
}

fn is_older(path: &Path, age: Duration) -> bool {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    modified.and_then(|at| at.elapsed().ok()).is_some_and(|elapsed| elapsed > age)
}

fn split_name(path: &Path) -> Option<(RunId, String)> {
    let (run, suffix) = path.file_name()?.to_str()?.split_once('.')?;
    Some((run.parse().ok()?, suffix.to_owned()))
}

fn read_sealed(file: File, path: &Path) -> Result<SealedLog> {
    let mut lines = 0;
    let (mut first, mut last) = (Vec::new(), Vec::new());
    let mut reader = BufReader::with_capacity(1 << 20, &file);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).context("failed to read a sealed log")? > 0 {
        lines += 1;
        if lines == 1 {
            first.clone_from(&line);
        }
        std::mem::swap(&mut last, &mut line);
        line.clear();
    }
    let head = Record::decode(&first).and_then(|record| record.head);
    let tail = Record::decode(&last).and_then(|record| record.tail);
    let (Some(head), Some(tail)) = (head, tail) else {
        bail!("{} has no head or no tail record", path.display());
    };
    Ok(SealedLog { head: *head, tail, lines, path: path.to_owned(), _file: file })
}

/// What a log holds so far, for its tail and its row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Tally {
    stored: LevelCounts,
    emitted: u64,
}

impl Tally {
    fn dropped(self) -> u64 {
        self.emitted.saturating_sub(self.stored.total())
    }
}
