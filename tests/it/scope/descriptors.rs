//! What a log still promises in a process that has no file descriptor left.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::*;

#[test]
fn a_log_is_synced_and_sealed_when_no_descriptor_is_left() {
    in_its_own_process("scope::descriptors::in_a_process_without_descriptors");
}

#[test]
#[ignore = "the limit holds for the whole process: the test above starts one for it"]
fn in_a_process_without_descriptors() {
    let desk = Desk::new(1 << 30);
    let scope = desk.open();
    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(0), ..before }).unwrap();
    File::open("/dev/null").expect_err("none is left");
    scope.span().in_scope(|| (0..300).for_each(|event| tracing::info!(event, "kept")));
    let sealed = scope.seal(LogEnding::Success, None);
    setrlimit(Resource::Nofile, before).unwrap();
    let log = sealed.unwrap().unwrap();
    assert_accounts(&log, 300);
}
