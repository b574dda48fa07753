//! What the benches share.

use std::fs;
use std::path::{Path, PathBuf};

/// The project's root folder.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the project")
}

/// The `parselog` program that was built beside this bench: `make bench` builds it first.
pub fn program() -> PathBuf {
    let bench = std::env::current_exe().expect("a running program has a path");
    let profile = bench.ancestors().nth(2).expect("benches lie in `<profile>/deps`");
    profile.join("parselog")
}

/// The most memory that a process ever had, in kilobytes. `process` is an id or `self`; `None` where
/// the system does not say.
pub fn peak_memory(process: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}
