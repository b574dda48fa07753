//! The state that the threads behind a program's output share, and the pauses between their looks.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::stream::Stream;

/// The pause between two looks at files that grow, …
pub(super) const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
/// … and at those that don't.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_millis(8);
/// The same for a program that empties its files: its next line may empty the file before this one is read.
pub(super) const PAUSE_ONCE_EMPTIED: Duration = Duration::from_micros(100);

/// The state of a program's output.
pub(super) struct OutputState {
    started: Instant,
    /// Milliseconds from `started` to the last sign of life.
    last_sign: AtomicU64,
    closing: AtomicBool,
    kept_from: [AtomicU64; 2],
}

impl OutputState {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            last_sign: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            kept_from: Default::default(),
        }
    }

    /// Notes a sign of life: output, a logged line, or that the program is stopped and can't write.
    pub(super) fn touch(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_sign.store(now, Ordering::Relaxed);
    }

    /// Time since the last sign of life, or since the start.
    pub(super) fn silent_for(&self) -> Duration {
        let last = Duration::from_millis(self.last_sign.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(last)
    }

    /// From now on nobody writes, or nobody is listened to.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// The first byte of a file that the reader still needs.
    pub(super) fn kept_from(&self, stream: Stream) -> u64 {
        self.kept_from[stream as usize].load(Ordering::Relaxed)
    }

    pub(super) fn keep_from(&self, stream: Stream, at: u64) {
        self.kept_from[stream as usize].store(at, Ordering::Relaxed);
    }
}
