//! Fault points: named places where a test can kill the process as `kill -9` would.
//!
//! Without the feature `faults` a point is an empty inline function, and the environment is not
//! looked at. With it, `PARSELOG_FAULT=name[:n[:stop]]` ends the process with SIGKILL at the n-th
//! passage of that point: no destructor runs, nothing is flushed. With `stop` it is SIGSTOP, and the
//! process goes on when somebody lets it. `tests/crash` does both. `PARSELOG_FAULT_HELPER=name[:n]` makes
//! a helper of the worker panic in its n-th round; `PARSELOG_FAULT_IO=name[:n]` makes a disk refuse the n-th
//! time.

/// A place between two steps where the process may die.
#[cfg(not(feature = "faults"))]
#[inline(always)]
pub fn point(_name: &'static str) {}

/// A place between two steps where the process may die.
#[cfg(feature = "faults")]
pub fn point(name: &'static str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    static WANTED: OnceLock<Option<(String, AtomicU64, Signal)>> = OnceLock::new();
    let wanted = WANTED.get_or_init(|| {
        let text = std::env::var("PARSELOG_FAULT").ok()?;
        let mut parts = text.split(':');
        let name = parts.next()?.to_owned();
        let passage = parts.next().unwrap_or("1").parse().expect("PARSELOG_FAULT=name:n");
        let signal = if parts.next() == Some("stop") { Signal::STOP } else { Signal::KILL };
        Some((name, AtomicU64::new(passage), signal))
    });
    if let Some((wanted, left, signal)) = wanted
        && wanted == name
        && left.fetch_sub(1, Ordering::SeqCst) == 1
    {
        let _ = kill_process(getpid(), *signal);
        // Another thread may take the signal; this one gets no further until it is dealt with.
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
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

/// A step that a failing disk refuses.
///
/// # Errors
/// Where a test asks for one; never without the feature.
#[cfg(not(feature = "faults"))]
#[inline(always)]
pub fn io(_name: &'static str) -> std::io::Result<()> {
    Ok(())
}

/// A step that a failing disk refuses.
///
/// # Errors
/// Where a test asks for one; never without the feature.
#[cfg(feature = "faults")]
pub fn io(name: &'static str) -> std::io::Result<()> {
    static WANTED: Wanted = Wanted::new();
    if counted(&WANTED, "PARSELOG_FAULT_IO", name) {
        return Err(std::io::Error::other("a fault of the test"));
    }
    Ok(())
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
