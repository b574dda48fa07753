//! Span-carrying spawn helpers: what is spawned here logs into the scope it was spawned from.
//!
//! The bare `tokio::spawn`, `std::thread::spawn` and their like start with no span, so their
//! events would miss the run's log; `clippy.toml` forbids them everywhere but in this file.

use std::thread;

use tokio::task::JoinHandle;
use tracing::{Instrument, Span};

/// Spawns a task that runs inside the current span.
#[expect(clippy::disallowed_methods, reason = "this is the span-carrying replacement")]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(future.in_current_span())
}

/// Runs blocking work on tokio's blocking pool, inside the current span.
#[expect(clippy::disallowed_methods, reason = "this is the span-carrying replacement")]
pub fn spawn_blocking<F, T>(work: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    tokio::task::spawn_blocking(once(work))
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
