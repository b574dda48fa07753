//! The spool: the local folder of unfinished logs.
//!
//! ```text
//! <log>.new        being created: locked, its head is not complete yet
//! <log>.open       a log that is written to; its writer holds the file lock
//! <log>.tail-0/-1  the last records of a log that reached its cap, in turn
//! <log>.stdout     what the run's external program wrote, until it is in the log; what was read is a hole
//! <log>.stderr     likewise
//! <log>.log        sealed: complete, fsynced, waits to be archived
//! <log>.fellback   its warnings are in the global log already
//! <log>.growing    the archive of a log that is still written to, as far as it goes
//! <log>.given      how much of the log's beginning is in its archive alone, and a hole here
//! <log>.log.gz     the archive on its way to S3
//! <log>.summary    describes a whole archive, for reuse; without it the archive is made anew
//! <log>.moved      only in a refuge: the log is archived, but the spool could not remove its leftovers
//! connections/     what a collector received and has not decoded yet
//! .id              names the folder in the database, where logs are kept for the case that the machine is lost
//! ```
//!
//! If nobody holds the lock of a `.open` or `.log` file, its process is gone. All state is in the files, so
//! recovery works with the database down. A log that the folder's disk refuses to complete goes to a refuge,
//! another folder of the same kind. This room does not use the network.

mod back;
mod beginning;
mod bus;
mod compose;
mod connections;
mod copy;
mod dead;
mod files;
mod given;
mod growth;
mod identity;
mod journal;
mod missing;
mod open;
mod recover;
mod refuge;
mod rescue;
mod sealed;
mod segment;
mod stretch;
mod sync;
mod tail;
mod window;

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};

pub use back::BackReader;
pub use compose::{ComposedLog, Composer};
pub use connections::CollectorLock;
pub use dead::{AbandonedLog, PROCESS_DIED};
pub use given::GivenBack;
pub(crate) use given::hole_in;
pub use growth::{Growth, Stretch};
pub use journal::{Journal, Stored};
pub use missing::MissingEvents;
pub use open::OpenLog;
pub use sealed::SealedLog;
pub use sync::{SYNC_INTERVAL, Syncer};
pub use tail::TailReader;

use self::files::{SpoolFolder, file_of, files_in, is_older, remove_if_stale, remove_if_there};
use crate::ids::LogId;
use crate::record::{Head, LevelCounts, Record, STREAMS, Tail};
use crate::{carry, durable, faults};

/// Of the folder.
const MODE: u32 = 0o750;

/// Bytes in which there is room for most heads.
const HEAD: usize = 2048;

/// The folder.
#[derive(Debug, Clone)]
pub struct Spool {
    dir: PathBuf,
    cap: u64,
    refuges: Arc<[PathBuf]>,
}

/// One log found in the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpooledLog {
    /// The log's id.
    pub log: LogId,
    /// Whether it is complete.
    pub sealed: bool,
    /// Its path.
    pub path: PathBuf,
}

