//! A test that can't be tried on this machine has failed, unless whoever runs it says otherwise.

/// Ends a test that this machine can't run: it fails, or says why it was left out where
/// `PARSELOG_MAY_SKIP` is set.
#[expect(clippy::print_stderr, reason = "a test that is left out says so")]
pub(crate) fn skip(why: &str) {
    let may = std::env::var_os("PARSELOG_MAY_SKIP").is_some_and(|value| !value.is_empty());
    assert!(may, "not tried: {why}; PARSELOG_MAY_SKIP=1 leaves such tests out");
    eprintln!("left out: {why}");
}

/// Whether only root may do what a test does, and we are not root. That is a fact of the user and no
/// fault of the machine: the test is left out, and says so.
#[expect(clippy::print_stderr, reason = "a test that is left out says so")]
pub(crate) fn needs_root(what: &str) -> bool {
    let ordinary = !rustix::process::geteuid().is_root();
    if ordinary {
        eprintln!("left out: only root may {what}");
    }
    ordinary
}
