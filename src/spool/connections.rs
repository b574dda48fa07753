//! What a collector received and has not decoded yet, and whose it is.
//!
//! The bytes of each connection lie in a folder of the spool. Decoding them again, after a kill, repeats the
//! last records; the open segments of streams say on their lines which those are. So as long as a collector
//! lives here, or left a connection that nobody decoded, nobody else closes a segment of a dead process.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use super::{MODE, Spool};
use crate::carry;

/// The file whose lock makes a process the collector of the spool. No connection has this name.
const LOCK: &str = ".lock";

/// Another process holds the lock for less than this where it only looks; so often it may be in the way.
const LOOK: Duration = Duration::from_millis(2);
const LOOKS: u32 = 50;

/// The right to collect into this spool. It lasts as long as any process has the file open, so a collector of
/// several processes shares it among them.
#[derive(Debug)]
pub struct CollectorLock(File);

impl CollectorLock {
    /// The locked file, for another process of this collector.
    pub fn file(&self) -> &File {
        &self.0
    }
}

impl Spool {
    /// The folder for what a collector received and has not decoded yet; each file in it is a connection.
    pub fn connections(&self) -> PathBuf {
        self.dir.join("connections")
    }

    /// Becomes the collector of this spool, and makes the folder for its connections; `None` if another one
    /// lives.
    ///
    /// # Errors
    /// The folder or the file can't be made.
    pub fn lock_collector(&self) -> io::Result<Option<CollectorLock>> {
        carry::may_block();
        let folder = self.connections();
        DirBuilder::new().recursive(true).mode(MODE).create(&folder)?;
        let lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o640)
            .open(folder.join(LOCK))?;
        for _ in 0..LOOKS {
            match lock.try_lock() {
                Ok(()) => return Ok(Some(CollectorLock(lock))),
                Err(TryLockError::WouldBlock) => thread::sleep(LOOK),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Whether the segments of dead processes are a collector's to close: one lives, or left a connection that
    /// nobody decoded.
    ///
    /// # Errors
    /// The folder can't be read.
    pub fn has_collector(&self) -> io::Result<bool> {
        carry::may_block();
        let folder = self.connections();
        let found = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            found => found?,
        };
        for entry in found {
            if entry?.file_name() != LOCK {
                return Ok(true);
            }
        }
        // Behind the look at the files: a collector that ends has decoded them first.
        Ok(match File::open(folder.join(LOCK)) {
            Ok(lock) => matches!(lock.try_lock(), Err(TryLockError::WouldBlock)),
            Err(_) => false,
        })
    }
}
