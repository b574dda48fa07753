//! Makes files and their names outlive a power loss: every sync of the spool and of the folder store.
//!
//! A sync of a file keeps its bytes and not its name; one of a folder keeps the names in it and not the
//! bytes behind them. Each is done in one place, for one thing, and is called after it, so that the power-loss
//! harness (`tests/crash/power`) can leave it out and see that something is lost. No other file of `src` may
//! sync.

use std::collections::HashSet;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};

use crate::faults;

/// The folders whose own names are durable, as far as this process knows.
static NAMED: LazyLock<Mutex<HashSet<PathBuf>>> = LazyLock::new(Mutex::default);

/// Most folders to remember: a folder store has one for each object.
const MOST_NAMED: usize = 1000;

/// The purpose of a sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Synced {
    /// The name of a folder that was made, in the one above it.
    Folder,
    /// The head of a log, before the log gets its name.
    Head,
    /// The name of a log that is open.
    LogName,
    /// The events of the last second.
    Events,
    /// Events whose sender waits for it.
    Committed,
    /// The names of the files with a log's last records.
    SegmentNames,
    /// Errors in the main file, before the segment they came from is cleared.
    MovedErrors,
    /// A complete log, before it gets its sealed name.
    Sealed,
    /// A dead process's log that was completed, before it gets its sealed name.
    Recovered,
    /// The copy of a log in a refuge, before it gets its name.
    Rescued,
    /// The name of that copy.
    RescuedName,
    /// The removal of the spool's leftovers of a log in a refuge, before the log itself goes.
    LeftoversGone,
    /// Or it is marked as a leftover.
    LeftoverMark,
    /// The mark that the warnings of a log are in the global log already.
    FallbackMark,
    /// What a log is about to give back of its beginning.
    GivenNote,
    /// The name of that, before anything is given back.
    GivenName,
    /// A beginning that came back, before nothing says any more that it was given back.
    Beginning,
    /// The removal of a log that gave something back, before that is forgotten.
    GivenLogGone,
    /// The bytes of an object, before it gets the name of its version.
    ObjectBytes,
    /// The name of its version, before it becomes the current one.
    ObjectVersion,
    /// That it is the current one.
    ObjectCurrent,
    /// That a version was deleted.
    VersionGone,
    /// That the current one was deleted.
    CurrentGone,
}

impl Synced {
    /// Every one of them.
    pub const ALL: [Self; 23] = [
        Self::Folder,
        Self::Head,
        Self::LogName,
        Self::Events,
        Self::Committed,
        Self::SegmentNames,
        Self::MovedErrors,
        Self::Sealed,
        Self::Recovered,
        Self::Rescued,
        Self::RescuedName,
        Self::LeftoversGone,
        Self::LeftoverMark,
        Self::FallbackMark,
        Self::GivenNote,
        Self::GivenName,
        Self::Beginning,
        Self::GivenLogGone,
        Self::ObjectBytes,
        Self::ObjectVersion,
        Self::ObjectCurrent,
        Self::VersionGone,
        Self::CurrentGone,
    ];

    /// As a test names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Folder => "folder",
            Self::Head => "head",
            Self::LogName => "log-name",
            Self::Events => "events",
            Self::Committed => "committed",
            Self::SegmentNames => "segment-names",
            Self::MovedErrors => "moved-errors",
            Self::Sealed => "sealed",
            Self::Recovered => "recovered",
            Self::Rescued => "rescued",
            Self::RescuedName => "rescued-name",
            Self::LeftoversGone => "leftovers-gone",
            Self::LeftoverMark => "leftover-mark",
            Self::FallbackMark => "fallback-mark",
            Self::GivenNote => "given-note",
            Self::GivenName => "given-name",
            Self::Beginning => "beginning",
            Self::GivenLogGone => "given-log-gone",
            Self::ObjectBytes => "object-bytes",
            Self::ObjectVersion => "object-version",
            Self::ObjectCurrent => "object-current",
            Self::VersionGone => "version-gone",
            Self::CurrentGone => "current-gone",
        }
    }
}

/// Makes all of a file durable, or the names in a folder that is open.
pub(crate) fn file(file: &File, what: Synced) -> io::Result<()> {
    faults::sync(what.name(), file, File::sync_all)
}

/// Makes the bytes of a file durable, and its length.
pub(crate) fn data(file: &File, what: Synced) -> io::Result<()> {
    faults::sync(what.name(), file, File::sync_data)
}

/// Makes the names in a folder durable.
pub(crate) fn folder(path: &Path, what: Synced) -> io::Result<()> {
    file(&File::open(path)?, what)
}

/// Makes a folder and its parents if missing, and makes their names durable.
///
/// It also syncs existing ones, once per process: their maker may have died before the sync. If that is refused,
/// as in somebody else's folder, it takes them for old.
pub(crate) fn make_folders(path: &Path, mode: u32) -> io::Result<()> {
    let Some(above) = path.parent() else { return Ok(()) };
    let is_made = !path.is_dir() && {
        make_folders(above, mode)?;
        match DirBuilder::new().mode(mode).create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => false,
            made => made.map(|()| true)?,
        }
    };
    let named = || NAMED.lock().unwrap_or_else(PoisonError::into_inner);
    if !is_made && named().contains(path) {
        return Ok(());
    }
    let here = Path::new(".");
    let synced = folder(if above.as_os_str().is_empty() { here } else { above }, Synced::Folder);
    match synced {
        Err(error) if is_made => return Err(error),
        Err(_) => {}
        Ok(()) => {
            let mut named = named();
            if named.len() >= MOST_NAMED {
                named.clear();
            }
            named.insert(path.to_owned());
        }
    }
    if is_made { Ok(()) } else { make_folders(above, mode) }
}
