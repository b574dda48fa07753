//! The cost of reading an archive: requests and bytes.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The cost of reading a log from the object store; zero for one in the spool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// GET requests.
    pub gets: u64,
    /// Bytes received.
    pub bytes: u64,
}

/// Adds up a cost from several threads.
#[derive(Debug, Default)]
pub(super) struct Meter {
    gets: AtomicU64,
    bytes: AtomicU64,
}

/// Counts the bytes read through it.
pub(super) struct CountedReader<R> {
    pub(super) inner: R,
    pub(super) meter: Arc<Meter>,
}

impl Meter {
    pub(super) fn get(&self) {
        self.gets.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn bytes(&self, count: usize) {
        self.bytes.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(super) fn cost(&self) -> Cost {
        Cost { gets: self.gets.load(Ordering::Relaxed), bytes: self.bytes.load(Ordering::Relaxed) }
    }
}

impl<R: Read> Read for CountedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.meter.bytes(read);
        Ok(read)
    }
}
