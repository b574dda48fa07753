//! Detaches the keeper from the process that started it: from its terminal, session, open files and locks.

use std::env;
use std::fs;
use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::setsid;

/// Runs this program anew with the same words and `--detached`, in a session of its own, and with no
/// descriptor but the first three. Returns only if that fails.
pub(super) fn detach() -> io::Error {
    let _ = setsid(); // An error means that this is a session of its own already.
    let anew = close_all_on_exec().and_then(|()| env::current_exe());
    match anew {
        Ok(program) => Command::new(program).args(env::args_os().skip(1)).arg("--detached").exec(),
        Err(error) => error,
    }
}

/// Marks every descriptor behind stderr as one that no other program gets. Ours are so anyway; this is
/// for what a shell, a `make` or a `flock` left open, and its lock with it.
fn close_all_on_exec() -> io::Result<()> {
    let names = fs::read_dir("/dev/fd")?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let open: Vec<RawFd> = names.filter_map(|name| name.parse().ok()).filter(|fd| *fd > 2).collect();
    for descriptor in open {
        mark(descriptor);
    }
    Ok(())
}

#[expect(unsafe_code, reason = "a descriptor that somebody else opened is known by its number only")]
fn mark(descriptor: RawFd) {
    // SAFETY: it is borrowed for this one call, which reads and writes nothing; one that was closed
    // meanwhile is an error of the call.
    let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) };
    let _ = fcntl_setfd(descriptor, FdFlags::CLOEXEC);
}
