//! Fault points: named places where a test can kill the process as `kill -9` would.
//!
//! Without the feature `faults` a point is an empty inline function, and the environment is not
//! looked at. With it, `PARSELOG_FAULT=name[:n]` ends the process with SIGKILL at the n-th passage of
//! that point: no destructor runs, nothing is flushed. `tests/crash` kills a worker at each of them.

/// A place between two steps where the process may die.
#[cfg(not(feature = "faults"))]
#[inline(always)]
pub fn point(_name: &'static str) {}

/// A place between two steps where the process may die.
#[cfg(feature = "faults")]
pub fn point(name: &'static str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static WANTED: OnceLock<Option<(String, AtomicU64)>> = OnceLock::new();
    let wanted = WANTED.get_or_init(|| {
        let text = std::env::var("PARSELOG_FAULT").ok()?;
        let (name, passage) = text.split_once(':').unwrap_or((&text, "1"));
        Some((name.to_owned(), AtomicU64::new(passage.parse().expect("PARSELOG_FAULT=name:n"))))
    });
    if let Some((wanted, left)) = wanted
        && wanted == name
        && left.fetch_sub(1, Ordering::SeqCst) == 1
    {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}
