//! What a log gave back of its space: the beginning of it is up in the parts of its archive, and a hole on this disk.
//!
//! `<log>.given` says up to where, with all that the lines there had to say: it is on the disk before the hole is. The
//! hole begins at the first byte. So whoever does not know of the file finds no head, and leaves the log as it is.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::files::{SpoolFolder, file_of, remove_if_there};
use super::{Spool, identity};
use crate::durable::{self, Synced};
use crate::ids::LogId;
use crate::record::{Head, LogCount, Record};
use crate::{carry, faults};

/// The endings of the file, and of the next one while it is written.
pub(super) const GIVEN: &str = "given";
pub(super) const NEXT: &str = "given-next";

/// Space is given back in whole blocks of this size, a multiple of every block size in use.
const BLOCK: u64 = 64 << 10;

/// How long to wait for a worker that gives something back, and how often to look.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(5);

/// The beginning of a log that is only in its archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenBack {
    /// The log's first line.
    pub head: String,
    /// Bytes and lines of the beginning: the lines behind it are all in the spool.
    pub raw_bytes: u64,
    pub lines: u64,
    /// What the beginning has.
    pub count: LogCount,
    /// The time of its last line that has one.
    pub last_micros: Option<i64>,
    /// Up to which byte of an external program's stdout and stderr it goes.
    pub output: [u64; 2],
    /// The state of SHA-256 behind it.
    pub raw_sha256: Vec<u8>,
    /// What whoever archives it has to know of its lines.
    pub noted: serde_json::Value,
}

impl GivenBack {
    /// The log's head.
    pub fn head(&self) -> Option<Head> {
        Some(*Record::decode(self.head.as_bytes())?.head?)
    }

    /// What a log in this folder gave back; `None` if all of it is there.
    ///
    /// # Errors
    /// Nobody can tell.
    pub(super) fn of(folder: &Path, log: LogId) -> io::Result<Option<Self>> {
        let bytes = match fs::read(file_of(folder, log, GIVEN)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes?,
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            io::Error::new(io::ErrorKind::InvalidData, format!("what a log gave back is unknown: {error}"))
        })
    }

    fn write(&self, folder: &SpoolFolder, log: LogId) -> io::Result<()> {
        let next = folder.file(log, NEXT);
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&next)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        durable::file(&file, Synced::GivenNote)?;
        fs::rename(&next, folder.file(log, GIVEN))?;
        folder.sync(Synced::GivenName)
    }
}

/// Forgets what a log gave back that is gone: without it nobody could read what is left of the log.
pub(super) fn forget(folder: &Path, log: LogId) -> io::Result<()> {
    let notes = [NEXT, GIVEN].map(|ending| file_of(folder, log, ending));
    if notes.iter().any(|path| path.exists()) {
        durable::folder(folder, Synced::GivenLogGone)?;
    }
    notes.iter().try_for_each(|path| remove_if_there(path))
}

/// While it is held, no log of this folder gives anything back, whoever writes it. A folder without an identity has none
/// that does.
///
/// # Errors
/// Nobody can tell, or a worker stands still while it gives something back.
pub(super) fn steady(folder: &Path) -> io::Result<Option<File>> {
    let file = match File::open(folder.join(identity::FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let began = Instant::now();
    loop {
        match file.try_lock_shared() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if began.elapsed() > PATIENCE => {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "a worker stands still that gives logs back",
                ));
            }
            Err(TryLockError::WouldBlock) => thread::sleep(LOOK),
        }
    }
}

impl Spool {
    /// What a log of the spool gave back of its beginning.
    ///
    /// # Errors
    /// Nobody can tell.
    pub fn given_back(&self, log: impl Into<LogId>) -> io::Result<Option<GivenBack>> {
        carry::may_block();
        let _steady = steady(&self.dir)?;
        GivenBack::of(&self.dir, log.into())
    }

    /// Whether the beginning of the log may not be here.
    pub fn has_given_back(&self, log: impl Into<LogId>) -> bool {
        file_of(&self.dir, log.into(), GIVEN).exists()
    }

    /// Gives back the space of the beginning of an open log, and that of the first `archive` bytes of the archive that
    /// grows with it. False if somebody reads what logs gave back, or the log is not open any more.
    ///
    /// # Errors
    /// The disk refuses; then what is in the file `<log>.given` may be more than what is gone. Or the spool has no
    /// identity yet.
    pub fn give_back(&self, log: LogId, given: &GivenBack, archive: u64) -> io::Result<bool> {
        carry::may_block();
        let alone = File::open(self.dir.join(identity::FILE))?;
        match alone.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let Some(entry) = self.find(log).filter(|entry| !entry.sealed) else { return Ok(false) };
        let file = match OpenOptions::new().write(true).open(entry.path) {
            // It is sealed now.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            opened => opened?,
        };
        given.write(&SpoolFolder::open(&self.dir)?, log)?;
        faults::point("given-back-noted");
        punch(&file, given.raw_bytes)?;
        faults::point("given-back");
        punch(&OpenOptions::new().write(true).open(self.growing_path(log))?, archive)?;
        Ok(true)
    }
}

