//! Fault points: named places where a test can kill the process as `kill -9` would.
//!
//! Without the feature `faults` a point is an empty inline function, and the environment is not
//! looked at. With it, `PARSELOG_FAULT=name[:n[:how]]` ends the process with SIGKILL at the n-th
//! passage of that point: no destructor runs, nothing is flushed. With `stop` it is SIGSTOP, and the
//! process goes on when somebody lets it. `tests/crash` does both. A point that a parse process comes to
//! ends or stops its worker too, since it stands for the end of everything; with `alone` only parse processes
//! die. `PARSELOG_FAULT_HELPER=name[:n]` makes a helper of the worker panic in its n-th round;
//! `PARSELOG_FAULT_IO=name[:n]` makes a disk refuse a sync of that name the n-th time, and
//! `PARSELOG_FAULT_BOUND=name:bytes` lowers a bound.
//!
//! A test may also play the disk in its own process: `observe` tells it each point and each sync.

use std::fs::File;
use std::io;

/// A place between two steps where the process may die.
#[cfg(not(feature = "faults"))]
#[inline(always)]
pub fn point(_name: &'static str) {}

/// A place between two steps where the process may die.
#[cfg(feature = "faults")]
pub fn point(name: &'static str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use rustix::process::{Signal, getpid, getppid, kill_process};

    static WANTED: OnceLock<Option<(String, AtomicU64, Signal, bool)>> = OnceLock::new();
    let wanted = WANTED.get_or_init(|| {
        let text = std::env::var("PARSELOG_FAULT").ok()?;
        let mut parts = text.split(':');
        let name = parts.next()?.to_owned();
        let passage = parts.next().unwrap_or("1").parse().expect("PARSELOG_FAULT=name:n");
        let how = parts.next().unwrap_or("all");
        let signal = if how == "stop" { Signal::STOP } else { Signal::KILL };
        Some((name, AtomicU64::new(passage), signal, how == "alone"))
    });
    let is_child = IS_CHILD.load(Ordering::SeqCst);
    ask(FaultStep::Point(name));
    if let Some((wanted, left, signal, alone)) = wanted
        && wanted == name
        && (is_child || !alone)
        && left.fetch_sub(1, Ordering::SeqCst) == 1
    {
        if is_child && !alone {
            let _ = getppid().map(|worker| kill_process(worker, *signal));
        }
        let _ = kill_process(getpid(), *signal);
        // Another thread may take the signal; this one gets no further until it is dealt with.
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

/// This process belongs to a worker: what ends it at a point ends its worker before it.
#[cfg(feature = "faults")]
static IS_CHILD: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// A bound in bytes, which a test may lower.
#[cfg(not(feature = "faults"))]
#[inline(always)]
pub(crate) fn bound(_name: &'static str, bytes: u64) -> u64 {
    bytes
}

/// A bound in bytes, which a test may lower.
#[cfg(feature = "faults")]
pub(crate) fn bound(name: &'static str, bytes: u64) -> u64 {
    static WANTED: std::sync::OnceLock<Option<(String, u64)>> = std::sync::OnceLock::new();
    let wanted = WANTED.get_or_init(|| {
        let text = std::env::var("PARSELOG_FAULT_BOUND").ok()?;
        let (name, bytes) = text.split_once(':').expect("PARSELOG_FAULT_BOUND=name:bytes");
        Some((name.to_owned(), bytes.parse().expect("PARSELOG_FAULT_BOUND=name:bytes")))
    });
    wanted.as_ref().filter(|(wanted, _)| wanted == name).map_or(bytes, |(_, wanted)| *wanted)
}

/// From now on a point ends the worker of this process as well.
#[cfg(not(feature = "faults"))]
#[inline(always)]
pub fn end_worker_too() {}

/// From now on a point ends the worker of this process as well.
#[cfg(feature = "faults")]
pub fn end_worker_too() {
    IS_CHILD.store(true, std::sync::atomic::Ordering::SeqCst);
}

/// The beginning of a round of a helper, where it may panic.
#[cfg(not(feature = "faults"))]
#[inline(always)]
pub fn helper(_name: &'static str) {}

/// The beginning of a round of a helper, where it may panic.
#[cfg(feature = "faults")]
pub fn helper(name: &'static str) {
    static WANTED: Wanted = Wanted::new();
    assert!(!counted(&WANTED, "PARSELOG_FAULT_HELPER", name), "a fault of the test in the helper '{name}'");
}

/// A sync, which a test may leave out or refuse.
#[cfg(not(feature = "faults"))]
#[inline(always)]
pub(crate) fn sync(
    _name: &'static str,
    file: &File,
    call: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<()> {
    call(file)
}

/// A sync, which a test may leave out or refuse.
#[cfg(feature = "faults")]
pub(crate) fn sync(
    name: &'static str,
    file: &File,
    call: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<()> {
    static WANTED: Wanted = Wanted::new();
    match ask(FaultStep::Sync(name, file)) {
        _ if counted(&WANTED, "PARSELOG_FAULT_IO", name) => Err(io::Error::other("a fault of the test")),
        SyncAnswer::Real => call(file),
        SyncAnswer::Pretended => Ok(()),
        SyncAnswer::Refused => Err(io::Error::other("a fault of the test")),
    }
}

/// The steps that a test which plays the disk observes.
#[cfg(feature = "faults")]
#[derive(Debug)]
pub enum FaultStep<'a> {
    /// A point is passed.
    Point(&'static str),
    /// A sync is about to be done.
    Sync(&'static str, &'a File),
}

/// How to treat a sync.
#[cfg(feature = "faults")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncAnswer {
    /// It is done.
    Real,
    /// It is not done, and its caller does not know.
    Pretended,
    /// It fails.
    Refused,
}

/// A test that plays the disk.
#[cfg(feature = "faults")]
pub type Observer = std::sync::Arc<dyn Fn(FaultStep<'_>) -> SyncAnswer + Send + Sync>;

#[cfg(feature = "faults")]
static OBSERVER: std::sync::RwLock<Option<Observer>> = std::sync::RwLock::new(None);

/// From now on the observer hears of every step of this process; `None` ends that.
#[cfg(feature = "faults")]
pub fn observe(observer: Option<Observer>) {
    *OBSERVER.write().unwrap_or_else(std::sync::PoisonError::into_inner) = observer;
}

#[cfg(feature = "faults")]
fn ask(step: FaultStep<'_>) -> SyncAnswer {
    let observer = OBSERVER.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    observer.map_or(SyncAnswer::Real, |observer| observer(step))
}

#[cfg(feature = "faults")]
type Wanted = std::sync::OnceLock<Option<(String, std::sync::atomic::AtomicU64)>>;

/// Whether this is the n-th passage of the place that the variable names as `name[:n]`.
#[cfg(feature = "faults")]
fn counted(wanted: &Wanted, variable: &str, name: &str) -> bool {
    use std::sync::atomic::{AtomicU64, Ordering};

    let wanted = wanted.get_or_init(|| {
        let text = std::env::var(variable).ok()?;
        let (name, passage) = text.split_once(':').unwrap_or((text.as_str(), "1"));
        Some((name.to_owned(), AtomicU64::new(passage.parse().expect("name[:n]"))))
    });
    matches!(wanted, Some((wanted, left)) if wanted == name && left.fetch_sub(1, Ordering::SeqCst) == 1)
}
