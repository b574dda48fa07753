//! The handler for Python: its own tests, and that `pip` installs it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::skip::skip;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python")
}

/// A Python for the handler: whichever this machine has, which may be as old as 3.8.
fn python() -> Option<String> {
    let named = std::env::var("PARSELOG_TEST_PYTHON").ok();
    let found = named.into_iter().chain(["python3".to_owned()]).find(|python| {
        let new_enough = "import sys; sys.exit(sys.version_info < (3, 8))";
        Command::new(python).args(["-c", new_enough]).status().is_ok_and(|status| status.success())
    });
    if found.is_none() {
        skip("no Python of 3.8 or newer on the PATH");
    }
    found
}

#[test]
fn the_handlers_own_tests_pass() {
    let Some(python) = python() else { return };
    let tests = Command::new(python)
        .args(["-B", "-W", "error::ResourceWarning", "-m", "unittest", "discover", "tests"])
        .current_dir(folder())
        .env_remove("PARSELOG_LOG_HOST")
        .env_remove("PARSELOG_LOG_PORT")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&tests.stderr);
    assert!(tests.status.success() && said.contains("\nOK"), "{said}");
}
