//! Span-carrying spawn helpers: a spawned task or thread logs into the scope that spawned it.
//!
//! The bare `tokio::spawn`, `std::thread::spawn` and their like start with no span, so their
//! events would miss the run's log; `clippy.toml` forbids them everywhere but in this file.

use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread;

use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tracing::{Instrument, Span};

thread_local! {
    /// Whether this thread works on the blocking pool now.
    static MAY_BLOCK: Cell<bool> = const { Cell::new(false) };
}

/// The priority of a thread that leaves processors to others; that of others is 0.
const BEHIND: i32 = 10;

/// Spawns a task that runs inside the current span.
#[expect(clippy::disallowed_methods, reason = "this is the span-carrying replacement")]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(future.in_current_span())
}

/// Spawns a task of a set that runs inside the current span.
#[expect(clippy::disallowed_methods, reason = "this is the span-carrying replacement")]
pub fn spawn_in<T: Send + 'static>(set: &mut JoinSet<T>, future: impl Future<Output = T> + Send + 'static) {
    set.spawn(future.in_current_span());
}

/// Work on tokio's blocking pool; an error says that it panicked.
///
/// It begins on its own, whether or not somebody waits for it. A runtime that ends begins nothing more: whoever waits
/// for work that never began then waits until the runtime drops the task, since the end of a process is no failure
/// of the work, and nothing may go on as if it were.
#[derive(Debug)]
pub struct Blocking<T>(JoinHandle<T>);

impl<T> Future for Blocking<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match Pin::new(&mut self.0).poll(context) {
            // Nothing but the end of the runtime cancels it: nobody else has the handle.
            Poll::Ready(Err(error)) if error.is_cancelled() => Poll::Pending,
            polled => polled,
        }
    }
}

/// Runs blocking work on tokio's blocking pool, inside the current span.
#[expect(clippy::disallowed_methods, reason = "this is the span-carrying replacement")]
pub fn spawn_blocking<F, T>(work: F) -> Blocking<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let work = once(work);
    Blocking(tokio::task::spawn_blocking(|| {
        // The pool's threads also become the runtime's own, so what is set here is taken back.
        let _turn = MayBlockGuard(MAY_BLOCK.replace(true));
        work()
    }))
}

/// What takes as long as a disk or a log's size wants says so by calling this first: in a debug build,
/// and so in every test, it panics on a thread that runs the tasks of a runtime. Called there it would
/// hold up every heartbeat, so it belongs in [`spawn_blocking`].
#[track_caller]
pub fn may_block() {
    debug_assert!(
        MAY_BLOCK.get() || Handle::try_current().is_err(),
        "this may block for long: call it in carry::spawn_blocking, not in an async function"
    );
}

/// Restores [`MAY_BLOCK`] when dropped.
struct MayBlockGuard(bool);

impl Drop for MayBlockGuard {
    fn drop(&mut self) {
        MAY_BLOCK.set(self.0);
    }
}

/// Starts an operating-system thread that runs inside the current span.
#[expect(clippy::disallowed_methods, reason = "this is the span-carrying replacement")]
pub fn thread<F, T>(work: F) -> thread::JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    thread::spawn(once(work))
}

/// Starts a thread that works for the whole process, inside no span: it outlives the run that needed it first.
/// Where the system has no thread left, `work` is dropped.
#[expect(clippy::disallowed_methods, reason = "it belongs to no run, so it carries no span")]
pub(crate) fn thread_of_process<F>(work: F)
where
    F: FnOnce() + Send + 'static,
{
    let _ = thread::Builder::new().spawn(work);
}

/// As [`thread()`], for work that nobody waits for: where processors are scarce, it leaves them to others.
pub(crate) fn thread_behind<F, T>(work: F) -> thread::JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    thread(|| {
        // On Linux a priority is a thread's own. Only speed hangs on it.
        let _ = rustix::process::setpriority_process(None, BEHIND);
        work()
    })
}

/// Wraps a closure so that it runs inside the span that is current now, wherever it is called:
/// `pool.spawn(carry::once(move || …))` for a thread pool such as rayon's.
pub fn once<F, T>(work: F) -> impl FnOnce() -> T
where
    F: FnOnce() -> T,
{
    let span = Span::current();
    move || span.in_scope(work)
}

/// As [`once`], for a closure that is called many times, from any thread:
/// `items.par_iter().for_each(carry::each(|item| …))`.
pub fn each<F, A, T>(work: F) -> impl Fn(A) -> T
where
    F: Fn(A) -> T,
{
    let span = Span::current();
    move |argument| span.in_scope(|| work(argument))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use futures_util::poll;
    use tokio::runtime::Builder;

    use super::*;

    #[test]
    fn who_waits_for_work_that_the_end_of_the_runtime_cut_off_does_not_go_on() {
        let ending = Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let inside = ending.handle().clone();
        let inside = inside.enter();
        let (begins, begun) = mpsc::channel();
        let (end, until) = mpsc::channel::<()>();
        let before = spawn_blocking(move || {
            begins.send(()).unwrap();
            until.recv().is_err()
        });
        begun.recv().unwrap();
        ending.shutdown_timeout(Duration::ZERO);
        drop(end);
        let after = spawn_blocking(|| ());
        drop(inside);
        Builder::new_current_thread().build().unwrap().block_on(async {
            assert!(before.await.unwrap(), "what had begun goes on to its end");
            assert!(after.0.is_finished(), "what comes too late is cut off at once");
            assert!(poll!(std::pin::pin!(after)).is_pending());
        });
    }
}