impl Spool {
    /// Opens the folder, or makes it with mode 0750. `cap` is the largest size of one log, in bytes.
    ///
    /// # Errors
    /// When the folder can't be made or written to.
    pub fn open(dir: &Path, cap: u64) -> Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(MODE)
            .create(dir)
            .with_context(|| format!("failed to make the spool folder {}", dir.display()))?;
        let spool = Self::at(dir, cap);
        spool.probe().with_context(|| format!("failed to write to the spool folder {}", dir.display()))?;
        Ok(spool)
    }

    /// The folder that another process of ours opened: it stays the spool even where it takes no file now.
    pub fn at(dir: &Path, cap: u64) -> Self {
        Self { dir: dir.to_owned(), cap, refuges: Arc::default() }
    }

    /// Sets the folders, on other disks, for logs that the spool's disk refuses to complete; the first that
    /// can take a log gets it. The spool makes them on demand, with mode 0700.
    #[must_use]
    pub fn with_refuges(self, refuges: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { refuges: refuges.into_iter().collect(), ..self }
    }

    /// The same spool, for logs that somebody cuts before they grow large.
    #[must_use]
    pub fn without_cap(self) -> Self {
        Self { cap: u64::MAX, ..self }
    }

    /// The folder's path.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Bytes of its disk that are free for this user.
    ///
    /// # Errors
    /// The disk does not say.
    pub fn free(&self) -> io::Result<u64> {
        let disk = rustix::fs::statvfs(&self.dir)?;
        Ok(disk.f_bavail * disk.f_frsize)
    }

    /// The path of a log's files, without their endings.
    pub fn stem(&self, log: impl Into<LogId>) -> PathBuf {
        self.dir.join(log.into().to_string())
    }

    /// The path of the archive that grows with a log.
    pub fn growing_path(&self, log: LogId) -> PathBuf {
        file_of(&self.dir, log, sealed::GROWING)
    }

    /// Creates a log with its head record; the log gets its name once both are on disk.
    ///
    /// # Errors
    /// The folder can't take the file, or the log already exists.
    pub fn create(&self, head: &Head) -> io::Result<Journal> {
        carry::may_block();
        let folder = SpoolFolder::open(&self.dir)?;
        durable::make_folders(&self.dir, MODE)?;
        let new = folder.file(head.log, "new");
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o640).open(&new)?;
        faults::point("file-created");
        let created = file.try_lock().map_err(io::Error::from).and_then(|()| {
            if self.find(head.log).is_some() {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the log is there already"));
            }
            let mut journal = Journal::start(file, folder, Arc::clone(&self.refuges), head, self.cap)?;
            faults::point("head-written");
            fs::rename(&new, file_of(&self.dir, head.log, "open"))?;
            faults::point("file-named");
            // It has its name, and a healthy process behind it: given up now, it would lie there with nobody to
            // hold it, as a dead one's does. Only a power loss can take the name away.
            if let Err(error) = journal.sync_name() {
                journal.doubt();
                tracing::warn!(log = %head.log, "the disk of the spool may not keep the log's name: {error}");
            }
            Ok(journal)
        });
        if created.is_err() {
            let _ = fs::remove_file(&new);
        }
        created
    }

    /// All logs in the folder and its refuges, the oldest first.
    ///
    /// # Errors
    /// A folder can't be read; the spool's own is skipped while a refuge has a log.
    pub fn list(&self) -> Result<Vec<SpooledLog>> {
        carry::may_block();
        let moved = refuge::look_through(&self.refuges, &self.dir)?;
        let mut logs = BTreeMap::new();
        // One that is sealed while its folder is read may be seen under neither of its names, and then has the last one.
        for _ in 0..2 {
            let files = match files_in(&self.dir) {
                // What is in a refuge need not wait until the spool's disk can be read again.
                Err(error) if !moved.logs.is_empty() => {
                    tracing::warn!("only logs in a refuge can be handled: {error:#}");
                    break;
                }
                files => files?,
            };
            for (log, ending, path) in files {
                match ending.as_str() {
                    "log" if !moved.gone.contains(&log) => {
                        logs.insert(log, SpooledLog { log, sealed: true, path });
                    }
                    "open" if !moved.gone.contains(&log) => {
                        logs.entry(log).or_insert(SpooledLog { log, sealed: false, path });
                    }
                    "new" => remove_if_stale(&path),
                    // Its log went before it.
                    given::GIVEN | given::NEXT if self.find(log).is_none() => {
                        let _ = given::forget(&self.dir, log);
                    }
                    _ => {}
                }
            }
        }
        let mut entries = moved.logs;
        entries.extend(logs.into_values());
        entries.sort_by_key(|entry| entry.log);
        Ok(entries)
    }

    /// One log, if it is here.
    pub fn find(&self, log: impl Into<LogId>) -> Option<SpooledLog> {
        let log = log.into();
        let (path, is_moved) = refuge::find(&self.refuges, log);
        if is_moved {
            return path.map(|path| SpooledLog { log, sealed: true, path });
        }
        // It may be sealed between the first two looks.
        ["log", "open", "log"].into_iter().find_map(|ending| {
            let path = file_of(&self.dir, log, ending);
            path.exists().then(|| SpooledLog { log, sealed: ending == "log", path })
        })
    }

    /// The file of a log to read, also if it was sealed since it was found; `None` if it has left the spool, or can't
    /// be read.
    pub fn read(&self, entry: &SpooledLog) -> Option<File> {
        let mut path = entry.path.clone();
        loop {
            match File::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => path = self.find(entry.log)?.path,
                opened => return opened.ok(),
            }
        }
    }

    /// The head of a log; `None` if it can't be read.
    pub fn head_of(&self, entry: &SpooledLog) -> Option<Head> {
        if let Some(given) = given::GivenBack::of(&self.dir, entry.log).ok()? {
            return given.head();
        }
        let file = self.read(entry)?;
        let lines = TailReader::new(Arc::new(file), 0).lines(HEAD).ok()?;
        Some(*Record::decode(lines.split_inclusive(|byte| *byte == b'\n').next()?)?.head?)
    }

    /// Files of the spool's kinds, older than `age`, whose log is no longer here.
    ///
    /// # Errors
    /// When a folder can't be read.
    pub fn strays(&self, age: Duration) -> Result<Vec<PathBuf>> {
        carry::may_block();
        let mut strays = Vec::new();
        for folder in refuge::ours(&self.refuges).chain([&self.dir]) {
            for (log, ending, path) in files_in(folder)? {
                let of_a_log = matches!(
                    ending.as_str(),
                    "tail-0"
                        | "tail-1"
                        | "fellback"
                        | "growing"
                        | "log.gz"
                        | "summary"
                        | given::GIVEN
                        | given::NEXT
                ) || STREAMS.contains(&ending.as_str());
                let is_leftover = *folder == self.dir && refuge::find(&self.refuges, log).1;
                if of_a_log && !is_leftover && self.find(log).is_none() && is_older(&path, age) {
                    strays.push(path);
                }
            }
        }
        Ok(strays)
    }

    /// Whether the folder takes files. A fixed name, so the next process removes a probe left by a crash.
    fn probe(&self) -> io::Result<()> {
        let probe = self.dir.join(".probe");
        File::create(&probe)?;
        faults::point("probe-written");
        remove_if_there(&probe)
    }
}

/// How a complete log ends.
#[derive(Debug)]
struct Closed {
    tail: Tail,
    /// When the tail was written.
    at: DateTime<Utc>,
}

/// The counts of a log so far, for its tail and its row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct LogTally {
    stored: LevelCounts,
    emitted: u64,
}

impl LogTally {
    fn dropped(self) -> u64 {
        self.emitted.saturating_sub(self.stored.total())
    }
}