/// Leaves a hole up to the last block that ends before this byte, the first block first.
#[cfg(target_os = "linux")]
pub(super) fn punch(file: &File, to: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};

    let end = to / BLOCK * BLOCK;
    for bytes in [0..BLOCK.min(end), BLOCK.min(end)..end] {
        if !bytes.is_empty() {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            fallocate(file, flags, bytes.start, bytes.end - bytes.start)?;
        }
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn punch(_: &File, _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Bytes of the hole with which a file begins; none if the disk can't tell.
pub(crate) fn hole_in(file: &File) -> u64 {
    content_behind(file, 0).unwrap_or(0)
}

/// Whether a file has content behind a hole at this byte.
pub(super) fn is_given_back(file: &File, at: u64) -> io::Result<bool> {
    Ok(content_behind(file, at)? > at)
}

/// Where the content begins that is at this byte or behind it; the byte itself if there is none.
#[cfg(target_os = "linux")]
fn content_behind(file: &File, at: u64) -> io::Result<u64> {
    use rustix::fs::{SeekFrom, seek};
    use rustix::io::Errno;

    // Nobody reads or writes where the file stands: each says where.
    match seek(file, SeekFrom::Data(at)) {
        Err(Errno::NXIO | Errno::INVAL) => Ok(at),
        found => Ok(found?),
    }
}

#[cfg(not(target_os = "linux"))]
fn content_behind(_: &File, at: u64) -> io::Result<u64> {
    Ok(at)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::spool::window::Window;

    const LINE: usize = 128;

    fn line(number: u64) -> String {
        format!("{number:0>width$}\n", width = LINE - 1)
    }

    #[test]
    fn what_a_log_gave_back_goes_with_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let spool = Spool::open(folder.path(), 1 << 20).expect("a spool");
        let [gone, here] = [LogId::new(), LogId::new()];
        fs::write(file_of(folder.path(), here, "open"), "").expect("a log");
        let given = |log| [GIVEN, NEXT].map(|ending| file_of(folder.path(), log, ending));
        for path in given(gone).iter().chain(&given(here)) {
            fs::write(path, "{}").expect("a file");
        }
        spool.list().expect("the logs");
        assert_eq!(
            given(gone).map(|path| path.exists()),
            [false; 2],
            "its process died before it removed them"
        );
        assert_eq!(given(here).map(|path| path.exists()), [true; 2]);
    }

    #[test]
    fn nothing_is_given_back_while_somebody_reads_what_was_and_only_in_a_spool_with_an_identity() {
        let folder = tempfile::tempdir().expect("a folder");
        let spool = Spool::open(folder.path(), 1 << 20).expect("a spool");
        let log = LogId::new();
        let paths = ["open", "growing"].map(|ending| file_of(folder.path(), log, ending));
        paths.iter().for_each(|path| fs::write(path, vec![b'x'; 3 << 16]).expect("a file"));
        let given = GivenBack {
            head: String::new(),
            raw_bytes: 2 << 16,
            lines: 1,
            count: LogCount::default(),
            last_micros: None,
            output: [0; 2],
            raw_sha256: Vec::new(),
            noted: serde_json::Value::Null,
        };
        let holes = || paths.each_ref().map(|path| hole_in(&File::open(path).expect("a file")));
        spool.give_back(log, &given, 1 << 16).expect_err("two processes can't agree here");
        spool.id().expect("an identity");
        let reading = steady(folder.path()).expect("a look");
        assert!(!spool.give_back(log, &given, 1 << 16).expect("a try"));
        assert_eq!((holes(), spool.has_given_back(log)), ([0, 0], false));
        drop(reading);
        assert!(spool.give_back(log, &given, 1 << 16).expect("a try"));
        assert_eq!(
            (holes(), spool.given_back(log).expect("a look")),
            ([2 << 16, 1 << 16], Some(given.clone()))
        );
        fs::rename(&paths[0], file_of(folder.path(), log, "log")).expect("a name");
        assert!(!spool.give_back(log, &given, 1 << 16).expect("a try"), "it is complete");
    }

    #[test]
    fn what_is_given_back_while_a_log_grows_changes_nothing_of_what_is_behind_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let create = || OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut window = Window::new(create().expect("a file"), 0, 1 << 30);
        // The lines that may be given back; the last of all says that no more come.
        let (stored, all) = (Arc::new(AtomicU64::new(0)), 200_000);
        let (file, up) = (create().expect("the same"), Arc::clone(&stored));
        let giver = carry::thread(move || -> io::Result<()> {
            while up.load(Ordering::Acquire) < all {
                punch(&file, up.load(Ordering::Acquire) * LINE as u64)?;
            }
            Ok(())
        });
        for number in 0..all {
            window.append(line(number).as_bytes(), b"", 0).expect("room");
            stored.store(number + 1, Ordering::Release);
        }
        giver.join().expect("no panic").expect("holes");
        let (len, on_disk) = (window.len(), window.on_disk());
        window.close().expect("its end");
        let bytes = fs::read(&path).expect("the log");
        let hole = bytes.iter().take_while(|byte| **byte == 0).count() as u64;
        assert_eq!((bytes.len() as u64, hole, hole % BLOCK), (len, hole_in(&create().expect("the same")), 0));
        assert!(hole > 0 && on_disk < len, "{hole} of {len} bytes, {on_disk} on the disk");
        let blocks = create().and_then(|file| file.metadata()).expect("its size").blocks() * 512;
        assert!(blocks <= (len - hole).next_multiple_of(BLOCK) + BLOCK, "{blocks} for {len} less {hole}");
        let first = hole.div_ceil(LINE as u64);
        let rest: String = (first..all).map(line).collect();
        assert!(bytes[first as usize * LINE..] == *rest.as_bytes(), "something else is behind the hole");
    }
}
