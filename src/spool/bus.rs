//! A store into a mapped file whose page can't be had is an error here, where the system's answer is
//! SIGBUS and the end of the process with all its runs.
//!
//! It happens when the disk is gone and the page was evicted, when the filesystem wants space of its
//! own for the page, and when somebody cut the file. The handler puts a page of plain memory in its
//! place, so that the store comes to its end, and tells the storing thread. A SIGBUS over anything else
//! goes where it went before. It does not know what is stored, or what becomes of the file.

use std::cell::Cell;
use std::io;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{Ordering, compiler_fence};

use libc::{c_int, c_void, siginfo_t};
use rustix::io::Errno;

thread_local! {
    /// Where this thread is storing: first address and end.
    static STORING: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
    /// Whether a page of that could not be had.
    static FAILED: Cell<bool> = const { Cell::new(false) };
}

/// What the handler needs to know, set when it is installed.
struct Setting {
    page: usize,
    /// Who handled the signal before; `None` when nothing was installed.
    before: Option<libc::sigaction>,
}

static SETTING: OnceLock<Setting> = OnceLock::new();

/// Whether stores can be guarded; installs the handler the first time.
pub(super) fn is_ready() -> bool {
    SETTING.get_or_init(install).before.is_some()
}

/// Runs `store` on `room`, a part of a mapping.
///
/// # Errors
/// A page of it could not be had; what was stored is not in the file, and the mapping must be given up.
pub(super) fn guarded(room: &mut [u8], store: impl FnOnce(&mut [u8])) -> io::Result<()> {
    let range = room.as_ptr_range();
    STORING.set((range.start as usize, range.end as usize));
    // The handler runs in this thread, in the middle of the store: the compiler must not move either.
    compiler_fence(Ordering::SeqCst);
    store(room);
    compiler_fence(Ordering::SeqCst);
    STORING.set((0, 0));
    if FAILED.replace(false) { Err(Errno::IO.into()) } else { Ok(()) }
}

#[expect(unsafe_code, reason = "a signal handler is installed by a system call on raw pointers")]
fn install() -> Setting {
    // SAFETY: plain system calls on structures of our own; all zeros is a valid `sigaction`. The handler
    // only reads thread-locals without destructors and makes system calls, as handlers may.
    unsafe {
        let page = libc::sysconf(libc::_SC_PAGESIZE);
        let mut before: libc::sigaction = std::mem::zeroed();
        let mut ours: libc::sigaction = std::mem::zeroed();
        ours.sa_sigaction = on_bus as *const () as usize;
        ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigemptyset(&mut ours.sa_mask);
        let known = usize::try_from(page).is_ok_and(usize::is_power_of_two);
        let installed = known && libc::sigaction(libc::SIGBUS, &ours, &mut before) == 0;
        Setting { page: page as usize, before: installed.then_some(before) }
    }
}

#[expect(unsafe_code, reason = "a page is mapped, and the handler before is put back, by system calls")]
extern "C" fn on_bus(signal: c_int, info: *mut siginfo_t, _: *mut c_void) {
    let Some(Setting { page, before: Some(before) }) = SETTING.get() else { return };
    // SAFETY: the kernel passes the facts about the signal.
    let at = unsafe { (*info).si_addr() } as usize & !(page - 1);
    let (start, end) = STORING.get();
    if at < end && start < at + page {
        let (rights, kind) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_FIXED);
        // SAFETY: the page lies in the mapping that this thread has borrowed for its store.
        let mapped = unsafe { libc::mmap(at as *mut c_void, *page, rights, kind, -1, 0) };
        if mapped != libc::MAP_FAILED {
            return FAILED.set(true);
        }
    }
    // The store is done again when this returns, and the signal goes to whom it belongs.
    // SAFETY: the structure is what the kernel gave us.
    unsafe { libc::sigaction(signal, before, ptr::null_mut()) };
}
